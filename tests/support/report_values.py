"""Reports made by hand, one finding of each result, for tests of the formats."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from mtlslab.verify.checks import Result, Severity
from mtlslab.verify.report import VerifyFinding, VerifyReport

STARTED = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
SERVED = {"outcome": "served", "status": 200}

CONTROL = VerifyFinding(
    id="mtls-serves-client-certificate.tls12",
    title="the mTLS server serves a client with a certificate of the client CA",
    category="mTLS: the client proves who it is, too",
    service="nginx-mtls",
    severity=Severity.REQUIRED,
    result=Result.PASS,
    expected=SERVED,
    observed={**SERVED, "answer": "200", "certificate_requested": True},
    reason="The server answered 200 and says SUCCESS.",
    command=("curl", "https://localhost:8889/hello-world.txt", "--cacert", "./certs/server-ca.crt", "--tls-max", "1.2"),
    why="The good case comes first.",
    hint="ssl_client_certificate must name certs/client-ca.crt.",
    tls_version="1.2",
    duration_ms=2,
)


def other(name: str, result: Result, reason: str, **changes: Any) -> VerifyFinding:
    """A finding like ``CONTROL``, but for what is given."""
    family, _, version = name.partition(".tls1")
    facts: dict[str, Any] = {
        "title": f"the fact that {family} states",
        "tls_version": f"1.{version}" if version else "",
    }
    return dataclasses.replace(CONTROL, id=name, result=result, reason=reason, **{**facts, **changes})


GOOD = VerifyReport(lab="lecture", runtime="embedded", started=STARTED, findings=(CONTROL,), duration_ms=12.3)
MIXED = VerifyReport(
    lab="lecture",
    runtime="embedded",
    started=STARTED,
    findings=(
        CONTROL,
        other(
            "mtls-serves-client-certificate.tls13", Result.INCONCLUSIVE, "The server could not be reached (connect)."
        ),
        other(
            "mtls-refuses-no-certificate.tls12",
            Result.FAIL,
            "The server served a client that it must refuse:\nas with ssl_verify_client optional.",
            expected={"outcome": "refused-no-certificate", "status": 400},
        ),
        other(
            "mtls-refuses-no-certificate.tls13",
            Result.SKIP,
            "Not tried (because mtls-serves-client-certificate.tls13 does not hold).",
            observed={},
        ),
        other(
            "accepts-revoked",
            Result.WARN,
            "The server served it; issue #1 \\ of every PKI.",
            severity=Severity.ADVISORY,
        ),
    ),
    duration_ms=12.3,
)

"""Eight checks that never change, and the reports that labs of several kinds would get on them.

Goldens are made of these: they show every result, both severities, checks with and without a TLS version, a lesson and
its control, and stay as they are when the real catalogue grows.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from pathlib import Path

from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.probe.model import Attempt, Observation, Phase, Side
from mtlslab.verify.checks import Check, Entry, Expectation, Outcome, Severity, Trust
from mtlslab.verify.checks.model import PAGES
from mtlslab.verify.context import VerifyContext
from mtlslab.verify.report import VerifyReport
from mtlslab.verify.runner import run_checks

STARTED = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
SERVER_SIDE, CLIENT_SIDE = "TLS: the server proves who it is", "mTLS: the client proves who it is, too"
UNKNOWN_ISSUER = "unable to get local issuer certificate"


ENTRIES = (
    Entry(
        id="tls-serves-with-ca",
        title="the TLS server serves a client that trusts its CA",
        category=SERVER_SIDE,
        service=TLS_SERVICE,
        expect=Expectation(Outcome.SERVED, asked=False),
        why="The good case of ordinary TLS. The client trusts the CA, so it trusts the server.",
        hint="ssl_certificate must name a certificate of the server CA.",
    ),
    Entry(
        id="tls-untrusted-without-ca",
        title="a client that does not know the CA does not trust the TLS server",
        category=SERVER_SIDE,
        service=TLS_SERVICE,
        trust=Trust.NOBODY,
        expect=Expectation(Outcome.CLIENT_REFUSES_SERVER, reason="local issuer"),
        why="A client trusts only whom a CA that it knows vouches for. The lab's CA is known to nobody else.",
        hint="Is the lab's CA in the trust store of this machine?",
        versions=(),
    ),
    Entry(
        id="mtls-serves-client-certificate",
        title="the mTLS server serves a client with a certificate of the client CA",
        category=CLIENT_SIDE,
        service=MTLS_SERVICE,
        credential="client",
        expect=Expectation(Outcome.SERVED, identified=True),
        why="The good case comes first. Without it every refusal below would prove nothing at all about certificates, "
        "because a server that refuses everybody refuses these clients, too.",
        hint="ssl_client_certificate must name certs/client-ca.crt.",
    ),
    Entry(
        id="mtls-refuses-no-certificate",
        title="the mTLS server refuses a client without a certificate",
        category=CLIENT_SIDE,
        service=MTLS_SERVICE,
        expect=Expectation(Outcome.REFUSED_NO_CERTIFICATE),
        why="The heart of mutual TLS. nginx finishes the handshake, then answers HTTP 400.",
        hint="ssl_verify_client must be on.",
        depends="mtls-serves-client-certificate",
    ),
    Entry(
        id="mtls-accepts-revoked",
        title="the mTLS server accepts a revoked certificate",
        category="mTLS: certificates that were taken back",
        service=MTLS_SERVICE,
        credential="revoked",
        expect=Expectation(Outcome.SERVED, by_design=True),
        why="Without a list nginx does not know what was taken back. That is by design.",
        hint="ssl_crl must name a list of the client CA.",
        depends="mtls-serves-client-certificate",
        severity=Severity.ADVISORY,
        versions=("1.2",),
    ),
)
CHECKS = tuple(check for entry in ENTRIES for check in entry.per_version())

Answer = Callable[[Check], Observation]
"""What a lab answers to the attempt of a check."""


def as_expected(check: Check) -> Observation:
    """A lab in order."""
    asked = check.service == MTLS_SERVICE
    done = Observation(
        Phase.DONE, tls_version=check.tls_version or "", duration=0.002, heard=True, certificate_requested=asked
    )
    if check.expect.outcome is Outcome.CLIENT_REFUSES_SERVER:
        return _untrusted(UNKNOWN_ISSUER)
    if check.expect.outcome is Outcome.SERVED:
        headers = {"x-ssl-client-verify": "SUCCESS"} if asked else {}
        return dataclasses.replace(done, status=200, headers=headers)
    page = PAGES[check.expect.outcome]
    headers = {"x-ssl-client-verify": "NONE"}
    return dataclasses.replace(done, status=400, title=f"400 {page}", body=page, headers=headers)


def optional(check: Check) -> Observation:
    """A server with ``ssl_verify_client optional``."""
    seen = as_expected(check)
    if check.expect.outcome is not Outcome.REFUSED_NO_CERTIFICATE:
        return seen
    return dataclasses.replace(seen, status=200, title="", body="Hello")


def stopped(check: Check) -> Observation:
    """An mTLS server that is not there."""
    return _nobody_there() if check.service == MTLS_SERVICE else as_expected(check)


def mixed(check: Check) -> Observation:
    """Every result there is: as ``optional``, but mTLS is gone on TLS 1.3, and the client's OpenSSL has other words."""
    if check.expect.outcome is Outcome.CLIENT_REFUSES_SERVER:
        return _untrusted("self-signed certificate in certificate chain")
    if check.service == MTLS_SERVICE and check.tls_version == "1.3":
        return _nobody_there()
    return optional(check)


def _untrusted(words: str) -> Observation:
    return Observation(
        Phase.HANDSHAKE, Side.LOCAL, words, "unknown_ca", Side.LOCAL, False, 20, words, duration=0.002, heard=True
    )


def _nobody_there() -> Observation:
    return Observation(Phase.CONNECT, error="Connection refused", duration=0.001)


def report_of(answer: Answer = as_expected, *only: str) -> VerifyReport:
    """The report of a run of the eight checks, or of ``only`` some; measured times are replaced by fixed ones."""
    checks = {(check.service, check.tls_version, check.credential, check.trust): check for check in CHECKS}

    def probe(what: Attempt) -> Observation:
        service = MTLS_SERVICE if what.port == 8889 else TLS_SERVICE
        trust = Trust.SERVER_CA if what.cacert else Trust.NOBODY
        credential = what.credential.certificate.stem if what.credential else None
        return answer(checks[service, what.tls_version, credential, trust])

    context = VerifyContext(Path("/labs/one"), "lecture", "embedded", 8888, 8889)
    report = run_checks(context, only, probe=probe, checks=CHECKS)
    return dataclasses.replace(report, started=STARTED, duration_ms=64.0)

"""The last sentence of verify says what happened, and no more; every format has the same one."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from mtlslab.errors import ExitCode
from mtlslab.output import VERIFY_FORMATS, render_report
from mtlslab.verify.checks import Result
from mtlslab.verify.checks.model import CONFIGURATION, SMALL_SERVER
from mtlslab.verify.report import VerifyFinding

from tests.support.report_values import CONTROL, GOOD, SERVED, other

REFUSED = {"outcome": "refused-no-certificate", "status": 400}


def found(name: str, result: Result, expected: dict[str, Any], outcome: str, **changes: Any) -> VerifyFinding:
    return other(name, result, "Because.", expected=expected, observed={"outcome": outcome}, **changes)


LET_IN = found("mtls-refuses-no-certificate", Result.FAIL, REFUSED, "served")
TURNED_AWAY = found("mtls-serves-client-certificate", Result.FAIL, SERVED, "refused-by-alert")
UNTRUSTED = found("mtls-serves-client-certificate", Result.FAIL, SERVED, "client-refuses-server")
UNVERIFIED = found("mtls-identifies-client", Result.FAIL, SERVED, "served")
NO_LOG = found("config-logs", Result.FAIL, {"outcome": "configured"}, "", category=CONFIGURATION)
WITHOUT_TLS = found("mtls-refuses-plain-http", Result.FAIL, {"outcome": "other-status"}, "served")
OF_THE_CLIENT = found("client-refuses-x", Result.FAIL, {"outcome": "client-refuses-server"}, "served")
OF_TLS = found("tls-x", Result.FAIL, REFUSED, "served", service="nginx-tls")
OTHER_PAGE = found("mtls-refuses-no-certificate", Result.WARN, REFUSED, "other-status")
EDITED = found("config-is-as-rendered", Result.WARN, {"outcome": "configured"}, "", category=CONFIGURATION)
BY_DESIGN = found("mtls-accepts-revoked", Result.WARN, {**SERVED, "by_design": True}, "served")
OTHER_WORDS = found("mtls-refuses-expired", Result.WARN, REFUSED, "refused-no-certificate")
UNKNOWN = found("mtls-refuses-no-certificate", Result.INCONCLUSIVE, REFUSED, "unreachable")
SKIPPED = found("mtls-refuses-no-certificate", Result.SKIP, REFUSED, "")


@pytest.mark.parametrize(
    ("findings", "words", "code"),
    [
        ((LET_IN,), "lets unauthorised clients in: 1 of 2", ExitCode.CHECK_FAILED),
        ((WITHOUT_TLS,), "lets unauthorised clients in: 1 of 2", ExitCode.CHECK_FAILED),
        ((TURNED_AWAY,), "does not serve its own client: 1 of 2", ExitCode.CHECK_FAILED),
        (
            (NO_LOG, TURNED_AWAY, LET_IN),
            (
                "lets unauthorised clients in and does not serve its own client: 3 of 4 checks failed "
                "(mtls-refuses-no-certificate, mtls-serves-client-certificate, config-logs)."
            ),
            ExitCode.CHECK_FAILED,
        ),
        ((UNTRUSTED,), "is NOT as it should be: 1 of 2", ExitCode.CHECK_FAILED),
        ((UNVERIFIED,), "is NOT as it should be: 1 of 2", ExitCode.CHECK_FAILED),
        ((OF_TLS,), "is NOT as it should be: 1 of 2", ExitCode.CHECK_FAILED),
        (
            (dataclasses.replace(OF_THE_CLIENT, service=SMALL_SERVER),),
            "is NOT as it should be: 1 of 2",
            ExitCode.CHECK_FAILED,
        ),
        ((NO_LOG,), "is NOT configured as it should be: 1 of 2", ExitCode.CHECK_FAILED),
        ((NO_LOG, UNTRUSTED), "is NOT as it should be: 2 of 3", ExitCode.CHECK_FAILED),
        ((OTHER_PAGE,), "enforces mTLS, but is stricter or other than rendered: 1 check passed", ExitCode.OK),
        ((EDITED,), "enforces mTLS, but is stricter or other than rendered: 1 check passed", ExitCode.OK),
        ((BY_DESIGN, OTHER_WORDS), "enforces mTLS: 1 check passed, 2 warnings (1 by design).", ExitCode.OK),
        ((UNKNOWN, OTHER_PAGE), "could not be judged here: 1 check without an answer (", ExitCode.INCONCLUSIVE),
        ((SKIPPED,), "could not be judged here: 0 checks without an answer, 1 not tried.", ExitCode.INCONCLUSIVE),
    ],
)
def test_the_last_sentence_says_what_happened(findings: tuple[VerifyFinding, ...], words: str, code: ExitCode) -> None:
    report = dataclasses.replace(GOOD, findings=(CONTROL, *findings))
    assert report.closing_sentence.startswith(f'lab "lecture" {words}')
    assert report.exit_code is code


@pytest.mark.parametrize("fmt", sorted(set(VERIFY_FORMATS) - {"json"}))
def test_every_format_for_people_and_for_a_ci_has_the_sentence(fmt: str) -> None:
    assert "lets unauthorised clients in" in render_report(dataclasses.replace(GOOD, findings=(LET_IN,)), fmt)


def test_the_document_for_programs_has_the_sentence() -> None:
    report = dataclasses.replace(GOOD, findings=(LET_IN,))
    assert report.to_mapping()["closing_sentence"] == report.closing_sentence


LACKING = found("mtls-serves-client-certificate.tls12", Result.WARN, SERVED, "refused-by-alert")
LACKING = dataclasses.replace(LACKING, observed={**LACKING.observed, "alert": "protocol_version"})
ONE, TWO = (dataclasses.replace(SKIPPED, id=name, because=because) for name, because in (("a", LACKING.id), ("b", "a")))


def test_what_was_skipped_for_a_tls_version_that_the_server_does_not_speak_leaves_nothing_open() -> None:
    report = dataclasses.replace(GOOD, findings=(CONTROL, LACKING, ONE, TWO))
    assert report.exit_code is ExitCode.OK
    assert report.closing_sentence == (
        'lab "lecture" enforces mTLS, but is stricter or other than rendered: 1 check passed, 1 warning, 2 not tried.'
    )


def test_a_tls_version_that_is_missing_turns_nobody_away() -> None:
    newest = dataclasses.replace(LACKING, id="mtls-serves-client-certificate.tls13", result=Result.FAIL)
    assert "is NOT as it should be" in dataclasses.replace(GOOD, findings=(CONTROL, newest)).closing_sentence

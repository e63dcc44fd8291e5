"""The report of an audit is a report like that of verify: the same writers, the same rules, words of its own."""

from __future__ import annotations

import dataclasses
import datetime

import junitparser
import pytest
from mtlslab.audit import AuditFinding, AuditReport, Offer, ServerFacts
from mtlslab.audit.report import REFUSED
from mtlslab.errors import ExitCode
from mtlslab.output import AUDIT_FORMATS, render_report
from mtlslab.pki.faults import Severity
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Finding, Report

from tests.support.report_readers import read_tap

STRANGER = AuditFinding(
    id="refuses-self-signed.tls13",
    title="refuses a self-signed certificate",
    category="Unauthorised clients",
    severity=Severity.REQUIRED,
    result=Result.PASS,
    expected=REFUSED,
    observed={"outcome": "refused-by-alert", "answer": "alert unknown_ca"},
    reason="The server refused with the TLS alert unknown_ca.",
    hint="nginx: ssl_verify_client on",
    tls_version="1.3",
)
OFFERS = {"1.0": Offer.REFUSED, "1.1": Offer.REFUSED, "1.2": Offer.REFUSED, "1.3": Offer.ACCEPTED}


def report_of(*findings: AuditFinding, strict: bool = False) -> AuditReport:
    started = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    return AuditReport(
        url="https://localhost:8889/", started=started, server=ServerFacts(OFFERS), findings=findings, strict=strict
    )


def other(name: str, result: Result, severity: Severity = Severity.REQUIRED) -> AuditFinding:
    return dataclasses.replace(STRANGER, id=f"{name}.tls13", result=result, severity=severity)


WARNING = other("warned", Result.WARN, Severity.ADVISORY)
MIXED = report_of(STRANGER, *(other(result.value, result) for result in Result if result is not Result.PASS))


def test_verify_and_audit_share_the_base() -> None:
    assert isinstance(MIXED, Report)
    assert isinstance(STRANGER, Finding)


@pytest.mark.parametrize("fmt", AUDIT_FORMATS)
def test_every_format_tells_what_failed_and_ends_with_a_line_end(fmt: str) -> None:
    text = render_report(MIXED, fmt)
    assert ("✗ fail: " if fmt == "short" else "fail.tls13") in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_tap_has_a_point_for_each_check() -> None:
    points = read_tap(render_report(MIXED, "tap"))
    assert [(point.ok, point.skipped) for point in points] == [
        (True, False),
        (False, False),
        (True, False),
        (True, True),
        (False, False),
    ]


def test_short_has_a_line_for_each_check_that_is_not_passed() -> None:
    lines = render_report(MIXED, "short").splitlines()
    assert len(lines) == len(MIXED.findings) - 1 + 1
    assert lines[-1] == MIXED.closing_sentence


@pytest.mark.parametrize("strict", [False, True])
def test_a_warning_is_a_failure_in_junit_where_it_fails_the_run(strict: bool) -> None:
    report = report_of(STRANGER, WARNING, strict=strict)
    xml = junitparser.JUnitXml.fromstring(render_report(report, "junit").encode())
    assert (xml.tests, xml.failures, report.success) == (2, int(strict), not strict)


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ((STRANGER,), ExitCode.OK),
        ((STRANGER, other("a", Result.SKIP)), ExitCode.OK),
        ((STRANGER, WARNING), ExitCode.CHECK_FAILED),
        ((STRANGER, other("a", Result.FAIL), other("b", Result.INCONCLUSIVE)), ExitCode.CHECK_FAILED),
        ((STRANGER, WARNING, other("b", Result.INCONCLUSIVE)), ExitCode.INCONCLUSIVE),
        ((STRANGER, other("b", Result.INCONCLUSIVE, Severity.ADVISORY)), ExitCode.OK),
        ((other("a", Result.SKIP),), ExitCode.INCONCLUSIVE),
        ((), ExitCode.INCONCLUSIVE),
    ],
)
def test_the_exit_status_of_a_strict_audit_follows_from_the_results(
    findings: tuple[AuditFinding, ...], code: ExitCode
) -> None:
    """A hole outweighs what could not be told, and that outweighs a warning; what was not asked for does not count."""
    assert report_of(*findings, strict=True).exit_code is code


def test_words_of_the_server_are_changed_wherever_they_stand() -> None:
    hostile = report_of(dataclasses.replace(STRANGER, reason="\x1b[2J", observed={"\x1b": "\x1b"}))
    hostile = dataclasses.replace(hostile, server=dataclasses.replace(hostile.server, ca_names=("CN=\x1b",)))
    assert "\x1b" not in str(hostile.with_texts(lambda _: "harmless"))

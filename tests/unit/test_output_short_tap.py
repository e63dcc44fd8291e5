"""The formats ``short`` and ``tap`` tell the same report as the others."""

from __future__ import annotations

import dataclasses

import pytest
from mtlslab.output import render_report
from mtlslab.output.look import Look
from mtlslab.output.short import render_short
from mtlslab.output.tap import render_tap
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Cause, VerifyReport

from tests.support.golden import as_it_was_looked_at
from tests.support.report_readers import read_tap
from tests.support.report_values import GOOD, MIXED, other

HOSTILE = "\x1b[2J\nok 99 - forged\u2028\x85# SKIP \\\n  ...\r'\": {"


def hostile(result: Result) -> VerifyReport:
    finding = other("hostile", result, HOSTILE, observed={"client_subject": HOSTILE}, title="a title\nnot ok 1 - two")
    return dataclasses.replace(GOOD, findings=(finding,))


@pytest.mark.parametrize(("name", "report"), [("good", GOOD), ("mixed", MIXED)])
def test_short_is_golden(name: str, report: VerifyReport) -> None:
    assert as_it_was_looked_at(f"short-{name}.txt", render_short(report, Look()))


@pytest.mark.parametrize(("name", "report"), [("good", GOOD), ("mixed", MIXED)])
def test_tap_is_golden(name: str, report: VerifyReport) -> None:
    assert as_it_was_looked_at(f"tap-{name}.tap", render_tap(report, Look()))


def test_short_is_one_line_for_each_check_that_is_not_passed_and_one_more() -> None:
    lines = render_short(MIXED, Look()).splitlines()
    assert len(lines) == 4 + 1
    assert lines[-1] == MIXED.closing_sentence


def test_short_has_nothing_but_ascii_where_the_terminal_has_not() -> None:
    text = render_short(MIXED, Look(unicode=False))
    assert text.isascii()
    assert "FAIL mtls-refuses-no-certificate: " in text


def test_short_paints_marks_only_where_there_is_colour() -> None:
    assert "\x1b" in render_short(MIXED, Look(colour=True))
    assert "\x1b" not in render_short(MIXED, Look())


@pytest.mark.parametrize("result", [Result.FAIL, Result.WARN, Result.SKIP, Result.INCONCLUSIVE])
def test_a_hostile_server_adds_no_line_to_short(result: Result) -> None:
    lines = render_short(hostile(result), Look()).splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_tap_knows_what_is_ok() -> None:
    """A pass and a warning are ok, a skipped check says so, and "could not tell" is never ok."""
    points = read_tap(render_tap(MIXED, Look()))
    assert [(point.ok, point.skipped) for point in points] == [
        (True, False),
        (False, False),
        (False, False),
        (True, True),
        (True, False),
    ]


def test_tap_tells_of_a_warning_in_a_comment() -> None:
    assert "# warning: The server served it; issue #1 \\ of every PKI." in render_tap(MIXED, Look()).splitlines()


def test_tap_explains_what_is_not_ok() -> None:
    unknown, failed = (point.diagnostics for point in read_tap(render_tap(MIXED, Look())) if not point.ok)
    assert unknown is not None
    assert failed is not None
    assert unknown["result"] == "inconclusive"
    assert failed["reason"] == MIXED.findings[2].reason
    assert failed["expected"] == {"outcome": "refused-no-certificate", "status": 400}
    assert str(failed["command"]).startswith("curl https://localhost:8889/")


@pytest.mark.parametrize("result", list(Result))
def test_a_hostile_server_forges_no_test_point(result: Result) -> None:
    points = read_tap(render_tap(hostile(result), Look()))
    assert len(points) == 1
    assert points[0].skipped is (result is Result.SKIP)


@pytest.mark.parametrize("fmt", ["short", "tap", "html"])
def test_each_format_is_chosen_by_name_and_fits_an_ascii_stream(fmt: str) -> None:
    finding = other("foreign", Result.FAIL, "Zertifikat ungültig", observed={"client_subject": "CN=Zoë"})
    report = dataclasses.replace(GOOD, findings=(finding,))
    assert "foreign" in render_report(report, fmt)
    assert render_report(report, fmt, unicode=False).isascii()


def test_a_report_for_a_glance_has_a_dozen_lines_at_most() -> None:
    report = GOOD
    for result in (Result.FAIL, Result.SKIP, Result.WARN):
        many = tuple(
            dataclasses.replace(report.findings[0], id=f"check-{number}.tls12", result=result) for number in range(129)
        )
        lines = render_report(dataclasses.replace(report, findings=many), "short").splitlines()
        assert 2 <= len(lines) <= 12


def test_on_a_terminal_it_has_a_dozen_lines_with_its_cause_and_none_is_too_wide() -> None:
    """Of 80 columns: a reason that is longer is cut, the verdict is told whole."""
    reason = "It served a client that it must refuse, for a reason that takes some words to be told in full here. " * 2
    many = tuple(other(f"check-{number}", Result.FAIL, f"{reason}{number}") for number in range(30))
    causes = (Cause("ssl_verify_client optional;", "nginx-mtls/nginx.conf:54", ("check-1",)),)
    report = dataclasses.replace(MIXED, findings=(*MIXED.findings, *many), causes=causes)
    for width in (0, 80):
        lines = render_short(report, Look(width=width)).splitlines()
        assert len(lines) <= 12
        assert lines[-1] == "Cause: ssl_verify_client optional; nginx-mtls/nginx.conf:54"
        assert not width or all(len(line) <= width for line in lines)

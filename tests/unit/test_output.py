"""Every format tells the same report: aligned text for people, JSON for programs, JUnit for CI."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from importlib import resources
from typing import Any

import jsonschema
import junitparser
import pytest
from mtlslab.errors import ExitCode, SpecError
from mtlslab.output import LIST_FORMATS, VERIFY_FORMATS, render_list, render_report
from mtlslab.verify.checks import Result, ServerSaid, Severity, catalogue
from mtlslab.verify.report import SCHEMA as REPORT_SCHEMA
from mtlslab.verify.report import VerifyReport

from tests.support.eight_checks import CHECKS, STARTED, Answer, as_expected, mixed, optional, report_of, stopped
from tests.support.golden import as_it_was_looked_at


def with_reason(report: VerifyReport, reason: str, answer: str) -> VerifyReport:
    """The same report with its first check failed for that reason."""
    failed = dataclasses.replace(
        report.findings[0], result=Result.FAIL, reason=reason, observed={"outcome": "not-tls", "answer": answer}
    )
    return dataclasses.replace(report, findings=(failed, *report.findings[1:]))


def all_failed(report: VerifyReport) -> VerifyReport:
    return dataclasses.replace(
        report, findings=tuple(dataclasses.replace(finding, result=Result.FAIL) for finding in report.findings)
    )


@pytest.mark.parametrize(
    ("name", "answer", "look"),
    [
        ("verify-good.txt", as_expected, {}),
        ("verify-optional.txt", optional, {}),
        ("verify-stopped.txt", stopped, {}),
        ("verify-mixed.txt", mixed, {}),
        ("verify-mixed-ascii.txt", mixed, {"unicode": False}),
        ("verify-good-verbose.txt", as_expected, {"verbose": 1}),
        ("verify-mixed-verbose.txt", mixed, {"verbose": 2}),
    ],
)
def test_the_text_is_as_it_was_looked_at(name: str, answer: Answer, look: dict[str, Any]) -> None:
    assert as_it_was_looked_at(name, render_report(report_of(answer), "text", **look))


@pytest.mark.parametrize(("fmt", "kind"), [("json", "json"), ("junit", "xml")])
def test_the_machine_formats_are_as_they_were_looked_at(fmt: str, kind: str) -> None:
    assert as_it_was_looked_at(f"verify-mixed.{kind}", render_report(report_of(mixed), fmt))


def test_the_goldens_show_every_result_and_every_kind_of_check() -> None:
    assert {finding.result for finding in report_of(mixed).findings} == set(Result)
    assert {check.severity for check in CHECKS} == set(Severity)
    assert {check.tls_version for check in CHECKS} == {None, "1.2", "1.3"}
    assert [finding.result for finding in report_of(mixed).findings if finding.by_design] == [Result.WARN]


def test_the_list_is_as_it_was_looked_at() -> None:
    assert as_it_was_looked_at("verify-list.txt", render_list(CHECKS))


# --- text


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (report_of(), 'lab "lecture" enforces mTLS: 7 checks passed, 1 warning (by design).'),
        (
            dataclasses.replace(report_of(), strict=True),
            'lab "lecture" does not pass --strict: 1 warning (by design) (mtls-accepts-revoked).',
        ),
        (
            report_of(optional),
            'lab "lecture" lets unauthorised clients in: 2 of 8 checks failed (mtls-refuses-no-certificate).',
        ),
        (
            report_of(stopped),
            (
                'lab "lecture" could not be judged here:'
                " 2 checks without an answer, 3 not tried (mtls-serves-client-certificate)."
            ),
        ),
        (
            report_of(mixed),
            (
                'lab "lecture" lets unauthorised clients in: 1 of 8 checks failed, 1 not tried'
                " (mtls-refuses-no-certificate)."
            ),
        ),
        (
            all_failed(report_of()),
            (
                'lab "lecture" is NOT as it should be: 8 of 8 checks failed (tls-serves-with-ca,'
                " tls-untrusted-without-ca, mtls-serves-client-certificate and 2 more)."
            ),
        ),
        (
            with_reason(report_of(), "x", "x"),
            'lab "lecture" is NOT as it should be: 1 of 8 checks failed (tls-serves-with-ca).',
        ),
        (
            report_of(as_expected, "tls-serves-with-ca"),
            'lab "lecture": 2 checks passed. That is a selection; whether it enforces mTLS takes all checks.',
        ),
    ],
    ids=["good", "strict", "optional", "stopped", "mixed", "all failed", "tls only", "selection"],
)
def test_everything_ends_in_one_sentence(report: VerifyReport, sentence: str) -> None:
    assert render_report(report).splitlines()[-1] == sentence


def test_all_that_is_well_is_one_line_for_each_group() -> None:
    lines = render_report(report_of()).splitlines()
    groups = list(dict.fromkeys(check.category for check in CHECKS))
    assert [line for line in lines if line.startswith("✓")] == [
        f"✓   3 checks  {groups[0]}",
        f"✓   4 checks  {groups[1]}",
        f"✓   1 check   {groups[2]} (1 by design)",
    ]
    assert "1 warning is by design: what nginx does, and not what many expect. Each of them: -v" in lines


def test_what_is_wrong_is_told_in_full_below_the_groups_and_the_worst_comes_last() -> None:
    text = render_report(report_of(mixed))
    assert "✗   4 checks  mTLS: the client proves who it is, too (1 failed, 1 without an answer, 1 not tried)" in text
    for finding in report_of(mixed).findings:
        # A server that is not there is two lines for all of its checks.
        told = finding.result in (Result.FAIL, Result.WARN) and not finding.by_design
        assert (f"      check     {finding.id}\n" in text) is told
        assert (f"      reason    {finding.reason[:40]}" in text) >= told
    checks = [line.split()[-1] for line in text.splitlines() if line.startswith("      check  ")]
    assert checks == ["tls-untrusted-without-ca", "mtls-refuses-no-certificate.tls12"]


@pytest.mark.parametrize("answer", [as_expected, optional, stopped, mixed])
def test_one_v_shows_every_check_and_two_show_its_command(answer: Answer) -> None:
    report = report_of(answer)
    every, commands = (render_report(report, verbose=level) for level in (1, 2))
    assert all(finding.title in every for finding in report.findings)
    tried = [finding for finding in report.findings if finding.result is not Result.SKIP]
    assert commands.count("      command   curl ") == len(tried)
    assert {text.splitlines()[-1] for text in (render_report(report), every, commands)} == {report.closing_sentence}


def test_a_selection_is_told_check_by_check() -> None:
    text = render_report(report_of(as_expected, "tls-serves-with-ca"))
    assert "the TLS server serves a client that trusts its CA" in text


def test_columns_are_aligned() -> None:
    lines = render_report(report_of(), verbose=1).splitlines()
    versions = [line.index("  TLS 1.") for line in lines if "  TLS 1." in line]
    assert (len(versions), len(set(versions))) == (4, 1)
    answers = [line.index(word) for line in lines for word in ("200", "400 No", "unable to") if f"  {word}" in line]
    assert (len(answers), len(set(answers))) == (5, 1)


def test_colour_is_only_there_when_asked_for() -> None:
    assert "\x1b" not in render_report(report_of(optional))
    coloured = render_report(report_of(optional), colour=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == render_report(report_of(optional))
    assert "\x1b" in coloured


def test_ascii_is_all_that_a_poor_stream_gets() -> None:
    hostile = with_reason(report_of(), "caf\u00e9 \u2713", "\u2713")
    render_report(hostile, unicode=False).encode("ascii")


@pytest.mark.parametrize("colour", [True, False])
def test_a_servers_words_cannot_steer_the_terminal(colour: bool) -> None:
    hostile = with_reason(report_of(), "\x1b]0;owned\x07", "\x1b[2J\r\n")
    text = render_report(hostile, colour=colour)
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert "\x07" not in text


def test_verbose_shows_the_command_of_every_check() -> None:
    report = report_of()
    text = render_report(report, verbose=2)
    assert text.count("curl https://") == len(report.findings)
    assert all(finding.id in text for finding in report.findings)


def test_a_control_that_nobody_asked_for_is_marked() -> None:
    text = render_report(report_of(as_expected, "mtls-refuses-no-certificate.tls12"))
    assert "with a certificate of the client CA (needed by the others)" in text


# --- JSON


def test_json_is_one_document_with_the_documented_keys() -> None:
    document = json.loads(render_report(report_of(mixed), "json"))
    assert document["schema"] == "mtlslab.verify/1"
    assert (document["success"], document["exit_code"]) == (False, 1)
    assert document["summary"] == {"pass": 3, "fail": 1, "warn": 2, "skip": 1, "inconclusive": 1}
    wanted = {
        "id",
        "title",
        "category",
        "severity",
        "result",
        "expected",
        "observed",
        "reason",
        "command",
        "hint",
        "duration_ms",
    }
    assert all(wanted <= set(check) for check in document["checks"])


def test_json_keeps_every_character_of_a_servers_words() -> None:
    hostile = with_reason(report_of(), "\x1b\x00\u2713", "x")
    assert json.loads(render_report(hostile, "json"))["checks"][0]["reason"] == "\x1b\x00\u2713"


SCHEMA = json.loads((resources.files("mtlslab.output") / "schemas/verify-1.json").read_text())


def problems(document: object) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def test_the_schema_is_one_and_names_the_version_that_reports_name() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"]["const"] == REPORT_SCHEMA


@pytest.mark.parametrize("answer", [as_expected, optional, stopped, mixed])
def test_every_report_is_valid_by_the_schema(answer: Answer) -> None:
    assert problems(json.loads(render_report(report_of(answer), "json"))) == []


def test_the_servers_view_is_valid_by_the_schema() -> None:
    said = ServerSaid("400", "NONE", "CN=x", "CN=y", "01", "ab", "TLSv1.3", "X", session_reused=True)
    finding = dataclasses.replace(report_of().findings[0], observed={"server": said.to_mapping()})
    assert problems(dataclasses.replace(report_of(), findings=(finding,)).to_mapping()) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.pop("summary"),
        lambda document: document.update(more=1),
        lambda document: document.update(checks=[]),
        lambda document: document["checks"][0].update(result="maybe"),
        lambda document: document["checks"][0]["expected"].update(outcome="fine"),
        lambda document: document["checks"][0]["observed"].update(server={"verify": 1}),
    ],
    ids=["missing key", "unknown key", "no checks", "unknown result", "unknown outcome", "wrong type"],
)
def test_the_schema_refuses_what_is_no_report(spoil: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(render_report(report_of(), "json"))
    spoil(document)
    assert problems(document) != []


# --- JUnit


def parsed(report: VerifyReport) -> junitparser.JUnitXml:
    return junitparser.JUnitXml.fromstring(render_report(report, "junit").encode())


def test_junit_tells_failures_errors_and_skips_apart() -> None:
    xml = parsed(report_of(stopped))
    assert (xml.tests, xml.failures, xml.errors, xml.skipped) == (8, 0, 2, 3)
    xml = parsed(report_of(optional))
    assert (xml.tests, xml.failures, xml.errors, xml.skipped) == (8, 2, 0, 0)
    assert sum(suite.tests for suite in xml) == 8
    kinds = {type(result) for suite in xml for case in suite for result in case.result}
    assert kinds == {junitparser.Failure}


def test_junit_counts_warnings_as_failures_only_where_they_fail_the_run() -> None:
    assert parsed(report_of()).failures == 0
    assert parsed(dataclasses.replace(report_of(), strict=True)).failures == 1


def test_junit_has_the_attributes_that_its_schema_requires() -> None:
    root = ET.fromstring(render_report(report_of(optional), "junit"))  # noqa: S314 - our own XML
    for suite in root.iter("testsuite"):
        assert {
            "name",
            "tests",
            "failures",
            "errors",
            "skipped",
            "time",
            "timestamp",
            "hostname",
            "id",
            "package",
        } <= set(suite.keys())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
        assert [child.tag for child in suite] == ["properties", *["testcase"] * int(suite.get("tests", "0"))]
    for case in root.iter("testcase"):
        assert {"name", "classname", "time"} <= set(case.keys())
        assert re.fullmatch(r"\d+\.\d{3}", case.get("time", ""))
        told = [child.tag for child in case if child.tag.startswith("system-")]
        assert told in (["system-out"], ["system-out", "system-err"])


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\ufffe", "\ud800", '<&">]]>'])
def test_no_character_of_a_server_makes_the_xml_invalid(character: str) -> None:
    xml = render_report(with_reason(report_of(), f"it said {character}", character), "junit")
    tree = ET.parse(io.BytesIO(xml.encode("utf-8")))  # noqa: S314 - our own XML
    failure = tree.getroot().find(".//failure")
    assert failure is not None
    assert failure.get("message", "").startswith("it said")


# --- all formats


@pytest.mark.parametrize("fmt", VERIFY_FORMATS)
def test_every_format_names_the_failed_check_and_ends_with_a_line_end(fmt: str) -> None:
    text = render_report(report_of(optional), fmt)
    assert "mtls-refuses-no-certificate" in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("fmt", ["html", "tap", "short"])
def test_the_other_formats_are_wired(fmt: str) -> None:
    assert fmt in VERIFY_FORMATS


@pytest.mark.parametrize("fmt", LIST_FORMATS)
def test_the_list_names_every_check_of_the_real_catalogue_once(fmt: str) -> None:
    text = render_list(catalogue(), fmt)
    ids = re.findall(r"^  (\S+)  " if fmt == "text" else r'^    "id": "(.+)"', text, re.MULTILINE)
    assert ids == [check.id for check in catalogue()]
    assert all(check.title in text for check in catalogue())


def report_on_everything() -> VerifyReport:
    """A report on the real catalogue in which every check failed: nothing about it is left out."""
    plain = report_of().findings[0]
    findings = tuple(
        dataclasses.replace(
            plain,
            id=check.id,
            title=check.title,
            category=check.category,
            service=check.service,
            severity=check.severity,
            result=Result.FAIL,
            expected=check.expect.to_mapping(),
            why=check.why,
            hint=check.hint,
            tls_version=check.tls_version or "",
        )
        for check in catalogue()
    )
    return dataclasses.replace(report_of(), findings=findings)


@pytest.mark.parametrize(
    ("fmt", "pattern"),
    [
        ("text", r"^      check     (\S+)$"),
        ("json", r'^      "id": "(.+)"'),
        ("junit", r'<testcase name="([^"]+)"'),
        ("tap", r"^not ok \d+ - (\S+):"),
        ("html", r'<section[^>]* id="([^"]+)"'),
    ],
)
def test_a_report_on_the_real_catalogue_tells_of_every_check_once(fmt: str, pattern: str) -> None:
    text = render_report(report_on_everything(), fmt, verbose=2)
    assert re.findall(pattern, text, re.MULTILINE) == [check.id for check in catalogue()]
    if fmt == "json":
        assert problems(json.loads(text)) == []


def test_an_unknown_format_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(SpecError) as of_reports:
        render_report(report_of(), "yaml")
    with pytest.raises(SpecError) as of_lists:
        render_list(catalogue(), "yaml")
    assert "json" in of_reports.value.hint
    assert "json" in of_lists.value.hint


# --- the exit status


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ((Result.PASS,), ExitCode.OK),
        ((Result.PASS, Result.WARN), ExitCode.OK),
        ((Result.PASS, Result.FAIL), ExitCode.CHECK_FAILED),
        ((Result.INCONCLUSIVE, Result.SKIP, Result.FAIL), ExitCode.CHECK_FAILED),
        ((Result.PASS, Result.INCONCLUSIVE), ExitCode.INCONCLUSIVE),
        ((Result.PASS, Result.SKIP), ExitCode.INCONCLUSIVE),
        ((), ExitCode.INCONCLUSIVE),
    ],
)
def test_the_exit_status_follows_from_the_results(results: tuple[Result, ...], code: ExitCode) -> None:
    finding = report_of().findings[0]
    findings = tuple(dataclasses.replace(finding, result=result) for result in results)
    report = VerifyReport(lab="lecture", runtime="embedded", started=STARTED, findings=findings)
    assert (report.exit_code, report.success) == (code, code is ExitCode.OK)

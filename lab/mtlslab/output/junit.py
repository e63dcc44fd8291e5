"""The report as JUnit XML, as Jenkins, GitLab and their like read it: failures fail, "could not tell" is an error."""

from __future__ import annotations

import datetime
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from itertools import groupby

from mtlslab.plan.shell import shell_line
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Finding, Report

# Everything but the characters that XML 1.0 (section 2.2) allows.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(report: Report) -> str:
    """One ``testsuite`` per category, one ``testcase`` per check."""
    root = ET.Element("testsuites", {"name": "mtlslab verify", **_counts(report, report.findings, report.duration_ms)})
    for number, (category, members) in enumerate(groupby(report.findings, key=lambda finding: finding.category)):
        _add_suite(root, report, number, category, tuple(members))
    return as_document(root)


def _add_suite(root: ET.Element, report: Report, number: int, category: str, findings: Sequence[Finding]) -> None:
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": clean(category),
            "id": str(number),
            "package": clean(f"mtlslab.{report.lab}"),
            "timestamp": timestamp(report.started),
            "hostname": "localhost",
            **_counts(report, findings, sum(finding.duration_ms for finding in findings)),
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (("lab", report.lab), ("runtime", report.runtime)):
        ET.SubElement(properties, "property", {"name": name, "value": clean(value)})
    for finding in findings:
        _add_case(suite, finding, failed=_fails(report, finding))


def _add_case(suite: ET.Element, finding: Finding, *, failed: bool) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        {"name": finding.id, "classname": f"mtlslab.{finding.service}", "time": seconds(finding.duration_ms)},
    )
    if finding.result is Result.SKIP:
        ET.SubElement(case, "skipped", {"message": clean(finding.reason)})
    if failed or finding.result is Result.INCONCLUSIVE:
        tag = "failure" if failed else "error"
        attributes = {"message": clean(finding.reason), "type": finding.result.value}
        ET.SubElement(case, tag, attributes).text = clean(_story(finding))
    ET.SubElement(case, "system-out").text = clean(
        f"{finding.title}\n{finding.reason}\n$ {shell_line(finding.command)}"
    )


def _story(finding: Finding) -> str:
    return "\n".join(
        (
            finding.title,
            f"expected: {dict(finding.expected)}",
            f"observed: {dict(finding.observed)}",
            f"command: {shell_line(finding.command)}",
            f"hint: {finding.hint}",
        )
    )


def _fails(report: Report, finding: Finding) -> bool:
    return finding.result is Result.FAIL or (report.strict and finding.result is Result.WARN)


def _counts(report: Report, findings: Sequence[Finding], duration_ms: float) -> dict[str, str]:
    failures = sum(_fails(report, finding) for finding in findings)
    return counts([finding.result for finding in findings], failures, duration_ms)


# --- what every JUnit report shares


def counts(results: Sequence[Result], failures: int, duration_ms: float) -> dict[str, str]:
    """The attributes of a ``testsuite`` that count its cases, and its time in seconds."""
    return {
        "tests": str(len(results)),
        "failures": str(failures),
        "errors": str(results.count(Result.INCONCLUSIVE)),
        "skipped": str(results.count(Result.SKIP)),
        "time": seconds(duration_ms),
    }


def seconds(milliseconds: float) -> str:
    """A duration as the ``time`` of a suite or a case."""
    return f"{milliseconds / 1000:.3f}"


def timestamp(moment: datetime.datetime) -> str:
    """A moment as the ``timestamp`` of a suite: the schema of the JUnit Ant task knows no time zone here."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def clean(text: str) -> str:
    """The text without the characters that XML has no place for, not even escaped."""
    return _ILLEGAL.sub("?", text)


def as_document(root: ET.Element) -> str:
    """The whole report as text that ends with a line end."""
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"

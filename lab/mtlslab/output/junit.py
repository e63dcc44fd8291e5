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


def render_junit(*reports: Report) -> str:
    """One ``testsuite`` per category of each report, one ``testcase`` per check; at least one report."""
    report = reports[0]
    root = ET.Element("testsuites", {"name": f"mtlslab {report.PROGRAM}", **_sums(reports)})
    for report in reports:
        for category, members in groupby(report.findings, key=lambda finding: finding.category):
            _add_suite(root, report, category, tuple(members))
    return _as_document(root)


def _add_suite(root: ET.Element, report: Report, category: str, findings: Sequence[Finding]) -> None:
    suite = ET.SubElement(
        root,
        "testsuite",
        {
            "name": _clean(category),
            "id": str(len(root)),
            "package": _clean(report.package),
            "timestamp": _timestamp(report.started),
            "hostname": "localhost",
            **_counts(report, findings, sum(finding.duration_ms for finding in findings)),
        },
    )
    properties = ET.SubElement(suite, "properties")
    warned = {f"warning {one.id}": one.reason for one in findings if one.result is Result.WARN}
    facts = {**report.subject, "verdict": report.closing_sentence, **report.facts, **warned}
    for name, value in facts.items():
        ET.SubElement(properties, "property", {"name": _clean(name), "value": _clean(value)})
    for finding in findings:
        _add_case(suite, report, finding)


def _add_case(suite: ET.Element, report: Report, finding: Finding) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        {"name": finding.id, "classname": _clean(report.place_of(finding)), "time": _seconds(finding.duration_ms)},
    )
    failed = report.fails(finding)
    if finding.result is Result.SKIP:
        ET.SubElement(case, "skipped", {"message": _clean(finding.reason)})
    if failed or finding.result is Result.INCONCLUSIVE:
        tag = "failure" if failed else "error"
        attributes = {"message": _clean(finding.reason), "type": finding.result.value}
        ET.SubElement(case, tag, attributes).text = _clean(_story(finding))
    command = [f"$ {shell_line(finding.command)}"] if finding.command else []
    ET.SubElement(case, "system-out").text = _clean("\n".join((finding.title, finding.reason, *command)))
    if finding.result is Result.WARN and not failed:
        # To a CI this case has passed: it shows what a test says on stderr.
        ET.SubElement(case, "system-err").text = _clean(f"WARNING: {finding.title}\n{finding.reason}\n{finding.hint}")


def _story(finding: Finding) -> str:
    lines = [finding.title, f"expected: {dict(finding.expected)}", f"observed: {dict(finding.observed)}"]
    if finding.command:
        lines.append(f"command: {shell_line(finding.command)}")
    return "\n".join([*lines, f"hint: {finding.hint}"])


def _counts(report: Report, findings: Sequence[Finding], duration_ms: float) -> dict[str, str]:
    """The attributes of a suite that count its cases, and its time."""
    results = [finding.result for finding in findings]
    return {
        "tests": str(len(results)),
        "failures": str(sum(report.fails(finding) for finding in findings)),
        "errors": str(results.count(Result.INCONCLUSIVE)),
        "skipped": str(results.count(Result.SKIP)),
        "time": _seconds(duration_ms),
    }


def _sums(reports: Sequence[Report]) -> dict[str, str]:
    """The same for all reports together."""
    counts = [_counts(report, report.findings, report.duration_ms) for report in reports]
    sums = {name: str(sum(int(one[name]) for one in counts)) for name in counts[0] if name != "time"}
    return {**sums, "time": _seconds(sum(report.duration_ms for report in reports))}


def _seconds(milliseconds: float) -> str:
    """A duration as the ``time`` of a suite or a case."""
    return f"{milliseconds / 1000:.3f}"


def _timestamp(moment: datetime.datetime) -> str:
    """A moment as the ``timestamp`` of a suite: the schema of the JUnit Ant task knows no time zone here."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def _clean(text: str) -> str:
    """The text without the characters that XML has no place for, not even escaped."""
    return _ILLEGAL.sub("?", text)


def _as_document(root: ET.Element) -> str:
    """The whole report as text that ends with a line end."""
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"

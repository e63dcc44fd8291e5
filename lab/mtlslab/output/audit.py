"""Looks of an audit's report: for people, for programs, for a CI. They all tell the same."""

from __future__ import annotations

import dataclasses
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from mtlslab.audit import CLIENT_AUTH_WORDS, AuditFinding, AuditReport, ClientAuth, ServerFacts
from mtlslab.errors import ExitCode
from mtlslab.output.junit import as_document, counts, seconds, timestamp
from mtlslab.output.short import one_line
from mtlslab.output.text import Look
from mtlslab.plan.shell import shell_line
from mtlslab.plan.visible import json_document, visible, visible_values
from mtlslab.verify.checks import Result

AUDIT_FORMATS = ("text", "json", "junit")

_WIDEST_TITLE = 76
_TEXT_WIDTH = 120
_LABEL_WIDTH = 10
_FACT_WIDTH = 24
_INDENT = " " * 6
_NAMES_SHOWN = 5
_NEEDS_A_LOOK = (Result.FAIL, Result.WARN, Result.INCONCLUSIVE)


def render_audit(
    report: AuditReport, fmt: str = "text", *, colour: bool = False, unicode: bool = True, verbose: bool = False
) -> str:
    """A report as text that ends with a line end.

    Args:
        report: the value.
        fmt: one of ``AUDIT_FORMATS``.
        colour: mark results with terminal colours; text only.
        unicode: whether the stream can show more than ASCII; text only.
        verbose: tell the reason and the command of every check; text only.
    """
    if fmt == "json":
        return json_document(report.to_mapping()) + "\n"
    report = _harmless(report)
    if fmt == "junit":
        return _junit(report)
    text = _text(report, Look(colour=colour, unicode=unicode, verbose=verbose))
    return text if unicode else text.encode("ascii", "replace").decode()


def _harmless(report: AuditReport) -> AuditReport:
    """The report with the words of strangers made visible (``mtlslab.plan.visible``), for people and for XML."""
    server = dataclasses.replace(report.server, ca_names=visible_values(report.server.ca_names))
    findings = tuple(
        dataclasses.replace(
            finding,
            reason=visible(finding.reason),
            observed=visible_values(finding.observed),
            command=visible_values(finding.command),
        )
        for finding in report.findings
    )
    return dataclasses.replace(report, url=visible(report.url), server=server, findings=findings)


def closing_sentence(report: AuditReport) -> str:
    """The one sentence that everything comes down to."""
    failed = report.with_result(Result.FAIL)
    if failed:
        return _failed_sentence(report, failed)
    if report.exit_code is ExitCode.INCONCLUSIVE:
        return f"could not tell whether {report.url} enforces mTLS: {one_line(_first_reason(report))}"
    skipped = {finding.family for finding in report.with_result(Result.SKIP)}
    refused = {finding.family for finding in report.with_result(Result.PASS) if finding.expected == "refused"}
    kinds = len(refused - {"refuses-old-tls"})
    warned = report.summary["warn"]
    warnings = f" {warned} with a warning{' (--strict)' if report.strict else ''}." if warned else ""
    if "serves-right-client" in skipped:
        return f"{report.url} lets no stranger in: {kinds} kinds refused; nobody tried the right client.{warnings}"
    return f"{report.url} enforces mTLS: the right client is served, {kinds} kinds of others are refused.{warnings}"


def _failed_sentence(report: AuditReport, failed: Sequence[AuditFinding]) -> str:
    holes = [finding for finding in failed if finding.expected == "refused"]
    if not holes:
        return f"{report.url} refuses the right client: {one_line(failed[0].reason)}"
    versions = ", ".join(dict.fromkeys(finding.tls_version for finding in holes))
    titles = list(dict.fromkeys(finding.title.removeprefix("refuses ") for finding in holes))
    more = f" and {len(titles) - 2} more" if len(titles) > 2 else ""
    return f"{report.url} does NOT enforce mTLS: it serves {', '.join(titles[:2])}{more} (TLS {versions})."


def _first_reason(report: AuditReport) -> str:
    return next((finding.reason for finding in report.unknown), "no check came to a result.")


def _text(report: AuditReport, look: Look) -> str:
    rows = list(_rows(report.findings, apart=look.verbose))
    title_width = min(_WIDEST_TITLE, max(len(row[0].title) for row in rows))
    version_width = max(len(_versions(row)) for row in rows)
    lines = [look.paint(report.url, "1"), *_facts(report.server)]
    hints: set[str] = set()
    for category, members in groupby(rows, key=lambda row: row[0].category):
        lines += ["", look.paint(category, "1")]
        for row in members:
            answer = look.paint(one_line(str(row[0].observed.get("answer", ""))), "2")
            mark = look.mark(row[0].result)
            lines.append(f"  {mark} {row[0].title:<{title_width}}  {_versions(row):<{version_width}}  {answer}")
            lines += _details(row, look, hints)
    lines += ["", *_not_judged(report, look), closing_sentence(report)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _facts(server: ServerFacts) -> Iterator[str]:
    offers = groupby(sorted(server.tls_versions.items(), key=lambda item: item[1].value), key=lambda item: item[1])
    versions = "; ".join(f"{offer.value}: {', '.join(version for version, _ in group)}" for offer, group in offers)
    asked = {True: "yes", False: "no", None: "could not be told"}[server.certificate_requested]
    names = "; ".join(server.ca_names[:_NAMES_SHOWN]) + (
        f" and {len(server.ca_names) - _NAMES_SHOWN} more" if len(server.ca_names) > _NAMES_SHOWN else ""
    )
    yield from _fact("TLS versions", versions)
    yield from _fact("asks for a certificate", asked)
    if server.certificate_requested:
        yield from _fact("announced CA names", one_line(names) or "none")
    if server.client_auth is not ClientAuth.UNKNOWN:
        yield from _fact("client authentication", f"{server.client_auth}: {CLIENT_AUTH_WORDS[server.client_auth]}")


def _fact(label: str, text: str) -> list[str]:
    return _wrapped(f"  {label:<{_FACT_WIDTH}}", text)


def _rows(findings: Iterable[AuditFinding], *, apart: bool) -> Iterator[tuple[AuditFinding, ...]]:
    """Findings of one family that came to the same are one row; what was not tried stands at the end."""
    tried = (finding for finding in findings if finding.result is not Result.SKIP)
    for _, same in groupby(tried, key=lambda finding: finding.id if apart else _sameness(finding)):
        yield tuple(same)


def _sameness(finding: AuditFinding) -> tuple[str, Result, str]:
    return finding.family, finding.result, str(finding.observed.get("answer"))


def _versions(row: Sequence[AuditFinding]) -> str:
    known = [finding.tls_version for finding in row if finding.tls_version]
    return f"TLS {', '.join(known)}" if known else ""


def _details(row: Sequence[AuditFinding], look: Look, hints: set[str]) -> Iterator[str]:
    """What a row needs to be understood; a hint that was given before is in ``hints`` and not repeated."""
    finding = row[0]
    needs_a_look = finding.result in _NEEDS_A_LOOK
    if not needs_a_look and not look.verbose:
        return
    yield from _labelled("check", finding.id if len(row) == 1 else finding.family)
    yield from _labelled("reason", one_line(finding.reason))
    if finding.command:
        # Never wrapped: it is there to be copied.
        yield f"{_INDENT}{'command':<{_LABEL_WIDTH}}{shell_line(finding.command)}"
    if needs_a_look and finding.hint not in hints:
        hints.add(finding.hint)
        yield from _labelled("hint", finding.hint)


def _labelled(label: str, text: str) -> list[str]:
    return _wrapped(f"{_INDENT}{label:<{_LABEL_WIDTH}}", text)


def _wrapped(first: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _TEXT_WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _not_judged(report: AuditReport, look: Look) -> list[str]:
    """What was not tried, and why; an empty line after it."""
    skipped = {finding.family: finding for finding in report.with_result(Result.SKIP)}
    if not skipped:
        return []
    lines = ["What could not be judged"]
    for one in skipped.values():
        lines.append(f"  {look.mark(one.result)} {one.title}")
        lines += _labelled("reason", one_line(one.reason))
    return [*lines, ""]


def _junit(report: AuditReport) -> str:
    """One ``testsuite`` per category, one ``testcase`` per check: failures fail, "could not tell" is an error."""
    root = ET.Element("testsuites", {"name": "mtlslab audit", **_counts(report.findings, report.duration_ms)})
    for category, members in groupby(report.findings, key=lambda finding: finding.category):
        found = tuple(members)
        duration = sum(finding.duration_ms for finding in found)
        suite = ET.SubElement(root, "testsuite", {"name": category, **_counts(found, duration)})
        suite.set("timestamp", timestamp(report.started))
        for finding in found:
            _add_case(suite, report, finding)
    return as_document(root)


def _add_case(suite: ET.Element, report: AuditReport, finding: AuditFinding) -> None:
    attributes = {"name": finding.id, "classname": report.url, "time": seconds(finding.duration_ms)}
    case = ET.SubElement(suite, "testcase", attributes)
    reason, told = one_line(finding.reason), one_line(f"{dict(finding.observed)}")
    tag = {Result.FAIL: "failure", Result.INCONCLUSIVE: "error", Result.SKIP: "skipped"}.get(finding.result)
    if tag == "failure" and finding.result is Result.FAIL:
        told = f"{told}\n{finding.hint}"
    if tag:
        ET.SubElement(case, tag, {"message": reason, "type": finding.result.value}).text = told
    ET.SubElement(case, "system-out").text = f"{finding.result.value}: {finding.title}\n{reason}"


def _counts(findings: Sequence[AuditFinding], duration_ms: float) -> dict[str, str]:
    results = [finding.result for finding in findings]
    return counts(results, results.count(Result.FAIL), duration_ms)

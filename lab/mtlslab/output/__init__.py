"""Looks of a report. The value comes first (``mtlslab.verify.report``); every format tells the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mtlslab.errors import SpecError
from mtlslab.output.junit import render_junit
from mtlslab.output.short import render_short
from mtlslab.output.tap import render_tap
from mtlslab.output.text import Look, render_text, render_text_list
from mtlslab.plan.visible import json_document, visible, visible_values
from mtlslab.verify.checks import Check
from mtlslab.verify.report import Finding, Report

if TYPE_CHECKING:
    from mtlslab.verify.pictures import Picture

REPORT_FORMATS = ("text", "short", "json", "junit", "tap", "html")
LIST_FORMATS = ("text", "json")


def render_report(
    report: Report,
    fmt: str = "text",
    *,
    colour: bool = False,
    unicode: bool = True,
    verbose: bool = False,
    pictures: Sequence[Picture] = (),
) -> str:
    """A report as text that ends with a line end.

    Args:
        report: the value.
        fmt: one of ``REPORT_FORMATS``.
        colour: mark results with terminal colours; text and short only.
        unicode: whether the stream can show more than ASCII.
        verbose: show the command and the reason of every check, not only of those that need a look; text only.
        pictures: recorded handshakes (``mtlslab.verify.pictures``); html only.

    Raises:
        SpecError: there is no such format.
    """
    _require(fmt, REPORT_FORMATS)
    look = Look(colour=colour, unicode=unicode, verbose=verbose)
    if fmt == "json":
        return json_document(report.to_mapping()) + "\n"
    report = harmless(report)
    if fmt == "junit":
        return render_junit(report)
    if fmt == "html":
        return _html(report, pictures, unicode=unicode)
    if fmt == "tap":
        return render_tap(report, unicode=unicode)
    return render_short(report, look) if fmt == "short" else render_text(report, look)


def harmless(report: Report) -> Report:
    """The report with the words of strangers made visible (``plan.visible``), for every format that people look at."""
    return dataclasses.replace(
        report,
        lab=visible(report.lab),
        runtime=visible(report.runtime),
        findings=tuple(map(_harmless, report.findings)),
    )


def _harmless(finding: Finding) -> Finding:
    return dataclasses.replace(
        finding,
        reason=visible(finding.reason),
        expected=visible_values(finding.expected),
        observed=visible_values(finding.observed),
        command=visible_values(finding.command),
    )


def _html(report: Report, pictures: Sequence[Picture], *, unicode: bool) -> str:
    from mtlslab.output.html import render_html  # the template engine and TLS, which no other format needs

    text = render_html(report, pictures)
    return text if unicode else text.encode("ascii", "xmlcharrefreplace").decode()


def render_list(checks: Sequence[Check], fmt: str = "text") -> str:
    """The catalogue as text that ends with a line end.

    Raises:
        SpecError: there is no such format.
    """
    _require(fmt, LIST_FORMATS)
    if fmt == "json":
        return json_document([_listed(check) for check in checks]) + "\n"
    return render_text_list(checks)


def _listed(check: Check) -> dict[str, object]:
    return {
        "id": check.id,
        "title": check.title,
        "category": check.category,
        "service": check.service,
        "severity": check.severity.value,
        "tls_version": check.tls_version or "",
        "credential": check.credential or "",
        "trust": check.trust.value,
        "depends": check.depends or "",
        "expected": check.expect.to_mapping(),
        "why": check.why,
        "hint": check.hint,
        "rfc": check.rfc,
        "directive": check.directive,
        "sabotage": check.sabotage,
    }


def _require(fmt: str, known: Sequence[str]) -> None:
    if fmt not in known:
        raise SpecError(f"There is no output format {fmt!r}.", hint=f"Use one of: {', '.join(known)}")

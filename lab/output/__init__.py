"""Looks of a report. The value comes first (``lab.report``); here it is only told, and every format tells the same."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lab.checks import Check
from lab.errors import SpecError
from lab.output.junit import render_junit
from lab.output.text import Look, render_text, render_text_list
from lab.report import Report

REPORT_FORMATS = ("text", "json", "junit")
LIST_FORMATS = ("text", "json")


def render_report(
    report: Report, fmt: str = "text", *, colour: bool = False, unicode: bool = True, verbose: bool = False
) -> str:
    """A report as text that ends with a line end.

    Args:
        report: the value.
        fmt: one of ``REPORT_FORMATS``.
        colour: mark results with terminal colours; text only.
        unicode: whether the stream can show more than ASCII; text only.
        verbose: show the command and the reason of every check, not only of those that need a look; text only.

    Raises:
        SpecError: there is no such format.
    """
    _require(fmt, REPORT_FORMATS)
    if fmt == "json":
        return json.dumps(report.to_mapping(), indent=2) + "\n"
    if fmt == "junit":
        return render_junit(report)
    return render_text(report, Look(colour=colour, unicode=unicode, verbose=verbose))


def render_list(checks: Sequence[Check], fmt: str = "text") -> str:
    """The catalogue as text that ends with a line end.

    Raises:
        SpecError: there is no such format.
    """
    _require(fmt, LIST_FORMATS)
    if fmt == "json":
        return json.dumps([_listed(check) for check in checks], indent=2) + "\n"
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
    }


def _require(fmt: str, known: Sequence[str]) -> None:
    if fmt not in known:
        raise SpecError(f"There is no output format {fmt!r}.", hint=f"Use one of: {', '.join(known)}")

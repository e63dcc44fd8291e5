"""The report for a glance: one line for each check that needs one, then the sentence that everything comes down to."""

from __future__ import annotations

from collections.abc import Iterator

from mtlslab.output.lines import one_line
from mtlslab.output.look import Look
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Report


def render_short(report: Report, look: Look) -> str:
    """One line per check that is not passed, in the report's order, and the closing sentence."""
    return look.fitting("\n".join((*_lines(report, look), one_line(report.closing_sentence))) + "\n")


def _lines(report: Report, look: Look) -> Iterator[str]:
    for finding in report.findings:
        if finding.result is not Result.PASS:
            yield f"{look.mark(finding.result)} {finding.id}: {one_line(finding.reason)}"

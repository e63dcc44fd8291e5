"""The report for a glance: one line for each check that needs one, then the sentence that everything comes down to."""

from __future__ import annotations

from collections.abc import Iterator

from mtlslab.output.text import Look, closing_sentence
from mtlslab.plan.visible import visible
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Report


def render_short(report: Report, look: Look) -> str:
    """One line per check that is not passed, in the report's order, and the closing sentence."""
    text = "\n".join((*_lines(report, look), closing_sentence(report))) + "\n"
    return text if look.unicode else text.encode("ascii", "replace").decode()


def _lines(report: Report, look: Look) -> Iterator[str]:
    for finding in report.findings:
        if finding.result is not Result.PASS:
            yield f"{look.mark(finding.result)} {finding.id}: {one_line(finding.reason)}"


def one_line(text: str) -> str:
    """A text, perhaps with a server's words in it, on one line and without characters that could steer a terminal."""
    return visible(" ".join(text.split()))

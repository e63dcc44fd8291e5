"""The report for a glance: a dozen lines at most, the last of which is the sentence that all comes down to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mtlslab.output.lines import one_line, wrapped
from mtlslab.output.look import Look
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Report

# Checks; with what was not tried, what is by design, the sentence and the cause, a dozen lines: on a terminal the
# sentence may take several.
_MOST, _MOST_ON_TERMINAL = 7, 4
_CAUSES = 2
_WORST_FIRST = (Result.FAIL, Result.INCONCLUSIVE, Result.WARN)


def render_short(report: Report, look: Look) -> str:
    """A line per check that needs a look, worst first; one for all that was not tried for the same reason."""
    closing = one_line(report.closing_sentence)
    last = wrapped("", closing, look.width) if look.width else [closing]
    if report.causes:
        cause = f"Cause: {'; '.join(one_line(str(one)) for one in report.causes[:_CAUSES])}"
        last.append(_cut(cause, look))
    return look.fitting("\n".join((*_lines(report, look), *last)) + "\n")


def _cut(text: str, look: Look, mark: str = "") -> str:
    """A line that is no longer than the terminal is wide; a report in a file is whole."""
    room = look.width - len(f"{mark} ") if look.width else len(text)
    return text if len(text) <= room else f"{text[: room - 3].rpartition(' ')[0]}..."


def _lines(report: Report, look: Look) -> Iterator[str]:
    # The same on two TLS versions is told once.
    told = {(one.family, one.reason): one for result in _WORST_FIRST for one in report.with_result(result)}
    shown = [one for one in told.values() if not (one.by_design and one.result is Result.WARN)]
    most = _MOST_ON_TERMINAL if look.width else _MOST
    for finding in shown[:most]:
        line = _cut(f"{finding.family}: {one_line(finding.reason)}", look, "xxxx")
        yield f"{look.mark(finding.result)} {line}"
    if len(shown) > most:
        yield f"{look.mark(shown[most].result)} and {len(shown) - most} more checks: -o text"
    by_design = sum(one.by_design for one in report.with_result(Result.WARN))
    if by_design:
        yield f"{look.mark(Result.WARN)} {by_design} by design: what nginx does, and not what many expect"
    skipped = report.with_result(Result.SKIP)
    if skipped:
        because = Counter(one.because.partition(".")[0] for one in skipped).most_common(1)[0][0]
        many = "1 check" if len(skipped) == 1 else f"{len(skipped)} checks"
        yield f"{look.mark(Result.SKIP)} {many} not tried{f' because of {because}' if because else ''}"

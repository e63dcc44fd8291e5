"""The report for a glance: a dozen lines at most, the last of which is the sentence that all comes down to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mtlslab.output.lines import one_line
from mtlslab.output.look import Look
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Report

_MOST = 8  # checks; with what was not tried, what is by design and the sentence, a dozen lines
_WORST_FIRST = (Result.FAIL, Result.INCONCLUSIVE, Result.WARN)


def render_short(report: Report, look: Look) -> str:
    """A line per check that needs a look, worst first; one for all that was not tried for the same reason."""
    return look.fitting("\n".join((*_lines(report, look), one_line(report.closing_sentence))) + "\n")


def _lines(report: Report, look: Look) -> Iterator[str]:
    # The same on two TLS versions is told once.
    told = {(one.family, one.reason): one for result in _WORST_FIRST for one in report.with_result(result)}
    shown = [one for one in told.values() if not (one.by_design and one.result is Result.WARN)]
    for finding in shown[:_MOST]:
        yield f"{look.mark(finding.result)} {finding.family}: {one_line(finding.reason)}"
    if len(shown) > _MOST:
        yield f"{look.mark(shown[_MOST].result)} and {len(shown) - _MOST} more checks: -o text"
    by_design = sum(one.by_design for one in report.with_result(Result.WARN))
    if by_design:
        yield f"{look.mark(Result.WARN)} {by_design} by design: what nginx does, and not what many expect"
    skipped = report.with_result(Result.SKIP)
    if skipped:
        because = Counter(one.because.partition(".")[0] for one in skipped).most_common(1)[0][0]
        many = "1 check" if len(skipped) == 1 else f"{len(skipped)} checks"
        yield f"{look.mark(Result.SKIP)} {many} not tried{f' because of {because}' if because else ''}"

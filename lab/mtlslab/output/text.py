"""A report for people: for a terminal, and for a projector in a lecture."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import groupby
from typing import Any

from mtlslab.output.lines import command_lines, fitted, one_line, wrapped
from mtlslab.output.look import Look
from mtlslab.pki.faults import Outcome
from mtlslab.plan.shell import shell_line
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Finding, Report

_SHOWN_FACTS = ("outcome", "status", "title", "page", "alert", "error", "client_verify", "certificate_requested")
_NEEDS_A_LOOK = (Result.FAIL, Result.WARN, Result.INCONCLUSIVE)
_WIDEST_TITLE = 78
_OTHERWISE = {
    Result.FAIL: "failed",
    Result.INCONCLUSIVE: "without an answer",
    Result.WARN: "with a warning",
    Result.SKIP: "not tried",
}
_WORST_FIRST = tuple(_OTHERWISE)
_WORST_LAST = (Result.PASS, Result.SKIP, Result.WARN, Result.INCONCLUSIVE, Result.FAIL)
_CAUSES_SHOWN = 3
_TIED = "\u00a0"  # a space at which no line is broken
_MANY = 3
_MARGIN = " " * 14  # of what stands behind the number of checks
_INDENT = " " * 6
_LABEL_WIDTH = 10


class Level(IntEnum):
    """How much is told: groups with what is wrong in them, every check, or every check with its command."""

    GROUPS = 0
    CHECKS = 1
    COMMANDS = 2


@dataclasses.dataclass(frozen=True)
class _Row:
    """One line: findings of one check on several TLS versions that came to the same."""

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        return self.findings[0]

    @property
    def title(self) -> str:
        return self.first.title + (" (needed by the others)" if self.first.dependency else "")

    @property
    def versions(self) -> str:
        known = [finding.tls_version for finding in self.findings if finding.tls_version]
        return f"TLS {', '.join(known)}" if known else ""

    @property
    def answer(self) -> str:
        because = self.first.because
        if because:
            return f"(because {because if len(self.findings) == 1 else because.partition('.')[0]})"
        return one_line(str(self.first.observed.get("answer", "")))


def render_text(report: Report, look: Look) -> str:
    """The whole report: a line per group or per check, details where something is wrong, one closing sentence."""
    told = [one for one in report.findings if not (report.CONCISE and one.result is Result.SKIP)]
    level = _level(report, look)
    rows = tuple(_rows(told, apart=level is Level.COMMANDS))
    lines = list(_head(report, look))
    if level is Level.GROUPS:
        lines += ["", *_groups(rows, look)]
        lines += _by_design(report, look)
        lines += _wrong(report, rows, look)
    else:
        lines += _all_rows(report, rows, look, level)
    if report.CONCISE:
        lines += _not_judged(report, look)
    lines += ["", *_closing(report, look)]
    return look.fitting("\n".join(line.rstrip() for line in lines) + "\n")


def _groups(rows: Sequence[_Row], look: Look) -> Iterator[str]:
    for category, members in groupby(rows, key=lambda row: row.first.category):
        group = tuple(members)
        if not all(row.first.because for row in group):  # those are counted where it is told why
            yield from _group_line(category, group, look)


def _all_rows(report: Report, rows: Sequence[_Row], look: Look, level: Level) -> Iterator[str]:
    """Every check below its group."""
    columns, hints = _columns(rows), set[str]()
    for category, members in groupby(rows, key=lambda row: row.first.category):
        yield from ("", *_bold(category, look))
        for row in _collapsed(members, level):
            if isinstance(row, str):
                yield from _marked(Result.SKIP, row, look)
                continue
            yield from _line(row, look, columns)
            yield from _details(row, level, look, concise=report.CONCISE, hints=hints)


def _collapsed(rows: Iterable[_Row], level: Level) -> Iterator[_Row | str]:
    """The rows; many that were not tried for one reason are one line, unless each is to be told."""
    for because, members in groupby(rows, key=lambda row: row.first.because.partition(".")[0]):
        same = tuple(members)
        if not because or len(same) < _MANY or level is Level.COMMANDS:
            yield from same
        else:
            yield f"{sum(len(row.findings) for row in same)} checks not tried (because {because})"


def _wrong(report: Report, rows: Sequence[_Row], look: Look) -> Iterator[str]:
    """What is not as it should be, the worst last, where it is still on the screen."""
    # Of those that are equally bad, the first is the simplest: it comes last.
    wrong = sorted((row for row in reversed(rows) if _stands_out(row.first)), key=lambda row: _badness(row.first))
    columns, hints = _columns(wrong), set[str]()
    if wrong:
        yield ""
    silent = [row for row in wrong if _is_silent(row.first)]
    yield from _no_answer(report, silent, look)
    shared = {one for cause in report.causes for one in cause.explains}
    rest = [row for row in wrong if row not in silent]
    for number, row in enumerate(rest):
        yield from _line(row, look, columns)
        # What has a cause in common with others is told in full once: the last of them, and the worst.
        common = row.first.id in shared
        if not common or not any(other.first.id in shared for other in rest[number + 1 :]):
            yield from _details(row, Level.GROUPS, look, concise=common, hints=hints, cause=common)


def _no_answer(report: Report, rows: Sequence[_Row], look: Look) -> Iterator[str]:
    """A server that is not there, in two lines: how many checks it takes along is only counted."""
    if not rows:
        return
    silent = dict.fromkeys(str(getattr(row.first, "service", "the server")) for row in reversed(rows))
    why = next((error for row in rows if (error := row.first.observed.get("error"))), "nobody answers")
    lost = {finding.id for row in rows for finding in row.findings}
    lost |= {finding.id for finding in report.with_result(Result.SKIP) if finding.because}
    many = "1 check" if len(lost) == 1 else f"{len(lost)} checks"
    yield from _marked(Result.INCONCLUSIVE, f"{' and '.join(silent)} could not be reached: {why}.", look)
    yield from wrapped("    ", f"{many} not tried because of that: mtlslab status, mtlslab up", look.width)
    for hint in dict.fromkeys(row.first.hint for row in rows):
        if " answers on " in hint:  # the server is there, and somewhere else
            yield from wrapped("    ", hint, look.width)


def _closing(report: Report, look: Look) -> Iterator[str]:
    """The one sentence, and what failures have in common."""
    yield from _bold(one_line(report.closing_sentence), look)
    for cause in report.causes[:_CAUSES_SHOWN]:
        yield from _bold(f"Cause: {one_line(str(cause))}", look)


def _bold(text: str, look: Look) -> Iterator[str]:
    yield from (look.paint(line, "1") for line in (wrapped("", text, look.width) if look.width else [text]))


def _marked(result: Result, text: str, look: Look) -> Iterator[str]:
    """A text behind the mark of a result, which may have colours; a failure is bold."""
    lines = wrapped(" " * 4, text, look.width) if look.width else [f"    {text}"]
    for number, line in enumerate(one.replace(_TIED, " ") for one in lines):
        shown = look.paint(line[4:], "1") if result is Result.FAIL else line[4:]
        yield f"  {look.mark(result)} {shown}" if not number else f"    {shown}"


def _badness(finding: Finding) -> int:
    """How bad it is that a check does not hold: somebody who was let in is worst."""
    lets_in, turns_away = getattr(finding, "lets_in", False), getattr(finding, "turns_away", False)
    return _WORST_LAST.index(finding.result) + (2 if lets_in else 1 if turns_away else 0)


def _is_silent(finding: Finding) -> bool:
    return finding.result is Result.INCONCLUSIVE and finding.observed.get("outcome") == Outcome.UNREACHABLE.value


def _level(report: Report, look: Look) -> Level:
    """How much is told: of a foreign server, or of a selection, at least every check."""
    least = Level.GROUPS if report.whole and not report.CONCISE else Level.CHECKS
    more = look.verbose + (1 if report.CONCISE else 0)
    return Level(max(least, min(more, Level.COMMANDS)))


def _stands_out(finding: Finding) -> bool:
    """Whether a check is told although all that is well is only counted."""
    return finding.result in _NEEDS_A_LOOK and not _is_by_design(finding)


def _is_by_design(finding: Finding) -> bool:
    return finding.by_design and finding.result is Result.WARN


def _group_line(category: str, rows: Iterable[_Row], look: Look) -> Iterator[str]:
    """How many checks a group has, and what became of those that did not simply pass."""
    findings = [finding for row in rows for finding in row.findings]
    counts = Counter("by design" if _is_by_design(one) else _OTHERWISE.get(one.result, "") for one in findings)
    others = ", ".join(f"{counts[words]} {words}" for words in (*_OTHERWISE.values(), "by design") if counts[words])
    worst = next((result for result in _WORST_FIRST if counts[_OTHERWISE[result]]), Result.PASS)
    many = f"{len(findings):>3} {'check ' if len(findings) == 1 else 'checks'}"
    told = f" ({others})" if others else ""
    lines = wrapped(_MARGIN, _short_enough(category, told, look) + told, look.width) if look.width else []
    first = lines[0].removeprefix(_MARGIN) if lines else f"{category}{told}"
    yield f"{look.mark(worst)} {many}  {look.paint(first, '1') if lines else look.paint(category, '1') + told}"
    yield from lines[1:]


def _short_enough(category: str, told: str, look: Look) -> str:
    """A heading without what follows its last commas, where it would not fit on one line."""
    while "," in category and len(_MARGIN + category + told) > look.width:
        category = category.rpartition(",")[0]
    return category


def _by_design(report: Report, look: Look) -> Iterator[str]:
    many = sum(_is_by_design(finding) for finding in report.findings)
    if many:
        verb = "warning is" if many == 1 else "warnings are"
        text = f"{many} {verb} by design: what nginx does, and not what many expect. Each of them: -v"
        yield from ("", *fitted(text, look.width))


def _head(report: Report, look: Look) -> Iterator[str]:
    if report.PROGRAM == "verify":
        yield from fitted(report.heading, look.width)
        return
    # A report of verify can do without the room of audit, which takes a moment to load.
    from mtlslab.audit import AuditReport
    from mtlslab.output.audit import server_facts

    yield from _bold(report.heading, look)
    if isinstance(report, AuditReport):
        yield from server_facts(report.server, look.width)


def _rows(findings: Iterable[Finding], *, apart: bool) -> Iterator[_Row]:
    """Findings of one family that came to the same are one row, unless each is to be told apart."""
    for _, same in groupby(findings, key=lambda finding: finding.id if apart else _sameness(finding)):
        yield _Row(tuple(same))


def _sameness(finding: Finding) -> tuple[Any, ...]:
    return (
        finding.family,
        finding.result,
        finding.observed.get("answer"),
        finding.observed.get("outcome"),
        finding.dependency,
    )


def _columns(rows: Sequence[_Row]) -> tuple[int, int]:
    """The widths of title and TLS versions."""
    titles = min(_WIDEST_TITLE, max((len(row.title) for row in rows), default=0))
    return titles, max((len(row.versions) for row in rows), default=0)


def _line(row: _Row, look: Look, columns: tuple[int, int]) -> Iterator[str]:
    title, versions = row.title, row.versions
    line = f"{title:<{columns[0]}}  {versions:<{columns[1]}}  {row.answer}".rstrip()
    if look.width and len(line) + 4 > look.width:
        line = "  ".join(filter(None, (title, versions.replace(" ", _TIED), row.answer)))
    if look.width:
        yield from _marked(row.first.result, line, look)
        return
    shown = look.paint(title, "1") if row.first.result is Result.FAIL else title
    yield f"  {look.mark(row.first.result)} {shown}{line[len(title) :]}"


def _details(
    row: _Row, level: Level, look: Look, *, concise: bool, hints: set[str], cause: bool = False
) -> Iterator[str]:
    """What a row needs to be understood: nothing if all is well, unless it is asked for.

    Args:
        row: the row.
        level: how much is told.
        look: of the terminal.
        concise: as in ``Report.CONCISE``.
        hints: those given before; a new one is added.
        cause: whether its cause is told in the end, which is all the hint there has to be.
    """
    finding = row.first
    needs_a_look, verbose = finding.result in _NEEDS_A_LOOK, level is Level.COMMANDS
    if not (needs_a_look or verbose) or finding.result is Result.SKIP:
        return
    if _is_by_design(finding) and not verbose:
        yield from _labelled("lesson", finding.why, look)
        return
    yield from _labelled("check", finding.id if len(row.findings) == 1 else finding.family, look)
    yield from _labelled("reason", one_line(finding.reason), look)
    if needs_a_look and not concise:
        yield from _labelled("expected", _facts(finding.expected), look)
        yield from _labelled("observed", _facts(finding.observed), look)
    if finding.command:
        # Never wrapped like prose: it is there to be copied.
        command = command_lines(f"{_INDENT}{'':<{_LABEL_WIDTH}}{shell_line(finding.command)}", look.width)
        yield f"{_INDENT}{'command':<{_LABEL_WIDTH}}{command[0].lstrip()}"
        yield from command[1:]
    if needs_a_look:
        yield from _labelled("why", finding.why, look)
        if not cause and finding.hint not in hints:  # each hint once
            yield from _labelled("hint", finding.hint, look)
        hints.add(finding.hint)


def _not_judged(report: Report, look: Look) -> Iterator[str]:
    """What was not tried, and why, once for all TLS versions."""
    skipped = {finding.family: finding for finding in report.with_result(Result.SKIP)}
    if skipped:
        yield from ("", "What could not be judged")
    for one in skipped.values():
        yield from _marked(one.result, one.title, look)
        yield from _labelled("reason", one_line(one.reason), look)


def _labelled(label: str, text: str, look: Look) -> Sequence[str]:
    return wrapped(f"{_INDENT}{label:<{_LABEL_WIDTH}}", text, look.width) if text else ()


def _facts(facts: Mapping[str, Any]) -> str:
    shown = (f"{name.replace('_', ' ')}: {_value(facts[name])}" for name in _SHOWN_FACTS if name in facts)
    return ", ".join(shown)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)

"""A report for people: for a terminal, and for a projector in a lecture."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import groupby
from typing import Any

from mtlslab.output.lines import one_line, wrapped
from mtlslab.output.look import Look
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
    title_width = min(_WIDEST_TITLE, max((len(row.title) for row in rows), default=0))
    version_width = max((len(row.versions) for row in rows), default=0)
    lines = list(_head(report, look))
    if level is Level.GROUPS:
        lines.append("")
    hints: set[str] = set()
    for category, members in groupby(rows, key=lambda row: row.first.category):
        group = tuple(members)
        if level is Level.GROUPS:
            lines.append(_group_line(category, group, look))
            group = tuple(row for row in group if _stands_out(row.first))
        else:
            lines += ["", look.paint(category, "1")]
        for row in group:
            lines.append(_line(row, look, title_width, version_width))
            lines += _details(row, level, concise=report.CONCISE, hints=hints)
    if report.CONCISE:
        lines += _not_judged(report, look)
    if level is Level.GROUPS:
        lines += _by_design(report)
    lines += ["", look.paint(one_line(report.closing_sentence), "1")]
    return look.fitting("\n".join(line.rstrip() for line in lines) + "\n")


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


def _group_line(category: str, rows: Iterable[_Row], look: Look) -> str:
    """How many checks a group has, and what became of those that did not simply pass."""
    findings = [finding for row in rows for finding in row.findings]
    counts = Counter("by design" if _is_by_design(one) else _OTHERWISE.get(one.result, "") for one in findings)
    others = ", ".join(f"{counts[words]} {words}" for words in (*_OTHERWISE.values(), "by design") if counts[words])
    worst = next((result for result in _WORST_FIRST if counts[_OTHERWISE[result]]), Result.PASS)
    many = f"{len(findings):>3} {'check ' if len(findings) == 1 else 'checks'}"
    return f"{look.mark(worst)} {many}  {look.paint(category, '1')}{f' ({others})' if others else ''}"


def _by_design(report: Report) -> Iterator[str]:
    many = sum(_is_by_design(finding) for finding in report.findings)
    if many:
        verb = "warning is" if many == 1 else "warnings are"
        yield from ("", f"{many} {verb} by design: what nginx does, and not what many expect. Each of them: -v")


def _head(report: Report, look: Look) -> Iterator[str]:
    if report.PROGRAM == "verify":
        yield report.heading
        return
    # A report of verify can do without the room of audit, which takes a moment to load.
    from mtlslab.audit import AuditReport
    from mtlslab.output.audit import server_facts

    yield look.paint(report.heading, "1")
    if isinstance(report, AuditReport):
        yield from server_facts(report.server)


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


def _line(row: _Row, look: Look, title_width: int, version_width: int) -> str:
    return f"  {look.mark(row.first.result)} {row.title:<{title_width}}  {row.versions:<{version_width}}  {row.answer}"


def _details(row: _Row, level: Level, *, concise: bool, hints: set[str]) -> Iterator[str]:
    """What a row needs to be understood: nothing if all is well, unless it is asked for.

    Args:
        row: the row.
        level: how much is told.
        concise: as in ``Report.CONCISE``.
        hints: those given before; a new one is added.
    """
    finding = row.first
    needs_a_look, verbose = finding.result in _NEEDS_A_LOOK, level is Level.COMMANDS
    if not (needs_a_look or verbose) or finding.result is Result.SKIP:
        return
    if _is_by_design(finding) and not verbose:
        yield from _labelled("lesson", finding.why)
        return
    yield from _labelled("check", finding.id if len(row.findings) == 1 else finding.family)
    yield from _labelled("reason", one_line(finding.reason))
    if needs_a_look and not concise:
        yield from _labelled("expected", _facts(finding.expected))
        yield from _labelled("observed", _facts(finding.observed))
    if finding.command:
        # Never wrapped: it is there to be copied.
        yield f"{_INDENT}{'command':<{_LABEL_WIDTH}}{shell_line(finding.command)}"
    if needs_a_look:
        yield from _labelled("why", finding.why)
        yield from _labelled("hint", "" if concise and finding.hint in hints else finding.hint)
        hints.add(finding.hint)


def _not_judged(report: Report, look: Look) -> Iterator[str]:
    """What was not tried, and why, once for all TLS versions."""
    skipped = {finding.family: finding for finding in report.with_result(Result.SKIP)}
    if skipped:
        yield from ("", "What could not be judged")
    for one in skipped.values():
        yield f"  {look.mark(one.result)} {one.title}"
        yield from _labelled("reason", one_line(one.reason))


def _labelled(label: str, text: str) -> Sequence[str]:
    return wrapped(f"{_INDENT}{label:<{_LABEL_WIDTH}}", text)


def _facts(facts: Mapping[str, Any]) -> str:
    shown = (f"{name.replace('_', ' ')}: {_value(facts[name])}" for name in _SHOWN_FACTS if name in facts)
    return ", ".join(shown)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)

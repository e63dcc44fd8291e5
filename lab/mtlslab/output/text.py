"""The report for people: for a terminal, and for a projector in a lecture."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from mtlslab.errors import ExitCode
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.plan.shell import shell_line
from mtlslab.verify.checks import Check, Result
from mtlslab.verify.report import Finding, Report

_MARKS = {
    Result.PASS: ("✓", "ok  "),
    Result.FAIL: ("✗", "FAIL"),
    Result.WARN: ("!", "warn"),
    Result.SKIP: ("-", "skip"),
    Result.INCONCLUSIVE: ("?", "??  "),
}
_COLOURS = {Result.PASS: "32", Result.FAIL: "1;31", Result.WARN: "33", Result.SKIP: "2", Result.INCONCLUSIVE: "1;35"}
_SHOWN_FACTS = ("outcome", "status", "title", "page", "alert", "error", "client_verify", "certificate_requested")
_NAMES_SHOWN = 3
_WIDEST_TITLE = 78
_TEXT_WIDTH = 120
_INDENT = " " * 6
_LABEL_WIDTH = 10


@dataclasses.dataclass(frozen=True)
class Look:
    """What the stream can show, and how much is wanted."""

    colour: bool = False
    unicode: bool = True
    verbose: bool = False

    def paint(self, text: str, style: str) -> str:
        """``text`` in a terminal style (the numbers of an SGR sequence), if there is colour."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colour else text

    def mark(self, result: Result) -> str:
        """The mark of a result."""
        return self.paint(_MARKS[result][0 if self.unicode else 1], _COLOURS[result])


@dataclasses.dataclass(frozen=True)
class _Row:
    """One line: findings of one check on several TLS versions that came to the same."""

    findings: tuple[Finding, ...]

    @property
    def first(self) -> Finding:
        return self.findings[0]

    @property
    def versions(self) -> str:
        known = [finding.tls_version for finding in self.findings if finding.tls_version]
        return f"TLS {', '.join(known)}" if known else ""


def render_text(report: Report, look: Look) -> str:
    """The whole report: groups, aligned rows, details where something is wrong, one closing sentence."""
    rows = tuple(_rows(report.findings, apart=look.verbose))
    title_width = min(_WIDEST_TITLE, max(len(_title(row)) for row in rows))
    version_width = max(len(row.versions) for row in rows)
    lines = [f'lab "{report.lab}" ({report.runtime})']
    for category, members in groupby(rows, key=lambda row: row.first.category):
        lines += ["", look.paint(category, "1")]
        for row in members:
            lines.append(_line(row, look, title_width, version_width))
            lines += _details(row, look)
    lines += ["", closing_sentence(report)]
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    return text if look.unicode else text.encode("ascii", "replace").decode()


def render_text_list(checks: Sequence[Check]) -> str:
    """The ids and facts of the catalogue, by category."""
    width = max(len(check.id) for check in checks)
    lines: list[str] = []
    for category, members in groupby(checks, key=lambda check: check.category):
        lines += [*([""] if lines else []), category]
        lines += [f"  {check.id:<{width}}  {check.title}" for check in members]
    return "\n".join(lines) + "\n"


def closing_sentence(report: Report) -> str:
    """The one sentence that everything comes down to."""
    lab, counts = f'lab "{report.lab}"', report.summary
    total = len(report.findings)
    if report.exit_code is ExitCode.CHECK_FAILED and not counts["fail"]:
        warned = [finding for finding in report.findings if finding.result is Result.WARN]
        return f"{lab} does not pass --strict: {_warned(report)} ({_names(warned)})."
    if report.exit_code is ExitCode.CHECK_FAILED:
        failed = [finding for finding in report.findings if finding.result is Result.FAIL]
        mutual = any(finding.service == MTLS_SERVICE for finding in failed)
        verdict = "does NOT enforce mTLS" if mutual else "is NOT as it should be"
        return f"{lab} {verdict}: {counts['fail']} of {_checks(total)} failed{_untried(counts)} ({_names(failed)})."
    if report.exit_code is ExitCode.INCONCLUSIVE:
        unknown = [finding for finding in report.findings if finding.result is Result.INCONCLUSIVE]
        without = f"{_checks(len(unknown))} without an answer{_untried(counts)}"
        return f"could not tell whether {lab} enforces mTLS: {without} ({_names(unknown)})."
    passed = f"{_checks(counts['pass'])} passed{_warned(report, ', ')}."
    if report.complete:
        return f"{lab} enforces mTLS: {passed}"
    return f"{lab}: {passed} That is a selection; whether it enforces mTLS takes all checks."


def _warned(report: Report, before: str = "") -> str:
    """How many warnings there are, and how many of them stand for what nginx does by design."""
    warnings = [finding for finding in report.findings if finding.result is Result.WARN]
    by_design = sum(finding.by_design for finding in warnings)
    if not warnings:
        return ""
    what = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    lessons = "" if not by_design else " (by design)" if by_design == len(warnings) else f" ({by_design} by design)"
    return f"{before}{what}{lessons}"


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


def _title(row: _Row) -> str:
    return row.first.title + (" (needed by the others)" if row.first.dependency else "")


def _line(row: _Row, look: Look, title_width: int, version_width: int) -> str:
    return (
        f"  {look.mark(row.first.result)} {_title(row):<{title_width}}"
        f"  {row.versions:<{version_width}}  {look.paint(_answer(row), '2')}"
    )


def _answer(row: _Row) -> str:
    because = row.first.because
    if because:
        return f"(because {because if len(row.findings) == 1 else because.partition('.')[0]})"
    return str(row.first.observed.get("answer", ""))


def _details(row: _Row, look: Look) -> Iterator[str]:
    """What a row needs to be understood: nothing if all is well, unless it is asked for."""
    finding = row.first
    needs_a_look = finding.result in (Result.FAIL, Result.WARN, Result.INCONCLUSIVE)
    if not (needs_a_look or look.verbose) or finding.result is Result.SKIP:
        return
    if finding.by_design and finding.result is Result.WARN and not look.verbose:
        yield from _labelled("lesson", finding.why)
        return
    yield from _labelled("check", finding.id if len(row.findings) == 1 else finding.family)
    yield from _labelled("reason", finding.reason)
    if needs_a_look:
        yield from _labelled("expected", _facts(finding.expected))
        yield from _labelled("observed", _facts(finding.observed))
    # Never wrapped: it is there to be copied.
    yield f"{_INDENT}{'command':<{_LABEL_WIDTH}}{shell_line(finding.command)}"
    if needs_a_look:
        yield from _labelled("why", finding.why)
        yield from _labelled("hint", finding.hint)


def _labelled(label: str, text: str) -> list[str]:
    margin = " " * (len(_INDENT) + _LABEL_WIDTH)
    return textwrap.wrap(
        text,
        _TEXT_WIDTH,
        initial_indent=f"{_INDENT}{label:<{_LABEL_WIDTH}}",
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _facts(facts: Mapping[str, Any]) -> str:
    shown = (f"{name.replace('_', ' ')}: {_value(facts[name])}" for name in _SHOWN_FACTS if name in facts)
    return ", ".join(shown)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _checks(count: int) -> str:
    return f"{count} check" if count == 1 else f"{count} checks"


def _untried(counts: Mapping[str, int]) -> str:
    return f", {counts['skip']} not tried" if counts["skip"] else ""


def _names(findings: Sequence[Finding]) -> str:
    names = list(dict.fromkeys(finding.family for finding in findings))
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more

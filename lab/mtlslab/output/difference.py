"""The answer of ``mtlslab diff`` for people."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from mtlslab.output.look import Look
from mtlslab.plan.visible import visible

if TYPE_CHECKING:
    from mtlslab.classroom.difference import Difference, DifferingLine

_WIDTH = 80
_FEW = 3  # checks of a line unless more are wanted
_INDENT = "    "


def render_difference(difference: Difference, look: Look) -> str:
    """The lines that separate the two servers, each with the checks that depend on it; ends with a line end.

    Args:
        difference: the value.
        look: ``verbose`` shows all checks of a line, not only the first ones.
    """
    count = len(difference.lines)
    noun = "directive separates" if count == 1 else "directives separate"
    lines = [f"{count} {noun} TLS from mutual TLS in the lab {difference.lab!r}.", ""]
    for line in difference.lines:
        lines += [*_told(line, all_checks=look.verbose > 0), ""]
    if difference.names:
        names = f"Names and ports differ as well, in: {', '.join(difference.names)}."
        lines += textwrap.wrap(names, _WIDTH, break_on_hyphens=False)
    hidden = any(len(line.checks) > _FEW for line in difference.lines) and not look.verbose
    if hidden:
        lines.append("All checks: mtlslab diff -v. One of them: mtlslab explain ID.")
    return "\n".join(lines).rstrip() + "\n"


def _told(line: DifferingLine, *, all_checks: bool) -> list[str]:
    lines = [f"{line.sign} {visible(line.directive)}", f"{_INDENT}{visible(str(line.place))}"]
    if line.about:
        lines[-1] += f": {line.about}"
    shown = line.checks if all_checks else line.checks[:_FEW]
    for entry in shown:
        told = f"- {entry.id}: {entry.title}"
        lines += textwrap.wrap(
            told, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT + "  ", break_on_hyphens=False
        )
    more = len(line.checks) - len(shown)
    if more:
        lines.append(f"{_INDENT}- and {more} more")
    if not line.checks:
        lines.append(f"{_INDENT}- no check is about it")
    return lines

"""The pages of ``mtlslab explain`` for people."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from mtlslab.output.lines import command_lines
from mtlslab.plan.shell import shell_line

if TYPE_CHECKING:
    from mtlslab.classroom.page import Page
    from mtlslab.classroom.terms import TermPage

_WIDTH = 100
_LABEL = 13


def render_page(page: Page, columns: int = 0) -> str:
    """The page as text that ends with a line end; commands can be copied.

    Args:
        page: the page.
        columns: the width of the terminal; 0 where there is none.
    """
    width = min(columns or _WIDTH, _WIDTH)
    lines = [page.id, "=" * len(page.id), *textwrap.wrap(f"{page.title} ({page.severity})", width), ""]
    for label, text in (
        ("tried", page.tried),
        ("happens", page.happens),
        ("why", page.why),
        ("to read", page.rfc),
        ("decided by", page.directive),
        ("see it fail", page.sabotage),
        ("if it fails", page.hint),
    ):
        lines += _labelled(label, text, width) if text else []
    lines += ["", "In the directory of the lab:"]
    commands = [f"  $ {shell_line(command)}" for command in (page.prepare, page.command, page.run) if command]
    lines += [line for command in commands for line in command_lines(command, columns)]
    return "\n".join(lines) + "\n"


def render_term(page: TermPage, columns: int = 0) -> str:
    """The page about a term as text that ends with a line end; arguments as for ``render_page``."""
    term, width = page.term, min(columns or _WIDTH, _WIDTH)
    lines = [term.title, "=" * len(term.title), *textwrap.wrap(term.text, width, break_on_hyphens=False), ""]
    lines += _labelled("to read", term.read, width)
    lines += _labelled("see also", ", ".join(term.see), width) if term.see else []
    if page.command:
        ending = f" (ends with {term.ends})" if term.ends else ""
        lines += ["", f"In the directory of the lab{ending}:"]
        commands = [f"  $ {command}" for command in (page.prepare, page.command) if command]
        lines += [line for command in commands for line in command_lines(command, columns)]
    return "\n".join(lines) + "\n"


def _labelled(label: str, text: str, width: int) -> list[str]:
    margin = " " * _LABEL
    return textwrap.wrap(
        text,
        width,
        initial_indent=f"{label:<{_LABEL}}",
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )

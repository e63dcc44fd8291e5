"""The pages of ``mtlslab explain`` for people."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from mtlslab.plan.shell import shell_line

if TYPE_CHECKING:
    from mtlslab.classroom.page import Page
    from mtlslab.classroom.terms import TermPage

_WIDTH = 100
_LABEL = 13


def render_page(page: Page) -> str:
    """The page as text that ends with a line end; commands are never wrapped, so that they can be copied."""
    lines = [page.id, "=" * len(page.id), *textwrap.wrap(f"{page.title} ({page.severity})", _WIDTH), ""]
    for label, text in (
        ("tried", page.tried),
        ("happens", page.happens),
        ("why", page.why),
        ("to read", page.rfc),
        ("decided by", page.directive),
        ("see it fail", page.sabotage),
        ("if it fails", page.hint),
    ):
        lines += _labelled(label, text) if text else []
    lines += ["", "In the directory of the lab:"]
    lines += [f"  $ {shell_line(command)}" for command in (page.prepare, page.command, page.run) if command]
    return "\n".join(lines) + "\n"


def render_term(page: TermPage) -> str:
    """The page about a term as text that ends with a line end; commands are not wrapped."""
    term = page.term
    lines = [term.title, "=" * len(term.title), *textwrap.wrap(term.text, _WIDTH, break_on_hyphens=False), ""]
    lines += _labelled("to read", term.read)
    lines += _labelled("see also", ", ".join(term.see)) if term.see else []
    if page.command:
        ending = f" (ends with {term.ends})" if term.ends else ""
        lines += ["", f"In the directory of the lab{ending}:"]
        lines += [f"  $ {command}" for command in (page.prepare, page.command) if command]
    return "\n".join(lines) + "\n"


def _labelled(label: str, text: str) -> list[str]:
    margin = " " * _LABEL
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"{label:<{_LABEL}}",
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )

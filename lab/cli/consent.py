"""Asks the person at the terminal whether a lab that came from elsewhere may be run."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from lab.cli.border import say
from lab.errors import SpecError


def consent(given: bool) -> Callable[[SpecError], None]:
    """What answers for the user: yes with ``--trust``; else the person at the terminal; else no."""

    def answer(refusal: SpecError) -> None:
        if given:
            return
        if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
            raise refusal
        say(f"{refusal.what}\n{refusal.why}")
        typer.echo("Run it all the same? [y/N] ", nl=False, err=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise SpecError("Nothing was run.", hint=refusal.hint)

    return answer

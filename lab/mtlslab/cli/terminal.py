"""All that the program prints goes through here, and so past ``plan.visible``: no other module prints.

Results go to stdout, talk to the user to stderr. A test keeps it so (tests/test_attack_output.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import sys

import typer

from mtlslab.plan.visible import json_document, visible, visible_json

# What `Look.paint` makes, and nothing else that begins with ESC: the numbers of a style.
_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")
_CLEAR_LINE = "\r\x1b[K"


def put(line: str = "") -> None:
    """Print one line."""
    typer.echo(visible(line))


def put_text(text: str, *, styled: bool = False) -> None:
    """Print lines that were rendered from text already made visible; a missing line end is added.

    Args:
        text: the lines.
        styled: whether terminal styles in it are our own.
    """
    lines = text.removesuffix("\n").split("\n")
    typer.echo("\n".join(_with_styles(line) if styled else visible(line) for line in lines))


def put_json(document: object) -> None:
    """Print a document for programs."""
    typer.echo(json_document(document))


def put_log_line(text: str, before: str = "") -> None:
    """Print a line that a service wrote, ``before`` it what we say about it. A line of JSON stays one."""
    shown = visible_json(text, ascii_only=not shows_unicode()) if text.startswith("{") else visible(text)
    typer.echo(before + shown)


def say(message: str) -> None:
    """Talk to the user: one line on stderr. Nobody listening, or a full disk behind it, is no reason to give up."""
    try:
        typer.echo(visible(message), err=True)
    except OSError:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  for as long as the program runs


def say_lines(text: str, indent: str = "") -> None:
    """Talk in several lines."""
    for line in text.split("\n"):
        say(f"{indent}{line}".rstrip())


def can_ask() -> bool:
    """Whether a person is there who can answer."""
    return bool(sys.stdin) and sys.stdin.isatty() and is_watched()


def ask(question: str) -> str:
    """The line that the person at the terminal types as an answer, without white space around it."""
    typer.echo(visible(question), nl=False, err=True)
    return sys.stdin.readline().strip()


def show_passing(text: str) -> None:
    """Show on stderr how far a work has come, in place of what was shown before."""
    _write_error(f"\r{visible(text)}\x1b[K")


def clear_passing() -> None:
    """Take the last of :func:`show_passing` away."""
    _write_error(_CLEAR_LINE)


def is_watched() -> bool:
    """Whether a person sees stderr."""
    return sys.stderr.isatty()


def shows_colour() -> bool:
    """Whether stdout can show colours and may."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def shows_unicode() -> bool:
    """Whether stdout can show more than ASCII."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def stop_output() -> None:
    """Throw away what stdout still holds, and all that follows: its reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _with_styles(line: str) -> str:
    pieces = _STYLE.split(line)  # every second one is a style
    return "".join(piece if number % 2 else visible(piece) for number, piece in enumerate(pieces))


def _write_error(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()

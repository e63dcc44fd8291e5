"""The only module that prints. It applies ``plan.visible`` to all text.

Results go to stdout, messages to the user to stderr. tests/hardening/test_attack_output.py enforces this.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys

import typer

from mtlslab.plan.visible import json_document, visible, visible_json

# The styles of `Look.paint` (SGR sequences), and no other escape sequence.
_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")
_CLEAR_LINE = "\r\x1b[K"


def put(line: str = "") -> None:
    """Print one line; a terminal that is narrower gets several."""
    for part in _fitted(visible(line), columns()):
        typer.echo(part)


def put_text(text: str, *, styled: bool = False, fit: bool = False) -> None:
    """Print lines; a missing line end is added.

    Args:
        text: the lines.
        styled: whether the lines may contain styles of ``Look.paint``; untrusted text in them is already visible.
        fit: whether they are broken between words where the terminal is narrower; not for what programs read.
    """
    lines = text.removesuffix("\n").split("\n")
    if fit:
        width = columns()
        lines = [part for line in lines for part in _fitted(visible(line), width)]
    typer.echo("\n".join(_with_styles(line) if styled else visible(line) for line in lines))


def put_json(document: object) -> None:
    """Print a JSON-ready document as JSON."""
    typer.echo(json_document(document))


def put_log_line(text: str, before: str = "") -> None:
    """Print a line of a service's log after the prefix ``before``. A JSON line stays valid JSON."""
    shown = visible_json(text, ascii_only=not shows_unicode()) if text.startswith("{") else visible(text)
    typer.echo(before + shown)


def say(message: str) -> None:
    """Print one message line on stderr. If stderr is closed or its disk is full, the message is lost."""
    try:
        for part in _fitted(visible(message), columns(err=True)):
            typer.echo(part, err=True)
    except OSError:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  for as long as the program runs


def say_lines(text: str, indent: str = "") -> None:
    """Print a message of several lines on stderr."""
    for line in text.split("\n"):
        say(f"{indent}{line}".rstrip())


def columns(*, err: bool = False) -> int:
    """The width of the terminal that stdout (or stderr) is; 0 where it is none."""
    stream = sys.stderr if err else sys.stdout
    try:
        return shutil.get_terminal_size().columns if stream.isatty() else 0
    except ValueError:  # it is closed
        return 0


def _fitted(line: str, width: int) -> list[str]:
    if len(line) <= width or not width:
        return [line]
    from mtlslab.output.lines import fitted

    return fitted(line, width)


def can_ask() -> bool:
    """Whether stdin and stderr are terminals, so that a user can answer."""
    return bool(sys.stdin) and sys.stdin.isatty() and is_watched()


def ask(question: str) -> str:
    """Print a question on stderr and read the answer from stdin; returns it without white space around it."""
    typer.echo(visible(question), nl=False, err=True)
    return sys.stdin.readline().strip()


def read_input() -> bytes:
    """All that comes from stdin."""
    return sys.stdin.buffer.read()


def ask_secret(question: str) -> str | None:
    """The same without showing what is typed; None if nothing is (Ctrl-D)."""
    import getpass

    try:
        return getpass.getpass(visible(question))
    except EOFError:
        return None


def show_passing(text: str) -> None:
    """Show a progress line on stderr; it replaces the one before, and is cut where the terminal ends."""
    _write_error(f"\r{visible(text)[: max(columns(err=True) - 1, 1)]}\x1b[K")


def clear_passing() -> None:
    """Remove the progress line of :func:`show_passing`."""
    _write_error(_CLEAR_LINE)


def shows_passing() -> bool:
    """Whether stderr is a terminal that can replace a line."""
    return is_watched() and os.environ.get("TERM") != "dumb"


def is_watched() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr.isatty()


def shows_colour() -> bool:
    """Whether stdout is a terminal that knows colours (TERM), and they are not disabled (NO_COLOR)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def shows_unicode() -> bool:
    """Whether the encoding of stdout is UTF-8."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def stop_output() -> None:
    """Discard buffered and further output to stdout, because its reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _with_styles(line: str) -> str:
    pieces = _STYLE.split(line)  # every second one is a style
    return "".join(piece if number % 2 else visible(piece) for number, piece in enumerate(pieces))


def _write_error(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()

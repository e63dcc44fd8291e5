"""Quotes commands that are printed for the user to paste into a POSIX shell."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import PurePath

_PRINTF_SPECIAL = {"\\": "\\\\", "%": "%%", "'": "\\047"}
_LAST_LINE_FEEDS = re.compile(r"\n*\Z")


def shell_line(command: Iterable[str | PurePath]) -> str:
    """Quote a command (arguments, not quoted) as one line for a POSIX shell; paths go through :func:`path_word`."""
    return " ".join(_quoted(path_word(word) if isinstance(word, PurePath) else word) for word in command)


def path_word(path: PurePath) -> str:
    """A path as an argument that cannot be mistaken for an option: it never begins with a dash."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    # Control characters could steer a terminal, and line feeds may be lost when text is copied. So printf makes them
    # when the command runs. Command substitution drops line feeds at the end, so these are quoted separately.
    body = _LAST_LINE_FEEDS.sub("", word)
    end = word[len(body) :]
    made = f'''"$(printf '{"".join(map(_printf, body))}')"'''
    return made + (shlex.quote(end) if end else "")


def _printf(character: str) -> str:
    """A character in the syntax of a printf format; an unprintable one as its bytes in octal."""
    if character.isprintable():
        return _PRINTF_SPECIAL.get(character, character)
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))

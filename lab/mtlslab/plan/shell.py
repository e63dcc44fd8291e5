"""Commands for people to paste: each word quoted for a POSIX shell where it must be, whatever is in a path or name."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from pathlib import PurePath

_PRINTF_SPECIAL = {"\\": "\\\\", "%": "%%", "'": "\\047"}
_LAST_LINE_FEEDS = re.compile(r"\n*\Z")


def shell_line(command: Iterable[str | PurePath]) -> str:
    """A command as one line for a POSIX shell; a path as :func:`path_word` has it."""
    return " ".join(_quoted(path_word(word) if isinstance(word, PurePath) else word) for word in command)


def path_word(path: PurePath) -> str:
    """A path as an argument that no program takes for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    # Line feeds and the like do not survive every way to the reader's eyes, and some of them steer a terminal: printf
    # makes them where the command runs. The shell drops line feeds at the end of what printf says.
    body = _LAST_LINE_FEEDS.sub("", word)
    end = word[len(body) :]
    made = f'''"$(printf '{"".join(map(_printf, body))}')"'''
    return made + (shlex.quote(end) if end else "")


def _printf(character: str) -> str:
    """A character as printf's format has it; what cannot be printed as its bytes, in octal."""
    if character.isprintable():
        return _PRINTF_SPECIAL.get(character, character)
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))

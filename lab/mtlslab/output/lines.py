"""Lines of text for people: on one line, wrapped beside a label, or fitted into a terminal."""

from __future__ import annotations

import re
import textwrap

from mtlslab.plan.visible import visible

_WIDTH = 120
_LEAST = 40  # columns; a narrower terminal breaks lines by itself
_GAP = re.compile(r"\S( {2,})(?=\S)")
_PROGRAMS = "curl|openssl|wget|gnutls-cli|grep|sh|printf|cat|cd|docker|mtlslab|node|java|python3?"
_COMMAND = re.compile(rf" *(\$ )?({_PROGRAMS}) ")
# A word of the shell; what stands in quotes belongs to it.
_WORD = re.compile(r"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")+""")


def one_line(text: str) -> str:
    """A text, perhaps with a server's words in it, on one line and without characters that could steer a terminal."""
    return visible(" ".join(text.split()))


def wrapped(label: str, text: str, width: int = 0) -> list[str]:
    """The lines of a text whose first begins with ``label``; the others are indented as far.

    Args:
        label: what stands in front.
        text: the text.
        width: columns of the terminal; 0 where there is none.
    """
    return _wrap(text, width or _WIDTH, label, " " * len(label))


def fitted(line: str, width: int) -> list[str]:
    """A line as several, none of which is broken in the middle of a word.

    Lines of a table go on below their last column. A command goes on after a backslash, so that it can be copied.

    Args:
        line: the line.
        width: columns of the terminal; 0 where there is none.
    """
    if width < _LEAST or len(line) <= width:
        return [line]
    if _COMMAND.match(line):
        return command_lines(line, width)
    indent = len(line) - len(line.lstrip())
    columns = [found.end() for found in _GAP.finditer(line) if found.end() <= width // 2]
    hang = columns[-1] if columns else min(indent + 4, width // 2)
    if columns:
        return _wrap(line[hang:], width, line[:hang], " " * hang)
    return _wrap(line.lstrip(), width, " " * indent, " " * hang)


def command_lines(line: str, width: int) -> list[str]:
    """A command on as many lines as it takes, each but the last with a backslash at its end."""
    if width < _LEAST or len(line) <= width:
        return [line]
    indent = len(line) - len(line.lstrip())
    lines, current = list[str](), " " * indent
    for word in _with_values(_WORD.findall(line)):
        if len(current) + len(word) + 3 > width and current.strip():
            lines.append(f"{current.rstrip()} \\")
            current = " " * (indent + 4)
        current += f"{word} "
    return [*lines, current.rstrip()]


def _with_values(words: list[str]) -> list[str]:
    """The words of a command, an option and its value in one."""
    found: list[str] = []
    for word in words:
        option = found and found[-1].startswith("-") and " " not in found[-1]
        if option and not word.startswith("-"):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def _wrap(text: str, width: int, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def shortened(text: str, most: int) -> str:
    """A text that is no longer than ``most`` characters, for a place where lines are not wrapped."""
    return text if len(text) <= most else f"{text[: most - 3]}..."

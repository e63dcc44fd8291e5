r"""Makes text of strangers harmless for whoever looks at it: the one border between it and a terminal or a report.

Certificates, pages, alerts, log lines and file names hold whatever somebody put there. Characters that steer a
terminal, begin a new line, turn the reading direction or are not to be seen are shown as escapes, such as ``\x1b`` or
``\u202e``. All others, umlauts and emoji among them, stay as they are.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

# Letters and marks that show nothing although no category says so (Unicode, Default_Ignorable_Code_Point).
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")


def visible(text: str) -> str:
    """The text on one line: what would steer, break or deceive stands in it as an escape of Python's kind."""
    return text if text.isascii() and text.isprintable() else text.translate(_ESCAPES)


def visible_json(line: str, *, ascii_only: bool = False) -> str:
    r"""The same for a line of JSON, with escapes that JSON knows (``\u001b``): its meaning stays the same.

    Args:
        line: JSON on one line.
        ascii_only: whether all but ASCII is escaped, too.
    """
    if line.isascii() and line.isprintable():
        return line
    return line.translate(_JSON_ASCII_ESCAPES if ascii_only else _JSON_ESCAPES)


def visible_values(value: Any) -> Any:
    """A value as it can stand in JSON, with all texts in it made visible."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible_values(name): visible_values(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(visible_values, value))
    return value


def json_document(document: object) -> str:
    """A document as indented JSON in ASCII, without a line end; no character in it can steer a terminal."""
    # ASCII has one control character that JSON lets through: DEL.
    return json.dumps(document, indent=2).replace("\x7f", "\\u007f")


def _is_harmless(char: str) -> bool:
    return (char.isprintable() or unicodedata.category(char) == "Zs") and char not in _INVISIBLE


class _Escapes(dict[int, str]):
    """Code point -> what stands for it, found out when it first occurs (``str.translate`` asks for each character)."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = char if _is_harmless(char) else self.escape(char)
        return self[code]

    @staticmethod
    def escape(char: str) -> str:
        return char.encode("unicode_escape").decode("ascii")


class _JsonEscapes(_Escapes):
    @staticmethod
    def escape(char: str) -> str:
        # RFC 8259 section 7: a character beyond U+FFFF is written as the two halves of its UTF-16 form.
        units = char.encode("utf-16-be", "surrogatepass").hex()
        return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))


class _JsonAsciiEscapes(_JsonEscapes):
    def __missing__(self, code: int) -> str:
        self[code] = chr(code) if code < 0x80 and chr(code).isprintable() else self.escape(chr(code))
        return self[code]


_ESCAPES, _JSON_ESCAPES, _JSON_ASCII_ESCAPES = _Escapes(), _JsonEscapes(), _JsonAsciiEscapes()

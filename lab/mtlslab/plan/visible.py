r"""Makes untrusted text harmless before it reaches a terminal or a report.

Certificates, pages, alerts, log lines and file names can contain any text. Control characters, line ends,
bidirectional controls and invisible characters are shown as escapes, such as ``\x1b`` or ``\u202e``. All other
characters, such as umlauts and emoji, stay as they are.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

# Letters and marks that are invisible, although their category does not say so (Default_Ignorable_Code_Point).
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")


def visible(text: str) -> str:
    """The text on one line; harmful characters become escapes in the syntax of Python."""
    return text if text.isascii() and text.isprintable() else text.translate(_ESCAPES)


def visible_json(line: str, *, ascii_only: bool = False) -> str:
    r"""Like :func:`visible` for a line of JSON, with escapes of JSON (``\u001b``), so the value stays the same.

    Args:
        line: JSON on one line.
        ascii_only: also escape all characters outside ASCII.
    """
    if line.isascii() and line.isprintable():
        return line
    return line.translate(_JSON_ASCII_ESCAPES if ascii_only else _JSON_ESCAPES)


def visible_values(value: Any) -> Any:
    """A JSON-ready value, with :func:`visible` applied to all strings and keys in it."""
    shown = repr(value)
    if shown.isascii() and shown.isprintable() and "\\" not in shown:
        return value  # almost all are; looking at each string by itself takes ten times as long
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible_values(name): visible_values(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(visible_values, value))
    return value


def json_document(document: object) -> str:
    """A document as indented JSON in ASCII without control characters; no line end after it."""
    # JSON leaves one control character of ASCII unescaped: DEL.
    return json.dumps(document, indent=2).replace("\x7f", "\\u007f")


def _is_harmless(char: str) -> bool:
    return (char.isprintable() or unicodedata.category(char) == "Zs") and char not in _INVISIBLE


class _Escapes(dict[int, str]):
    """Code point -> its replacement, computed at the first lookup (for ``str.translate``)."""

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
        # RFC 8259 section 7: a character beyond U+FFFF is escaped as its UTF-16 surrogate pair.
        units = char.encode("utf-16-be", "surrogatepass").hex()
        return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))


class _JsonAsciiEscapes(_JsonEscapes):
    def __missing__(self, code: int) -> str:
        self[code] = chr(code) if code < 0x80 and chr(code).isprintable() else self.escape(chr(code))
        return self[code]


_ESCAPES, _JSON_ESCAPES, _JSON_ASCII_ESCAPES = _Escapes(), _JsonEscapes(), _JsonAsciiEscapes()

"""Texts that match the patterns of a configuration: a name for a wildcard, a path for an expression."""

from __future__ import annotations

import importlib
import itertools
import re
import socket
from collections.abc import Iterable, Iterator
from typing import Any

_MOST = 6  # samples of one expression
_LONGEST = 200  # characters
# Tried in this order for what may be anything, or anything but something.
_ANY = "xX7-_./ ~:"
_CLASSES = {"CATEGORY_DIGIT": "7", "CATEGORY_WORD": "x", "CATEGORY_SPACE": " "}


def names_for(server_name: str) -> tuple[str, ...]:
    """Host names that a ``server_name`` takes (https://nginx.org/en/docs/http/server_names.html); none for ``""``."""
    if server_name == "$hostname":
        return (socket.gethostname(),)
    if server_name.startswith("~"):
        return tuple(name for name in matching(server_name[1:], ignore_case=True) if name)
    if server_name.startswith("*."):
        return (f"door{server_name[1:]}",)
    if server_name.startswith("."):
        return server_name[1:], f"door{server_name}"
    if server_name.endswith(".*"):
        return (f"{server_name[:-1]}test",)
    return (server_name,) if re.fullmatch(r"[\w.-]+", server_name) and server_name != "_" else ()


def matching(pattern: str, *, ignore_case: bool = False, filler: str = "") -> tuple[str, ...]:
    """Some texts in which an expression is found; none where it cannot be read, or is about what was around it.

    Args:
        pattern: the expression, in the grammar of PCRE.
        ignore_case: whether case counts.
        filler: a text to try where a sign may be repeated.
    """
    python = re.sub(r"\(\?<(?=\w)", "(?P<", pattern)
    parser: Any = importlib.import_module("re._parser")
    try:
        expression = re.compile(python, re.IGNORECASE if ignore_case else 0)
        found = list(itertools.islice(_Sampler(filler).texts(parser.parse(python)), 4 * _MOST))
    except (re.error, RecursionError, OverflowError):
        return ()
    good = [text for text in dict.fromkeys(found) if len(text) <= _LONGEST and expression.search(text)]
    return tuple(good[:_MOST])


class _Sampler:
    """Makes texts from the parts of an expression."""

    def __init__(self, filler: str) -> None:
        self._filler = filler

    def texts(self, items: Iterable[Any]) -> Iterator[str]:
        """The texts of a sequence: alternatives of the first part vary slowest."""
        parts = [list(itertools.islice(self._of_one(str(kind), value), _MOST)) for kind, value in items]
        return map("".join, itertools.product(*parts))

    def _of_one(self, kind: str, value: Any) -> Iterator[str]:
        if kind == "LITERAL":
            yield chr(value)
        elif kind == "NOT_LITERAL":
            yield next(sign for sign in _ANY if sign != chr(value))
        elif kind == "ANY":
            yield "x"
        elif kind == "IN":
            yield from _of_set(value)
        elif kind == "BRANCH":
            for branch in value[1]:
                yield from self.texts(branch)
        elif kind == "SUBPATTERN":
            yield from self.texts(value[-1])
        elif kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            yield from self._repeated(*value)
        else:  # anchors, and what looks around, take no room
            yield ""

    def _repeated(self, lowest: int, highest: Any, inner: Any) -> Iterator[str]:
        if self._filler and int(highest) > len(self._filler) and str(inner[0][0]) in ("ANY", "IN", "NOT_LITERAL"):
            yield self._filler
        count = lowest or min(1, int(highest))
        yield from (text * min(count, _LONGEST) for text in self.texts(inner))


def _of_set(items: Any) -> Iterator[str]:
    wanted = "".join(_signs(items))
    if str(items[0][0]) == "NEGATE":
        yield next((sign for sign in _ANY if not _holds(items[1:], sign)), "")
    else:
        yield wanted[:1]


def _signs(items: Any) -> Iterator[str]:
    for kind, value in items:
        if str(kind) == "LITERAL":
            yield chr(value)
        elif str(kind) == "RANGE":
            yield chr(value[0])
        elif str(kind) == "CATEGORY":
            yield _CLASSES.get(str(value), "-")


def _holds(items: Any, sign: str) -> bool:
    for kind, value in items:
        if str(kind) == "LITERAL" and chr(value) == sign:
            return True
        if str(kind) == "RANGE" and value[0] <= ord(sign) <= value[1]:
            return True
        if str(kind) == "CATEGORY" and _CLASSES.get(str(value), "-") == sign.lower():
            return True
    return False

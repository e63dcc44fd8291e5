"""What a format has to know beside the value. Loads nothing: the table of formats needs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtlslab.verify.checks import Result
    from mtlslab.verify.pictures import Picture

# By the name of a result.
_MARKS = {
    "pass": ("✓", "ok  "),
    "fail": ("✗", "FAIL"),
    "warn": ("!", "warn"),
    "skip": ("-", "skip"),
    "inconclusive": ("?", "??  "),
}
_COLOURS = {"pass": "32", "fail": "1;31", "warn": "33", "skip": "36", "inconclusive": "1;35"}


@dataclasses.dataclass(frozen=True)
class Attachment:
    """A file that is written beside a report, by its name and the SHA-256 (lower case hex) of its content."""

    name: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class Look:
    """What the stream can show, and how much is wanted.

    Attributes:
        colour: whether styles of a terminal may be used.
        unicode: whether the stream can show more than ASCII.
        width: columns of the terminal; 0 where there is none, as in a file.
        verbose: how much more than usual is wanted: each step tells more of the checks that need no look.
        pictures: records handshakes for a format that shows them.
        attachment: the report as JSON, if it is written beside a page that names it.
    """

    colour: bool = False
    unicode: bool = True
    width: int = 0
    verbose: int = 0
    pictures: Callable[[], Sequence[Picture]] = tuple
    attachment: Attachment | None = None

    def paint(self, text: str, style: str) -> str:
        """``text`` in a terminal style (the numbers of an SGR sequence), if there is colour."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colour else text

    def mark(self, result: Result) -> str:
        """The mark of a result."""
        return self.paint(_MARKS[result][0 if self.unicode else 1], _COLOURS[result])

    def fitting(self, text: str) -> str:
        """``text`` with a question mark for each character that the stream cannot show."""
        return text if self.unicode else text.encode("ascii", "replace").decode()

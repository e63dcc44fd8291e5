"""A recorded handshake as a sequence diagram: where everything stands. How it looks is the template's affair."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator

from mtlslab.handshake import Message, Sender, Transcript
from mtlslab.output.lines import shortened

WIDTH = 1000
CLIENT_X, SERVER_X = 70, WIDTH - 70
_TOP = 76  # below the boxes with "client" and "server"
_END = 84  # for the box with the ending
_LABEL, _LINE, _ARROW, _GAP = 26, 21, 13, 13  # heights in the diagram's units
_CHARACTERS = 80  # of a detail on one line
_LABEL_CHARACTERS = 44
_MOST_LINES = 4
_IN_THE_LABEL = ("http", "status", "level", "description")


@dataclasses.dataclass(frozen=True)
class Row:
    """One message.

    Attributes:
        number: counted from 1.
        message: what is told.
        top, height: its stripe of the diagram.
        label_y, arrow_y: base line of the label, and the arrow.
        lines: details, each with its base line.
        start_x, end_x: the lifelines of sender and receiver.
        decides: whether it is the message that decides.
    """

    number: int
    message: Message
    top: int
    height: int
    label_y: int
    arrow_y: int
    lines: tuple[tuple[int, str], ...]
    start_x: int
    end_x: int
    decides: bool

    @property
    def label(self) -> str:
        """The message's label, as much of it as there is room for."""
        return shortened(self.message.label, _LABEL_CHARACTERS)

    @property
    def head(self) -> str:
        """The arrow's head, as the points of a polygon."""
        back = self.end_x + (-16 if self.end_x > self.start_x else 16)
        return f"{self.end_x},{self.arrow_y} {back},{self.arrow_y - 7} {back},{self.arrow_y + 7}"


@dataclasses.dataclass(frozen=True)
class Diagram:
    """A whole diagram; ``bottom`` is where the lifelines end, ``ending`` what is written below them."""

    width: int
    height: int
    bottom: int
    rows: tuple[Row, ...]
    ending: str


def lay_out(transcript: Transcript) -> Diagram:
    """Where each message of a transcript stands."""
    rows = tuple(_rows(transcript))
    bottom = rows[-1].top + rows[-1].height if rows else _TOP
    return Diagram(WIDTH, bottom + _END, bottom + 8, rows, shortened(transcript.ending, _CHARACTERS))


def describe(transcript: Transcript) -> str:
    """The diagram in words, for those who do not see it."""
    steps = [
        f"{number}. {message.direction}: {message.label}, {message.size} bytes, {wire(message)}"
        for number, message in enumerate(transcript.messages, 1)
    ]
    return "; ".join((*steps, f"ending: {transcript.ending}"))


def wire(message: Message) -> str:
    """What somebody in between sees of a message."""
    return "encrypted" if message.encrypted else "in the clear"


def details(message: Message) -> list[str]:
    """What there is to say about a message beside its label."""
    return [f"{name}: {text}" for name, text in message.details.items() if name not in _IN_THE_LABEL]


def _rows(transcript: Transcript) -> Iterator[Row]:
    top, decisive = _TOP, transcript.decisive
    for number, message in enumerate(transcript.messages, 1):
        arrow_y = top + _LABEL + _ARROW
        texts = list(_lines(message))
        height = _LABEL + _ARROW + len(texts) * _LINE + _GAP
        from_client = message.sender is Sender.CLIENT
        yield Row(
            number=number,
            message=message,
            top=top,
            height=height,
            label_y=top + _LABEL - 2,
            arrow_y=arrow_y,
            lines=tuple((arrow_y + (line + 1) * _LINE, text) for line, text in enumerate(texts)),
            start_x=CLIENT_X if from_client else SERVER_X,
            end_x=SERVER_X if from_client else CLIENT_X,
            decides=message is decisive,
        )
        top += height


def _lines(message: Message) -> list[str]:
    lines = [line for text in details(message) for line in textwrap.wrap(text, _CHARACTERS)]
    return lines if len(lines) <= _MOST_LINES else [*lines[: _MOST_LINES - 1], f"{lines[_MOST_LINES - 1][:-4]} ..."]

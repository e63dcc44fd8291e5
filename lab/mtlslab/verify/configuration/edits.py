"""Where a configuration differs from the one that was rendered, directive by directive: comments and spaces do not."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

from mtlslab.verify.configuration.model import Configuration, Directive, Position

_LONGEST = 100  # characters of a directive that are shown


@dataclasses.dataclass(frozen=True)
class Edit:
    """One directive that was written, or that is missing.

    Attributes:
        directive: the directive, as it stands there or as it was rendered.
        block: the block in which it stands, or stood.
        missing: whether it is missing.
    """

    directive: Directive
    block: Directive
    missing: bool = False

    @property
    def place(self) -> Position:
        """Where it stands; of one that is missing, where its block begins."""
        return self.block.place if self.missing else self.directive.place

    def __str__(self) -> str:
        text = str(self.directive)
        text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
        text = f"{text};" if self.directive.block is None else f"{text} {{ ... }}"
        return f"no {text} in {self.block}:" if self.missing else text


def edits(rendered: Configuration, running: Configuration) -> tuple[Edit, ...]:
    """What was written into a configuration or taken out of it."""
    return tuple(_compared(rendered.top.directive, running.top.directive))


def _compared(before: Directive, after: Directive) -> Iterator[Edit]:
    left, names = list(before.block or ()), Counter[str]()
    twins = _twins(left, after.block or ())
    for number, one in enumerate(after.block or ()):
        twin = twins.get(number)
        if twin is None:
            names[one.name] += 1
            yield Edit(one, after)
        elif one.block is not None:
            yield from _compared(twin, one)
    for gone in left:
        # One that has another value is told once, as it stands there now.
        names[gone.name] -= 1
        if names[gone.name] < 0:
            yield Edit(gone, after, missing=True)


def _twins(left: list[Directive], after: Sequence[Directive]) -> dict[int, Directive]:
    """The rendered directive for each that was not written anew, by its number; those are taken off ``left``."""
    pairs = [
        (-_in_common(one, other), number, place)
        for number, one in enumerate(after)
        for place, other in enumerate(left)
        if (one.name, one.args, one.block is None) == (other.name, other.args, other.block is None)
    ]
    # Of several blocks of one kind, those belong together that have most in common.
    found: dict[int, int] = {}
    for _, number, place in sorted(pairs):
        if number not in found and place not in found.values():
            found[number] = place
    twins = {number: left[place] for number, place in found.items()}
    left[:] = [other for place, other in enumerate(left) if place not in found.values()]
    return twins


def _in_common(one: Directive, other: Directive) -> int:
    return len({str(inner) for inner in one.block or ()} & {str(inner) for inner in other.block or ()})

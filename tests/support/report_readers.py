"""Strict readers of reports: HTML whose elements are closed, and TAP 14."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import yaml

VOID = {"meta", "br", "hr", "line", "rect", "circle", "path", "polygon"}


class Page(HTMLParser):
    """The elements of a page, and whether each is closed where it must be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


@dataclasses.dataclass
class Point:
    ok: bool
    number: int
    description: str
    skipped: bool
    diagnostics: dict[str, object] | None = None


LINE = re.compile(r"(not )?ok (\d+) - ((?:\\.|[^\\#])*)(# SKIP .*)?")


def read_tap(text: str) -> list[Point]:
    """A strict reader of the part of TAP 14 that a flat test document needs."""
    version, *lines = text.splitlines()
    assert version == "TAP version 14"
    plan = [line for line in lines if line.startswith("1..")]
    points: list[Point] = []
    block: list[str] | None = None
    for line in lines:
        if block is not None and line == "  ...":
            points[-1].diagnostics = yaml.safe_load("\n".join(block))
            block = None
        elif block is not None:
            block.append(line)
        elif line == "  ---":
            assert points[-1].diagnostics is None
            block = []
        elif not line.startswith(("#", "1..")):
            found = LINE.fullmatch(line)
            assert found, f"not TAP: {line!r}"
            points.append(Point(not found[1], int(found[2]), found[3].strip(), bool(found[4])))
    assert block is None
    assert plan == [f"1..{len(points)}"]
    assert [point.number for point in points] == list(range(1, len(points) + 1))
    return points

"""Reads the structures of TLS messages."""

from __future__ import annotations

from collections.abc import Iterator


class Reader:
    """Reads the vectors of the TLS presentation language (RFC 8446 section 3)."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bool__(self) -> bool:
        return bool(self._data)

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes.

        Raises:
            ValueError: there are not so many.
        """
        if len(self._data) < count:
            raise ValueError("the message ends too early")
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self, count: int) -> int:
        """The next ``count`` bytes as a number."""
        return int.from_bytes(self.take(count))

    def vector(self, count: int) -> bytes:
        """A vector whose length stands before it in ``count`` bytes."""
        return self.take(self.number(count))

    def vectors(self, count: int) -> Iterator[bytes]:
        """The vectors that follow, to the end."""
        while self:
            yield self.vector(count)


def read_extensions(reader: Reader) -> dict[int, bytes]:
    """The extensions that follow, by their type (RFC 8446 section 4.2); none where the message ends before them.

    Raises:
        ValueError: they are cut off.
    """
    extensions: dict[int, bytes] = {}
    if reader:
        block = Reader(reader.vector(2))
        while block:
            kind = block.number(2)
            extensions[kind] = block.vector(2)
    return extensions

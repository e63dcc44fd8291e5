"""Reads the structures of TLS messages."""

from __future__ import annotations

from collections.abc import Iterator


class Reader:
    """Reads the vectors of the TLS presentation language (RFC 8446 section 3); what is left is never copied."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def __bool__(self) -> bool:
        return self._place < len(self._data)

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes.

        Raises:
            ValueError: there are not so many.
        """
        end = self._place + count
        if end > len(self._data):
            raise ValueError("the message ends too early")
        taken = self._data[self._place : end]
        self._place = end
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


def read_certificates(message: Reader, *, tls13: bool) -> list[bytes]:
    """DER of the certificates in a Certificate message, leaf first (RFC 8446 section 4.4.2, RFC 5246 section 7.4.2).

    Raises:
        ValueError: the message is cut off.
    """
    if tls13:
        message.vector(1)  # request context
    block, found = Reader(message.vector(3)), []
    while block:
        found.append(block.vector(3))
        if tls13:
            block.vector(2)  # extensions of this certificate
    return found

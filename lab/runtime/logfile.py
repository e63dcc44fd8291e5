"""The log file of an embedded service: opened for appending, read to the end, followed while it grows."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

ROTATE_BYTES = 10 * 1024 * 1024
_BLOCK = 64 * 1024  # bytes that are read at once on the way back from the end


def open_for_append(path: Path) -> int:
    """Open a log file, made with mode 0600 if it is not there; a large one is moved to ``NAME.1`` first.

    Returns a file descriptor. Writers of one file that all append do not overwrite each other.

    Raises:
        OSError: it cannot be opened, or is not a regular file (a link could lead out of the workspace).
    """
    if path.is_file() and not path.is_symlink() and path.stat().st_size > ROTATE_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    # O_NONBLOCK: opening a FIFO that stands in its place must not wait for a reader.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileExistsError(17, "not a regular file", str(path))
    return descriptor


class LogReader:
    """Reads the whole lines of a log file, and at each call those that came since, through truncation and rotation.

    Args:
        path: the file; it need not be there yet.
        offset: where to begin, in bytes.
        tail: how many whole lines from its end to begin with; None for all. Nothing that comes later is left out.
    """

    def __init__(self, path: Path, *, offset: int = 0, tail: int | None = None) -> None:
        self._path = path
        self._offset = offset
        self._tail = tail
        self._file: BinaryIO | None = None
        self._rest = b""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def lines(self) -> list[str]:
        """The whole lines that were added since the last call."""
        if self._file is None:
            self._file = self._open()
            self._tail = None
        if self._file is None:
            return []
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # somebody emptied it
            self._rest = b""
        content = self._file.read()
        if not content and self._was_replaced():
            self.close()
        *whole, self._rest = (self._rest + content).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def last(self) -> list[str]:
        """What is left at the end without a line end: one line or none."""
        rest, self._rest = self._rest, b""
        return [rest.decode(errors="replace")] if rest else []

    def _open(self) -> BinaryIO | None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        file = os.fdopen(descriptor, "rb")
        begin = 0 if self._tail is None else _start_of_tail(file, self._tail)
        file.seek(max(self._offset, begin))
        self._offset = 0  # a file that takes this one's place is read from its start
        return file

    def _was_replaced(self) -> bool:
        """Whether another file stands at the path; a path without a file is no reason to leave the old one."""
        try:
            return self._file is not None and not os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except OSError:
            return False


def _start_of_tail(file: BinaryIO, count: int) -> int:
    """Where the last ``count`` whole lines begin, found from the end: a log may be large."""
    position, wanted = file.seek(0, os.SEEK_END), count + 1
    while position > 0:
        length = min(_BLOCK, position)
        position -= length
        file.seek(position)
        block = file.read(length)
        line_ends = block.count(b"\n")
        if line_ends >= wanted:
            return position + len(block.rsplit(b"\n", wanted)[0]) + 1
        wanted -= line_ends
    return 0

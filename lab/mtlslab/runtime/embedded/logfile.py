"""The log file of an embedded service: opened for appending, read to the end, followed while it grows.

Its directory may belong to another user, who runs nginx for root: no link is followed, neither the file nor the
directory that it lies in.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mtlslab.errors import MachineError
from mtlslab.plan.shell import shell_line

ROTATE_BYTES = 10 * 1024 * 1024
_BLOCK = 64 * 1024  # bytes that are read at once
_LONGEST_LINE = 1024 * 1024  # bytes; what is longer is cut into several
_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # neither follow a link nor wait for the other end of a FIFO


def open_for_append(path: Path) -> int:
    """Open a log file, made with mode 0600 if it is not there; a large one is moved to ``NAME.1`` first.

    Returns a file descriptor. Writers of one file that all append do not overwrite each other.

    Raises:
        OSError: it cannot be opened, or is not a regular file (a link could lead out of the workspace).
    """
    with _directory_of(path) as directory:
        with contextlib.suppress(FileNotFoundError):
            info = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISREG(info.st_mode) and info.st_size > ROTATE_BYTES:
                os.replace(path.name, _older(path).name, src_dir_fd=directory, dst_dir_fd=directory)
        return _open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, directory)


class LogReader:
    """Reads the whole lines of a log file, and at each call those that came since, through truncation and rotation.

    Args:
        path: the file; it need not be there yet.
        offset: where to begin, in bytes; None begins in the older file ``NAME.1``, where there is one.
        tail: how many whole lines from the end to begin with; None for all. Nothing that comes later is left out.
    """

    def __init__(self, path: Path, *, offset: int | None = None, tail: int | None = None) -> None:
        self._path = path
        self._offset = offset
        self._tail = tail
        self._older: BinaryIO | None = None
        self._file: BinaryIO | None = None
        self._rest = b""

    def close(self) -> None:
        """Close the files."""
        for file in (self._older, self._file):
            if file is not None:
                file.close()
        self._older = self._file = None

    def lines(self) -> list[str]:
        """The whole lines that were added since the last call.

        Raises:
            MachineError: it cannot be read, or is not a file of its own.
        """
        return list(self.stream())

    def stream(self) -> Iterator[str]:
        """The same, one after the other: however large the file is, little of it is held at a time.

        Raises:
            MachineError: it cannot be read, or is not a file of its own.
        """
        try:
            if self._file is None:
                self._open()
            if self._older is not None:
                yield from self._lines_of(self._older)
                self._older.close()
                self._older = None
                yield from self.last()
            if self._file is not None:
                yield from self._lines_of_current(self._file)
        except OSError as error:
            raise _unreadable(self._path, error) from error

    def last(self) -> list[str]:
        """What is left at the end without a line end: one line or none."""
        rest, self._rest = self._rest, b""
        return [rest.decode(errors="replace")] if rest else []

    def _lines_of_current(self, file: BinaryIO) -> Iterator[str]:
        if os.fstat(file.fileno()).st_size < file.tell():
            file.seek(0)  # somebody emptied it
            self._rest = b""
        begin = file.tell()
        yield from self._lines_of(file)
        if file.tell() == begin and self._was_replaced(file):
            yield from self._lines_of(file)  # what was written between the two looks
            self.close()

    def _lines_of(self, file: BinaryIO) -> Iterator[str]:
        while block := file.read(_BLOCK):
            *whole, self._rest = (self._rest + block).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
            if len(self._rest) > _LONGEST_LINE:
                yield from self.last()

    def _open(self) -> None:
        """Open the file, and the older one where its end is asked for; a file that is not there is none."""
        offset, tail = self._offset, self._tail
        # A file that comes later, or takes this one's place, is read from its start, and alone.
        self._offset, self._tail = 0, None
        with contextlib.suppress(FileNotFoundError), _directory_of(self._path) as directory:
            self._file = os.fdopen(_open_regular(self._path, os.O_RDONLY, directory), "rb")
            begin, missing = (0, None) if tail is None else _start_of_tail(self._file, tail)
            self._file.seek(max(offset or 0, begin))
            if offset is None and missing != 0:
                self._open_older(directory, missing)

    def _open_older(self, directory: int, tail: int | None) -> None:
        with contextlib.suppress(OSError):
            self._older = os.fdopen(_open_regular(_older(self._path), os.O_RDONLY, directory), "rb")
            if tail is not None:
                self._older.seek(_start_of_tail(self._older, tail)[0])

    def _was_replaced(self, file: BinaryIO) -> bool:
        """Whether another file stands at the path; a path without a file is no reason to leave the old one."""
        try:
            return not os.path.samestat(os.fstat(file.fileno()), os.stat(self._path, follow_symlinks=False))
        except OSError:
            return False


def _start_of_tail(file: BinaryIO, count: int) -> tuple[int, int]:
    """Where the last ``count`` whole lines begin, found from the end, and how many of them the file lacks."""
    position, wanted = file.seek(0, os.SEEK_END), count + 1
    while position > 0:
        length = min(_BLOCK, position)
        position -= length
        file.seek(position)
        block = file.read(length)
        line_ends = block.count(b"\n")
        if line_ends >= wanted:
            return position + len(block.rsplit(b"\n", wanted)[0]) + 1, 0
        wanted -= line_ends
    return 0, wanted - 1


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


@contextlib.contextmanager
def _directory_of(path: Path) -> Iterator[int]:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_regular(path: Path, flags: int, directory: int) -> int:
    try:
        descriptor = os.open(path.name, flags | _SAFE, 0o600, dir_fd=directory)
    except OSError as error:
        error.filename = str(path)
        raise
    info = os.fstat(descriptor)
    # A second name of a file could be somebody else's file.
    if not stat.S_ISREG(info.st_mode) or info.st_nlink > 1:
        os.close(descriptor)
        raise FileExistsError(errno.EEXIST, "not a regular file", str(path))
    return descriptor


def _unreadable(path: Path, error: OSError) -> MachineError:
    return MachineError(
        f"The log {path} cannot be read.",
        why="a link stands in its place"
        if error.errno in (errno.ELOOP, errno.ENOTDIR)
        else os.strerror(error.errno or 0),
        hint=f"See what is there: {shell_line(['ls', '-la', path.parent, path])}",
    )

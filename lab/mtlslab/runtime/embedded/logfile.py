"""The log file of an embedded service: opens it for appending, reads it, follows it while it grows.

The directory ``logs`` may belong to the user as whom nginx runs for root. So no symbolic link is followed, neither in
place of the file nor of its directory.
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
_LONGEST_LINE = 1024 * 1024  # bytes; longer lines are split
_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # follow no link, and do not wait for the other end of a FIFO


def open_for_append(path: Path) -> int:
    """Open a log file with O_APPEND; returns the file descriptor.

    A missing file is created with mode 0600. A file larger than ROTATE_BYTES is first renamed to ``NAME.1``.

    Raises:
        OSError: the file cannot be opened, or is not a regular file (a link could lead out of the workspace).
    """
    with _directory_of(path) as directory:
        with contextlib.suppress(FileNotFoundError):
            info = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISREG(info.st_mode) and info.st_size > ROTATE_BYTES:
                os.replace(path.name, _older(path).name, src_dir_fd=directory, dst_dir_fd=directory)
        return _open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, directory)


class LogReader:
    """Reads the complete lines of a log file; each call returns those added since the last one.

    It copes with truncation and rotation of the file.

    Args:
        path: the file; it may not exist yet.
        offset: where to begin, in bytes; None begins with the older file ``NAME.1``, if there is one.
        tail: begin with the last N complete lines; None begins with the first. Later lines are never left out.
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
        """The complete lines that were added since the last call.

        Raises:
            MachineError: the file cannot be read, is not a regular file, or has a second hard link.
        """
        return list(self.stream())

    def stream(self) -> Iterator[str]:
        """Like :meth:`lines`, one line at a time, so that a large file needs little memory.

        Raises:
            MachineError: see :meth:`lines`.
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
        """The last line if it has no line end yet: a list of one line or none."""
        rest, self._rest = self._rest, b""
        return [rest.decode(errors="replace")] if rest else []

    def _lines_of_current(self, file: BinaryIO) -> Iterator[str]:
        if os.fstat(file.fileno()).st_size < file.tell():
            file.seek(0)  # the file was truncated
            self._rest = b""
        begin = file.tell()
        yield from self._lines_of(file)
        if file.tell() == begin and self._was_replaced(file):
            yield from self._lines_of(file)  # lines that were written before the file was replaced
            self.close()

    def _lines_of(self, file: BinaryIO) -> Iterator[str]:
        while block := file.read(_BLOCK):
            *whole, self._rest = (self._rest + block).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
            if len(self._rest) > _LONGEST_LINE:
                yield from self.last()

    def _open(self) -> None:
        """Open the file, and the older one if lines of it are wanted; a missing file is no error."""
        offset, tail = self._offset, self._tail
        # The next file at this path is read from its start, without the older one.
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
        """Whether another file is at the path now; False if there is none, as more may be written to the old one."""
        try:
            return not os.path.samestat(os.fstat(file.fileno()), os.stat(self._path, follow_symlinks=False))
        except OSError:
            return False


def _start_of_tail(file: BinaryIO, count: int) -> tuple[int, int]:
    """Offset in bytes of the last ``count`` complete lines, and how many of them the file lacks; reads from the end."""
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
    # A file with a second hard link could be another user's file.
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

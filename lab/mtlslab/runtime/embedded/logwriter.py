"""Writes the output of one nginx to its log file, and limits the size of the file.

A program of its own that needs only the standard library: ``python -I -S logwriter.py NAME LIMIT [UID GID]``. Its
standard input is a pipe from nginx; its standard output is the log file, opened with O_APPEND. The file's name in the
working directory is NAME. Before it would exceed LIMIT bytes, it is renamed to ``NAME.1`` and a new file is created.
The program ends when no nginx process has the pipe open any more. When root starts it, it switches to UID and GID.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys

_BLOCK = 64 * 1024  # bytes: as much as a pipe holds
_INPUT, _OUTPUT = 0, 1
_NEW_LOG = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LogWriter:
    """Appends to the log file. Output that cannot be written (full disk) is dropped, so that nginx never blocks.

    Args:
        name: name of the log file in the working directory.
        limit: maximum size of a file in bytes.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._lost = False

    def write(self, block: bytes) -> None:
        """Write a block of bytes; a new file begins with a new line."""
        if os.fstat(_OUTPUT).st_size + len(block) > self._limit:
            head, line_end, block = block.partition(b"\n")
            self._append(head + line_end)
            self._begin_file()
        self._append(block)

    def _append(self, block: bytes) -> None:
        if self._lost and block:
            block = b"\n" + block  # the end of a line may have been dropped
        try:
            while block:
                block = block[os.write(_OUTPUT, block) :]
            self._lost = False
        except OSError:
            self._lost = True

    def _begin_file(self) -> None:
        with contextlib.suppress(OSError):
            # Rename only our own file: another one may have been put in its place.
            if os.path.samestat(os.fstat(_OUTPUT), os.stat(self._name, follow_symlinks=False)):
                os.replace(self._name, f"{self._name}.1")
        with contextlib.suppress(OSError):
            descriptor = os.open(self._name, _NEW_LOG, 0o600)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.dup2(descriptor, _OUTPUT)
                os.close(descriptor)
                return
            os.close(descriptor)
        # A new file cannot be created: truncate the old one, to keep the limit.
        with contextlib.suppress(OSError):
            os.ftruncate(_OUTPUT, 0)


def main(name: str, limit: str, *user: str) -> None:
    """Copy the input until it ends; ``limit`` in bytes, ``user`` is a uid and a gid, or nothing."""
    if user:
        uid, gid = map(int, user)
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    # Ctrl-C in the terminal must not end this program: it ends with nginx.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    writer = LogWriter(name, int(limit))
    while block := os.read(_INPUT, _BLOCK):
        writer.write(block)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Writes what one nginx says into its log file, which never grows beyond a limit.

A program of its own, of the standard library alone: ``python -I -S logwriter.py NAME LIMIT [UID GID]``. It reads a pipe
on its standard input, of which nginx holds the other end, and appends to the file that is open as its standard output.
That file is called NAME in the working directory; once it holds LIMIT bytes it becomes ``NAME.1`` and a new one is
begun. It ends with the last nginx process that can write into the pipe. When root starts it, it becomes UID and GID.
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
    """Appends to the log file; what a full or broken disk refuses is lost, and nginx does not wait for it.

    Args:
        name: of the log file in the working directory.
        limit: bytes after which a new one is begun.
    """

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._lost = False

    def write(self, block: bytes) -> None:
        """Write a block; a new file is begun between two lines."""
        if os.fstat(_OUTPUT).st_size + len(block) > self._limit:
            head, line_end, block = block.partition(b"\n")
            self._append(head + line_end)
            self._begin_file()
        self._append(block)

    def _append(self, block: bytes) -> None:
        if self._lost and block:
            block = b"\n" + block  # what was lost may have been the end of a line
        try:
            while block:
                block = block[os.write(_OUTPUT, block) :]
            self._lost = False
        except OSError:
            self._lost = True

    def _begin_file(self) -> None:
        with contextlib.suppress(OSError):
            # Somebody may have moved the file away, and put another one in its place.
            if os.path.samestat(os.fstat(_OUTPUT), os.stat(self._name, follow_symlinks=False)):
                os.replace(self._name, f"{self._name}.1")
        with contextlib.suppress(OSError):
            descriptor = os.open(self._name, _NEW_LOG, 0o600)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.dup2(descriptor, _OUTPUT)
                os.close(descriptor)
                return
            os.close(descriptor)
        # No new file can be had: the limit holds nevertheless.
        with contextlib.suppress(OSError):
            os.ftruncate(_OUTPUT, 0)


def main(name: str, limit: str, *user: str) -> None:
    """Write all that comes, until nobody is left who could send more."""
    if user:
        uid, gid = map(int, user)
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    # Ctrl-C is meant for the programs that people see. This one ends when nginx does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    writer = LogWriter(name, int(limit))
    while block := os.read(_INPUT, _BLOCK):
        writer.write(block)


if __name__ == "__main__":
    main(*sys.argv[1:])

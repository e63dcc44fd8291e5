"""Opens the workspace and uses it by its descriptor, so that the checked directory is the one that is used.

A user who may write to the parent directory (a group's directory, or a user's home in which root works) can replace
the workspace with another directory at any moment. Its path then leads to the other directory. A descriptor, and the
working directory of a running nginx, still refer to the original one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from mtlslab.errors import NotOursError
from mtlslab.runtime.owners import others_may_write

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Identity = tuple[int, int]
"""Device and inode of a directory. They are not reused while a process has the directory open or works in it."""


@dataclasses.dataclass(frozen=True)
class Place:
    """An open workspace.

    Attributes:
        directory: its path when it was opened, for messages.
        descriptor: file descriptor of the open directory.
        path: ``/proc/self/fd/N``, which leads to it also after it was moved (Linux; elsewhere ``directory``). Valid in
            this process, and as the working directory of a new process.
    """

    directory: Path
    descriptor: int
    path: Path

    @property
    def identity(self) -> Identity:
        """Device and inode."""
        info = os.fstat(self.descriptor)
        return info.st_dev, info.st_ino


@contextlib.contextmanager
def held(directory: Path) -> Iterator[Place]:
    """Open a workspace for the length of the ``with`` statement.

    Raises:
        NotOursError: another user owns the directory, or may write to it.
        OSError: the directory does not exist, or is a symbolic link.
    """
    descriptor = os.open(directory, _DIRECTORY)
    try:
        info = os.fstat(descriptor)
        if info.st_uid not in (os.geteuid(), 0) or others_may_write(info):
            raise NotOursError(
                f"{directory} is not yours any more: somebody has put another directory in its place.",
                why="others may write the directory in which it lies",
                hint="Choose another directory with --dir, in which nobody else may write.",
            )
        path = Path(f"/proc/self/fd/{descriptor}")
        yield Place(directory, descriptor, path if path.exists() else directory)
    finally:
        os.close(descriptor)

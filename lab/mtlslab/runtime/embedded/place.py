"""The workspace as nginx gets it: held by a descriptor, so that what was looked at is what is used.

Whoever may write the directory above (that of a group, or a home in which root works) can put another directory in the
place of the workspace at any moment. The path leads to that one then; the descriptor does not, and neither does the
working directory of an nginx that runs.
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
"""Device and inode of a directory: no other has them while a process is in it."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A workspace that is held open.

    Attributes:
        directory: where it was when it was opened, for people.
        descriptor: of the open directory.
        path: leads to it wherever it is now (Linux; elsewhere it is ``directory``); good in this process, and as the
            working directory of one that is being started.
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
    """Hold a workspace open.

    Raises:
        NotOursError: it is somebody else's, or others may write there.
        OSError: there is none, or a link stands in its place.
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

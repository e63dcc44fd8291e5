"""Walks over all that lies below a workspace, whoever put it there. Follows no link, changes nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mtlslab.runtime.sudo import UNPRIVILEGED_ID, sudo_user
from mtlslab.workspace.directory import TWINS_DIRECTORY, Workspace

_MOST_READ = 4 * 1024 * 1024  # bytes; whatever comes after them in a longer file is not looked at
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclasses.dataclass(frozen=True)
class OnDisk:
    """A file or directory below a workspace.

    Attributes:
        path: relative to the workspace; ``.`` for the workspace itself.
        mode: type and permissions, as ``stat`` tells them.
        owner: uid.
        content: of a file that others may read, its beginning; else empty.
    """

    path: str
    mode: int
    owner: int
    content: bytes = dataclasses.field(default=b"", repr=False)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def readable_by_others(self) -> bool:
        """Whether its group or everybody may read it."""
        return bool(self.mode & (stat.S_IRGRP | stat.S_IROTH))

    @property
    def changeable_by_others(self) -> bool:
        """Whether its group or everybody may write it, or another user than we and root owns it."""
        if stat.S_ISLNK(self.mode):
            return False
        return bool(self.mode & (stat.S_IWGRP | stat.S_IWOTH)) or self.owner not in _trusted()


def everything(workspace: Workspace) -> Iterator[OnDisk]:
    """All that lies below a workspace, without its twins; of files that others may read, with the content.

    Raises:
        OSError: the workspace cannot be opened.
    """
    top = str(workspace.directory)
    yield _found(".", os.lstat(top))
    for directory, directories, files, descriptor in os.fwalk(top, follow_symlinks=False):
        inside = Path(directory).relative_to(top)
        if inside == Path():
            directories[:] = [name for name in directories if name != TWINS_DIRECTORY]
        for name in sorted((*directories, *files)):
            with contextlib.suppress(FileNotFoundError):  # gone in the meantime
                info = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                found = _found((inside / name).as_posix(), info)
                if found.is_file and found.readable_by_others:
                    found = dataclasses.replace(found, content=_content(name, descriptor))
                yield found


def _found(path: str, info: os.stat_result) -> OnDisk:
    return OnDisk(path, info.st_mode, info.st_uid)


def _content(name: str, directory: int) -> bytes:
    try:
        with open(os.open(name, _READ, dir_fd=directory), "rb") as file:
            return file.read(_MOST_READ)
    except OSError:  # not ours to read: its owner is told of elsewhere
        return b""


def _trusted() -> tuple[int, ...]:
    """Uids that may own a part of a lab: we and root; for root also those that nginx may run as."""
    user = sudo_user() if os.geteuid() == 0 else None
    return (os.geteuid(), 0, *((UNPRIVILEGED_ID, *(user or ())[:1]) if os.geteuid() == 0 else ()))

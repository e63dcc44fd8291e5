"""Writes files into one directory, each in one step, by a descriptor of the directory.

The descriptor makes many files cheap, and whoever swaps the directory for a link meanwhile diverts nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from lab.sudo import group_of

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
PUBLIC = 0o644
PRIVATE = 0o600
TEMPORARY = ".tmp-"


class Folder:
    """An open directory; made by :func:`open_folder`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, name: str, content: bytes, *, mode: int = PUBLIC, owner: int | None = None) -> None:
        """Write a file: a new one under another name first, which then takes the place of what was there.

        Args:
            name: of the file, without a path; a link of that name is replaced, not followed.
            content: all of it.
            mode: permissions; until they are set it is 0600, so that a private key is never open to others.
            owner: uid that it is given to, with the gid that goes with it, where we may give files away.

        Raises:
            OSError: the disk refuses it, or a directory has that name; nothing is left behind.
        """
        temporary = f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            self._create(temporary, content, mode, owner)
            os.replace(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=self._descriptor)
            raise

    def _create(self, name: str, content: bytes, mode: int, owner: int | None) -> None:
        descriptor = os.open(name, _NEW_FILE, PRIVATE, dir_fd=self._descriptor)
        with open(descriptor, "wb", buffering=0) as file:
            if mode != PRIVATE:
                os.fchmod(descriptor, mode)  # whatever the umask: a container with another uid must read it
            if owner is not None and os.geteuid() == 0:
                os.fchown(descriptor, owner, group_of(owner))
            written = 0
            while written < len(content):  # a disk that fills up takes a part first, and refuses the rest
                written += file.write(content[written:])


@contextlib.contextmanager
def open_folder(directory: Path) -> Iterator[Folder]:
    """Hold a directory open for writing into it.

    Raises:
        OSError: there is none, or a link stands in its place.
    """
    descriptor = os.open(directory, _DIRECTORY)
    try:
        yield Folder(descriptor)
    finally:
        os.close(descriptor)


def open_lock_file(path: Path) -> int:
    """A descriptor of a file to be locked, made if it is missing; neither follows a link nor waits for a FIFO.

    Raises:
        OSError: it is a link or a directory, or may not be opened.
    """
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        # On a disk that has become read-only, what runs must still be seen and stopped: a lock needs no writing.
        with contextlib.suppress(OSError):
            return os.open(path, os.O_RDONLY | flags)
        raise

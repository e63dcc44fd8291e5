"""An open directory: files are read, written and removed by its descriptor, each write in one step.

The descriptor makes many files cheap, and whoever swaps the directory for a link meanwhile diverts nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from mtlslab.runtime.sudo import group_of
from mtlslab.workspace.birth import moment_of_birth

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Neither follows a link nor waits for the other end of a FIFO.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
PUBLIC = 0o644
PRIVATE = 0o600
DIRECTORY_MODE = 0o755  # containers with another uid must pass; who is to be kept out is kept out by the files' modes
TEMPORARY = ".tmp-"
_OF_OTHERS = 0o077


class Folder:
    """An open directory; made by :func:`open_folder`.

    Attributes:
        path: where it was when it was opened, for messages.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.path = path

    def info(self) -> os.stat_result:
        """Owner, mode and inode of the directory."""
        return os.fstat(self._descriptor)

    def names(self) -> tuple[str, ...]:
        """What lies in it, sorted."""
        return tuple(sorted(os.listdir(self._descriptor)))

    def info_of(self, name: str) -> os.stat_result:
        """Owner and mode of what has that name; of a link itself.

        Raises:
            OSError: there is no such thing.
        """
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def moment_of_birth(self, name: str) -> int | None:
        """When a file was made; see :mod:`mtlslab.workspace.birth`."""
        return moment_of_birth(name, self._descriptor)

    @contextlib.contextmanager
    def inner(self, name: str, *, make: bool = False) -> Iterator[Folder]:
        """A directory in this one; with ``make`` it is made if it is missing, with mode 0755.

        Raises:
            OSError: there is none, or a link or a file stands in its place.
        """
        if make:
            _make_directory(name, DIRECTORY_MODE, dir_fd=self._descriptor)
        descriptor = os.open(name, _DIRECTORY, dir_fd=self._descriptor)
        try:
            yield Folder(descriptor, self.path / name)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[int]:
        """A descriptor to read a file; what it is (a FIFO, say) is for the caller to ask.

        Raises:
            OSError: there is none, it is a link, or it may not be read.
        """
        descriptor = os.open(name, _READ, dir_fd=self._descriptor)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def open_lock(self, name: str) -> int:
        """A descriptor of a file to be locked, made if it is missing; neither follows a link nor waits for a FIFO.

        Raises:
            OSError: it is a link or a directory, or may not be opened.
        """
        flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            return os.open(name, os.O_RDWR | os.O_CREAT | flags, PRIVATE, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            # On a disk that has become read-only, what runs must still be seen and stopped: a lock needs no writing.
            with contextlib.suppress(OSError):
                return os.open(name, os.O_RDONLY | flags, dir_fd=self._descriptor)
            raise

    def write(self, name: str, content: bytes, *, mode: int = PUBLIC, owner: int | None = None) -> None:
        """Write a file: a new one under another name first, which then takes the place of what was there.

        Args:
            name: of the file, without a path; a link of that name is replaced, not followed.
            content: all of it.
            mode: permissions; until they are set it is 0600, so that a private key is never open to others.
            owner: uid that it is given to, with the gid that goes with it, where we may give files away.

        Raises:
            OSError: the disk refuses it, or a directory has that name; nothing is left behind. ENOTSUP: the file was to
                be private, and the disk keeps no modes.
        """
        with self._temporary() as temporary:
            self._create(temporary, content, mode, owner)
            os.replace(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def check_modes(self) -> None:
        """Find out with an empty file whether this disk keeps modes.

        Raises:
            OSError: no file can be made here. ENOTSUP: the disk keeps no modes.
        """
        with self._temporary() as temporary:
            self._create(temporary, b"", PRIVATE, None)
            with self.reading(temporary) as descriptor:
                _set_mode(descriptor, PUBLIC)
            os.unlink(temporary, dir_fd=self._descriptor)

    def remove(self, name: str) -> None:
        """Remove a file, or a directory with all that is in it; a missing one is no error; no link is followed.

        Raises:
            OSError: it cannot be removed.
        """
        try:
            if stat.S_ISDIR(self.info_of(name).st_mode):
                shutil.rmtree(name, dir_fd=self._descriptor)
            else:
                os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[str]:
        """A name for a new file, of which nothing is left when the body fails."""
        name = f"{TEMPORARY}{secrets.token_hex(8)}"
        try:
            yield name
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._descriptor)
            raise

    def _create(self, name: str, content: bytes, mode: int, owner: int | None) -> None:
        descriptor = os.open(name, _NEW_FILE, PRIVATE, dir_fd=self._descriptor)
        with open(descriptor, "wb", buffering=0) as file:
            if mode == PRIVATE:
                _set_mode(descriptor, mode)
            else:  # whatever the umask: a container with another uid must read it
                with contextlib.suppress(PermissionError):  # a report may go to a disk without modes
                    os.fchmod(descriptor, mode)
            if owner is not None and os.geteuid() == 0:
                os.fchown(descriptor, owner, group_of(owner))
            written = 0
            while written < len(content):  # a disk that fills up takes a part first, and refuses the rest
                written += file.write(content[written:])


@contextlib.contextmanager
def open_folder(directory: Path) -> Iterator[Folder]:
    """Hold a directory open.

    Raises:
        OSError: there is none, or a link stands in its place.
    """
    descriptor = os.open(directory, _DIRECTORY)
    try:
        yield Folder(descriptor, directory)
    finally:
        os.close(descriptor)


def make_directories(directory: Path, mode: int = DIRECTORY_MODE) -> tuple[Path, ...]:
    """Make a directory and those above it that are missing, with that mode whatever the umask.

    Returns what was made, from the top to the bottom.

    Raises:
        OSError: one cannot be made; nothing that was made is left. ENOTSUP: the disk keeps no modes.
    """
    missing = [directory, *directory.parents]
    missing = missing[: next((count for count, path in enumerate(missing) if os.path.lexists(path)), len(missing))]
    made: list[Path] = []
    try:
        made.extend(path for path in reversed(missing) if _make_directory(path, mode))
    except OSError:
        remove_empty(made)
        raise
    return tuple(made)


def remove_empty(directories: tuple[Path, ...] | list[Path]) -> None:
    """Remove what :func:`make_directories` made; what is not empty any more stays."""
    for path in reversed(directories):
        with contextlib.suppress(OSError):
            path.rmdir()


def _make_directory(path: str | Path, mode: int, *, dir_fd: int | None = None) -> bool:
    """Make a directory, or accept what is there; returns whether it was made."""
    try:
        os.mkdir(path, 0o700, dir_fd=dir_fd)
    except FileExistsError:
        return False
    try:
        descriptor = os.open(path, _DIRECTORY, dir_fd=dir_fd)
        try:
            _set_mode(descriptor, mode)
        finally:
            os.close(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.rmdir(path, dir_fd=dir_fd)
        raise
    return True


def _set_mode(descriptor: int, mode: int) -> None:
    """Set the mode of a file or directory that we made just now.

    Raises:
        OSError: ENOTSUP: the disk keeps no modes, and more is open to others than was asked.
    """
    refused = OSError(errno.ENOTSUP, "the disk keeps no file modes")
    try:
        os.fchmod(descriptor, mode)
    except PermissionError:  # on our own file: a disk without owners
        raise refused from None
    if stat.S_IMODE(os.fstat(descriptor).st_mode) & _OF_OTHERS & ~mode:
        raise refused

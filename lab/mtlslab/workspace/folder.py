"""An open directory. Files are read, written and removed relative to its descriptor; each write is atomic.

Relative to a descriptor many files are fast, and replacing the directory by a link in the meantime has no effect.
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
from mtlslab.workspace.exchange import exchange

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening follows no link, and does not wait for the other end of a FIFO.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
PUBLIC = 0o644
PRIVATE = 0o600
DIRECTORY_MODE = 0o755  # containers with another uid must pass; the modes of the files protect secrets
TEMPORARY = ".tmp-"
_OF_OTHERS = 0o077


class Folder:
    """An open directory; see :func:`open_folder`.

    Attributes:
        path: its path when it was opened, for messages.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.path = path

    def info(self) -> os.stat_result:
        """The stat of the directory: owner, mode, inode."""
        return os.fstat(self._descriptor)

    def names(self) -> tuple[str, ...]:
        """Sorted names of its entries."""
        return tuple(sorted(os.listdir(self._descriptor)))

    def info_of(self, name: str) -> os.stat_result:
        """The stat of an entry; a symbolic link is not followed.

        Raises:
            OSError: there is no such entry.
        """
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def moment_of_birth(self, name: str) -> int | None:
        """Birth time of a file in ns; see :mod:`mtlslab.workspace.birth`."""
        return moment_of_birth(name, self._descriptor)

    @contextlib.contextmanager
    def inner(self, name: str, *, make: bool = False) -> Iterator[Folder]:
        """Open a directory in this one; with ``make`` it is created with mode 0755 if it is missing.

        Raises:
            OSError: there is none, or it is a link or a file.
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
        """Open a file for reading and yield its descriptor; the caller checks its type (it may be a FIFO).

        Raises:
            OSError: there is no such file, it is a link, or reading it is not permitted.
        """
        descriptor = os.open(name, _READ, dir_fd=self._descriptor)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def open_lock(self, name: str) -> int:
        """Open a lock file, which is created if it is missing; returns its descriptor. Does not wait for a FIFO.

        Raises:
            OSError: it is a link or a directory, or opening it is not permitted.
        """
        flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            return os.open(name, os.O_RDWR | os.O_CREAT | flags, PRIVATE, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            # A lock needs no writing: `status` and `down` must work on a file system that became read-only.
            with contextlib.suppress(OSError):
                return os.open(name, os.O_RDONLY | flags, dir_fd=self._descriptor)
            raise

    def write(self, name: str, content: bytes, *, mode: int = PUBLIC, owner: int | None = None) -> None:
        """Write a file atomically: a temporary file is written first and then renamed.

        Args:
            name: of the file, without a path; a link of that name is replaced, not followed.
            content: all of it.
            mode: permissions; the file is created with 0600, so a private key is never open to others.
            owner: uid of the new owner, whose group gets the file too; used only if we are root.

        Raises:
            OSError: the file cannot be written, or a directory has that name; no temporary file is left. ENOTSUP: the
                mode is 0600, and the file system does not support file modes.
        """
        with self._temporary() as temporary:
            self._create(temporary, content, mode, owner)
            os.replace(temporary, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def take(self, other: Folder, name: str, new_name: str = "") -> None:
        """Give a file of another directory a second name here, or copy it; it keeps content, mode and owner.

        Raises:
            OSError: there is no such file, or the system refuses it.
        """
        directories = {"src_dir_fd": other._descriptor, "dst_dir_fd": self._descriptor}
        try:
            os.link(name, new_name or name, **directories, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):  # the disk knows no second names
                raise
            self._copy(other, name, new_name or name)

    def _copy(self, other: Folder, name: str, new_name: str) -> None:
        with other.reading(name) as descriptor, open(descriptor, "rb", closefd=False) as file:
            info = os.fstat(descriptor)
            mode = PUBLIC if info.st_mode & _OF_OTHERS else PRIVATE
            self.write(new_name, file.read(), mode=mode, owner=info.st_uid)

    def move_directories(self, target: Folder) -> None:
        """Move all directories in this one to another one; what stands there under that name stays."""
        for name in self.names():
            if self.is_directory(name) and name not in target.names():
                os.rename(name, name, src_dir_fd=self._descriptor, dst_dir_fd=target._descriptor)

    def is_directory(self, name: str) -> bool:
        """Whether an entry is a directory; a link to one is not."""
        return stat.S_ISDIR(self.info_of(name).st_mode)

    def rename(self, name: str, new_name: str) -> None:
        """Rename an entry; a file of the new name is replaced.

        Raises:
            OSError: there is no such entry, or the system refuses it.
        """
        os.rename(name, new_name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def exchange(self, one: str, other: str) -> None:
        """Let two entries change their names.

        Raises:
            OSError: the system refuses it; both have their old names.
        """
        exchange(self._descriptor, one, other)

    def check_modes(self) -> None:
        """Check with an empty temporary file that the file system supports file modes.

        Raises:
            OSError: no file can be created here. ENOTSUP: the file system does not support file modes.
        """
        with self._temporary() as temporary:
            self._create(temporary, b"", PRIVATE, None)
            with self.reading(temporary) as descriptor:
                _set_mode(descriptor, PUBLIC)
            os.unlink(temporary, dir_fd=self._descriptor)

    def remove(self, name: str) -> None:
        """Remove a file, or a directory with its content. A missing one is ignored; no link is followed.

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
        """Yield a name for a new file; the file is removed if the body fails."""
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
                with contextlib.suppress(PermissionError):  # a report may be written to a file system without modes
                    os.fchmod(descriptor, mode)
            if owner is not None and os.geteuid() == 0:
                os.fchown(descriptor, owner, group_of(owner))
            written = 0
            while written < len(content):  # a full disk accepts a part first, and refuses the rest
                written += file.write(content[written:])


@contextlib.contextmanager
def open_folder(directory: Path) -> Iterator[Folder]:
    """Open a directory for the time of the body.

    Raises:
        OSError: there is none, or it is a link or a file.
    """
    descriptor = os.open(directory, _DIRECTORY)
    try:
        yield Folder(descriptor, directory)
    finally:
        os.close(descriptor)


def make_directories(directory: Path, mode: int = DIRECTORY_MODE) -> tuple[Path, ...]:
    """Create a directory and its missing parents with this mode, regardless of the umask.

    Returns the directories that were created, parents first.

    Raises:
        OSError: one cannot be created; those created before are removed. ENOTSUP: the file system does not support
            file modes.
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
    """Remove directories that :func:`make_directories` created; one that is not empty stays."""
    for path in reversed(directories):
        with contextlib.suppress(OSError):
            path.rmdir()


def _make_directory(path: str | Path, mode: int, *, dir_fd: int | None = None) -> bool:
    """Create a directory unless the path exists; returns whether it was created."""
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
    """Set the mode of a file or directory that this program created just now.

    Raises:
        OSError: ENOTSUP: the file system does not support file modes, and gives others more rights than ``mode``.
    """
    refused = OSError(errno.ENOTSUP, "the disk keeps no file modes")
    try:
        os.fchmod(descriptor, mode)
    except PermissionError:  # on a file of ours: a file system without owners
        raise refused from None
    if stat.S_IMODE(os.fstat(descriptor).st_mode) & _OF_OTHERS & ~mode:
        raise refused

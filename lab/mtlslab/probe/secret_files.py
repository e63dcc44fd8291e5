"""Files for private keys and other secrets that are needed for a moment, because a library takes nothing but a path.

On Linux they are in memory: they have no name on any disk and are gone with their process, even if that is killed.
Elsewhere they are in a private directory. A lock on it tells that its process lives; a directory whose process was
killed is removed when the same user needs the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

PREFIX = "mtlslab-secrets-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Keep = Callable[[bytes], Path]
"""Puts content into a new file, which only this user may read, and returns its path."""


@contextlib.contextmanager
def secret_files() -> Iterator[Keep]:
    """Yields the function that makes such files; all of them are gone at the end of the block, however it comes.

    Raises:
        OSError: there is no room, or too many files are open; also when the function is called.
    """
    with contextlib.ExitStack() as stack:
        if hasattr(os, "memfd_create"):
            yield lambda content: stack.enter_context(_file_in_memory(content))
        else:
            directory = stack.enter_context(_private_directory(Path(tempfile.gettempdir())))
            yield lambda content: _file_in(directory, content)


@contextlib.contextmanager
def _file_in_memory(content: bytes) -> Iterator[Path]:
    descriptor = os.memfd_create("mtlslab-secret")  # closed in every program that we start
    with open(descriptor, "wb", buffering=0) as file:
        written = 0
        while written < len(content):
            written += file.write(content[written:])
        yield Path(f"/proc/self/fd/{descriptor}")


def _file_in(directory: Path, content: bytes) -> Path:
    descriptor, name = tempfile.mkstemp(dir=directory)  # mode 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return Path(name)


@contextlib.contextmanager
def _private_directory(parent: Path) -> Iterator[Path]:
    """A directory (mode 0700) below ``parent``, locked for as long as it is there."""
    _sweep(parent)
    directory, lock = _new_directory(parent)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _new_directory(parent: Path) -> tuple[Path, int]:
    """A new directory and the descriptor that holds its lock."""
    while True:
        directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with contextlib.suppress(FileNotFoundError):  # somebody's sweep took it before it was locked: once more
            lock = os.open(directory, _DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if directory.exists():
                return directory, lock
            os.close(lock)


def _sweep(parent: Path) -> None:
    """Remove this user's directories that nobody holds."""
    for directory in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # a link, or gone, or held
            descriptor = os.open(directory, _DIRECTORY)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(directory)
            finally:
                os.close(descriptor)

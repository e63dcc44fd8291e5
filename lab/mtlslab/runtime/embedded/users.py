"""The user that nginx runs as. When root starts nginx, it runs as an unprivileged user, who gets access to its files.

Master and workers run as the owner of the server's key, as in containers. The working directory is the workspace: nginx
can work there even if that user has no access to a parent directory such as ``/root``. When another user than root
starts nginx, it runs as that user.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mtlslab.errors import MachineError
from mtlslab.plan.paths import SERVER_KEY
from mtlslab.plan.services import LabPlan, Service
from mtlslab.plan.shell import shell_line
from mtlslab.runtime.embedded.marks import can_mark
from mtlslab.runtime.embedded.place import Place
from mtlslab.runtime.ports import listening
from mtlslab.runtime.sudo import UNPRIVILEGED_ID, sudo_user
from mtlslab.runtime.table import other_runtimes

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLAIN_USER = f"Run mtlslab as an ordinary user, or in another runtime: {other_runtimes('embedded')}"


@dataclasses.dataclass(frozen=True)
class User:
    """An unprivileged user: uid and gid, both not 0."""

    uid: int
    gid: int


def nginx_user(place: Place) -> User | None:
    """The user that nginx must run as when root starts it; None if the current user is not root.

    This is the owner of the server's key. If the owner is root or uid 65532, it is the user who typed ``sudo``, else
    uid 65532.

    Raises:
        MachineError: root cannot run nginx safely on this system.
        OSError: the server's key does not exist or cannot be accessed.
    """
    if os.geteuid() != 0:
        return None
    if not can_mark():
        raise MachineError(
            "Root cannot run nginx on this system.",
            why="it could not tell its processes from those of other users",
            hint=_PLAIN_USER,
        )
    key = os.lstat(place.path / SERVER_KEY)
    if key.st_uid not in (0, UNPRIVILEGED_ID):
        return User(key.st_uid, key.st_gid or key.st_uid)
    return User(*(sudo_user() or (UNPRIVILEGED_ID, UNPRIVILEGED_ID)))


def let_in(user: User, place: Place, say: Callable[[str], None]) -> None:
    """Give a user access to the workspace's directory and to the server's key, as nginx needs it.

    Args:
        user: the user that nginx runs as.
        place: the open workspace.
        say: told in a sentence if the mode of the directory was changed.

    Raises:
        OSError: mode or owner cannot be changed.
        MachineError: the user may not enter the workspace, and root does not own it.
    """
    info = os.fstat(place.descriptor)
    if not _may_search(user, info):
        if info.st_uid != 0:
            raise MachineError(
                f"{place.directory} is closed to the user with the uid {user.uid}, who runs nginx for root.",
                why="nginx does not run as root",
                hint=f"Open it: {shell_line(['chmod', 'o+x', place.directory])}",
            )
        os.fchmod(place.descriptor, stat.S_IMODE(info.st_mode) | stat.S_IXGRP | stat.S_IXOTH)
        say(f"Opened {place.directory} for the user with the uid {user.uid}, who runs nginx for root (chmod o+x).")
    with _opened((place.path / SERVER_KEY).parent) as certificates:
        _give(Path(SERVER_KEY).name, certificates, user)


def own_directory(path: Path, user: User | None) -> None:
    """Create a directory with mode 0700 and give it to ``user``; None stands for the current user.

    Raises:
        OSError: the directory cannot be created, or is a symbolic link, which could lead out of the workspace.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, "is a link", str(path))
    if user is None:
        return
    with _opened(path) as directory:
        os.fchown(directory, user.uid, user.gid)
        # Directories that an earlier run created as another user; nginx creates files anew.
        for entry in os.scandir(directory):
            if entry.is_dir(follow_symlinks=False):
                os.chown(entry.name, user.uid, user.gid, dir_fd=directory, follow_symlinks=False)


def root_of(directory: Path) -> str:
    """The nginx prefix: the working directory, so that replacing the workspace later does not affect nginx."""
    return "." if can_mark() else str(directory)  # without memory files, the process title must contain the path


def start_as(
    user: User | None, command: Sequence[str], *, pass_fds: Sequence[int] = (), **options: Any
) -> subprocess.Popen[bytes]:
    """Start a program as a user, also if that user has no access to the program's directory.

    Args:
        user: user to run as; None for the current user.
        command: absolute path of the program, and its arguments.
        pass_fds: file descriptors that it inherits.
        options: other arguments of ``subprocess.Popen``.

    Raises:
        OSError: the program cannot be run.
        MachineError: this process may not switch to that user.
    """
    if user is None:
        return subprocess.Popen(command, pass_fds=pass_fds, **options)
    options |= {"user": user.uid, "group": user.gid, "extra_groups": []}
    try:
        with contextlib.suppress(PermissionError):
            return subprocess.Popen(command, pass_fds=pass_fds, **options)
        program = os.open(command[0], os.O_RDONLY | os.O_CLOEXEC)
        try:
            path = f"/proc/self/fd/{program}"
            return subprocess.Popen(command, executable=path, pass_fds=(*pass_fds, program), **options)
        finally:
            os.close(program)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EINVAL):
            raise
        raise MachineError(
            f"nginx cannot be started as the user with the uid {user.uid}.",
            why=f"{os.strerror(error.errno)}: this root may not become another user; nginx does not run as root",
            hint=_PLAIN_USER,
        ) from error


def give_stream(descriptor: int, user: User | None) -> None:
    """Make ``user`` the owner of a pipe or file, because nginx opens /dev/stdout by name, which needs access rights."""
    if user is not None:
        os.fchown(descriptor, user.uid, user.gid)


@contextlib.contextmanager
def low_port(plan: LabPlan, service: Service, user: User | None) -> Iterator[tuple[int, ...]]:
    """Listen on the service's port if only root may do so; yields the descriptors that nginx inherits, else none.

    Raises:
        OSError: the port is taken.
    """
    if user is None or service.port >= _first_free_port():
        yield ()
        return
    with listening(plan.listen, service.port) as held:
        yield (held.fileno(),)


def _first_free_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return socket.IPPORT_RESERVED


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, _DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _may_search(user: User, info: os.stat_result) -> bool:
    if info.st_uid == user.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    return bool(info.st_mode & (stat.S_IXGRP if info.st_gid == user.gid else stat.S_IXOTH))


def _give(name: str, directory: int, user: User) -> None:
    """Make a user the owner of the file ``name``, if root or uid 65532 owns it; a link is not followed."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        info = os.fstat(descriptor)
        # A file with a second hard link could be another user's secret.
        if stat.S_ISREG(info.st_mode) and info.st_nlink == 1 and info.st_uid in (0, UNPRIVILEGED_ID):
            os.fchown(descriptor, user.uid, user.gid)
    finally:
        os.close(descriptor)

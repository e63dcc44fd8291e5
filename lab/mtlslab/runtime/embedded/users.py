"""Who nginx runs as. Root does not run it as root: what nginx needs is given to a user without rights.

The whole nginx, its master too, runs as the owner of the server's key, as containers do. Its working directory is the
workspace, which it may be in although the way there (``/root``, say) is closed to it. Nobody who is not root becomes
anybody else.
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
    """A user without rights: uid and gid, both not 0."""

    uid: int
    gid: int


def nginx_user(place: Place) -> User | None:
    """Who runs the nginx of a workspace; None for whoever we are, when that is not root.

    The owner of the server's key; where that is root or nobody in particular, the user who typed ``sudo``, else uid
    65532.

    Raises:
        MachineError: root cannot run nginx safely on this system.
        OSError: there is no server key, or it is hidden.
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
    """Let a user read what nginx must read in a workspace of root's: the directory itself and the server's key.

    Raises:
        OSError: it cannot be changed.
        MachineError: the workspace belongs to somebody else and is closed.
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
    """Make a directory that nobody else may enter and that belongs to whoever runs nginx.

    Raises:
        OSError: it cannot be made, or is no real directory: a link could lead out of the workspace.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, "is a link", str(path))
    if user is None:
        return
    with _opened(path) as directory:
        os.fchown(directory, user.uid, user.gid)
        # What an earlier run made as another user; files are made anew.
        for entry in os.scandir(directory):
            if entry.is_dir(follow_symlinks=False):
                os.chown(entry.name, user.uid, user.gid, dir_fd=directory, follow_symlinks=False)


def root_of(directory: Path) -> str:
    """The workspace as nginx is told to find it: it works there, and no path leads it elsewhere later."""
    return "." if can_mark() else str(directory)  # without marks, the title must tell where it works


def start_as(
    user: User | None, command: Sequence[str], *, pass_fds: Sequence[int] = (), **options: Any
) -> subprocess.Popen[bytes]:
    """Start a program as a user, also one that lies where that user may not go.

    Args:
        user: None for whoever we are.
        command: absolute path of the program, and its arguments.
        pass_fds: descriptors that it inherits.
        options: others of ``subprocess.Popen``.

    Raises:
        OSError: it cannot be run.
        MachineError: we may not become that user.
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
    """Give a pipe or file to who runs nginx: nginx opens its standard output by name, as its owner may."""
    if user is not None:
        os.fchown(descriptor, user.uid, user.gid)


@contextlib.contextmanager
def low_port(plan: LabPlan, service: Service, user: User | None) -> Iterator[tuple[int, ...]]:
    """Listen for nginx on a port that only root may listen on; gives the descriptor to inherit, none for other ports.

    Raises:
        OSError: somebody holds the port.
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
    """Give the server's key to a user, if it is root's or nobody's in particular; never through a link."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        info = os.fstat(descriptor)
        # A second name of the file could be somebody else's secret.
        if stat.S_ISREG(info.st_mode) and info.st_nlink == 1 and info.st_uid in (0, UNPRIVILEGED_ID):
            os.fchown(descriptor, user.uid, user.gid)
    finally:
        os.close(descriptor)

"""The mark that identifies a lab's nginx processes: a sealed memory file (memfd_create) that they inherit (Linux).

Every user can set any process title, and any name of a memory file. But only root and the current user can create a
memory file that the current user owns. So a process is ours if it has such a file open and runs as the user that the
file names. The file was written by mtlslab, is sealed against changes, and exists as long as the processes do, with or
without a workspace.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import fcntl
import functools
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

from mtlslab.plan.services import SERVICES
from mtlslab.runtime.embedded.place import Identity, Place
from mtlslab.runtime.embedded.record import read_record
from mtlslab.runtime.ports import PROCESS_LABEL

MASTER_TITLE = "nginx: master process "
WORKER_TITLE = "nginx: worker process"
_NAME = "mtlslab"
_MAX_BYTES = 64 * 1024
# On other systems the process title is the mark of a master, and only of the current user's. It is the command line
# from `launch`; "nginx: master process" in front appears a moment after exec.
_TITLE = re.compile(
    rf"(?:{MASTER_TITLE})?(?P<nginx>/.+?) -p (?P<directory>/.*)/ -c (?P=directory)/(?P<service>[^/]+)/nginx\.conf"
    rf" -g daemon off; env {PROCESS_LABEL}=(?P<lab>[a-z0-9_-]+);",
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Mark:
    """The content of a mark: how a process was started.

    Attributes:
        lab: the lab's name.
        service: service name.
        directory: path of the workspace at the start.
        nginx: absolute path of the binary.
        uid: user that the process runs as.
        gid: group that the process runs as.
        place: identity of the workspace; None on systems without memory files.
    """

    lab: str
    service: str
    directory: Path
    nginx: Path
    uid: int
    gid: int
    place: Identity | None = None

    def runs_in(self, place: Place) -> bool:
        """Whether the process was started in this workspace, also if the workspace was moved since then."""
        return self.place == place.identity if self.place else self.directory == place.directory


def can_mark() -> bool:
    """Whether this system has memory files. Without them, root could not tell its processes from those of others."""
    return hasattr(os, "memfd_create")


@contextlib.contextmanager
def marked(mark: Mark) -> Iterator[tuple[int, ...]]:
    """Create the memory file of a mark; yields the descriptors that the process must inherit."""
    if not can_mark():  # there, masters are found by their title, and workers by where they run
        yield ()
        return
    descriptor = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        document = {**dataclasses.asdict(mark), "directory": str(mark.directory), "nginx": str(mark.nginx)}
        with open(descriptor, "wb", closefd=False) as file:
            file.write(json.dumps(document).encode())
        os.fchmod(descriptor, 0o444)  # the process runs as another user when root starts it
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _seals())
        yield (descriptor,)
    finally:
        os.close(descriptor)


def mark_of(process: psutil.Process, title: str) -> Mark | None:
    """The mark of a process; None when it was not started by mtlslab as the current user.

    Args:
        process: any process.
        title: its process title, see :func:`mtlslab.runtime.embedded.processes.title`.

    Raises:
        psutil.Error, OSError: the process has ended, or we may not see its open files.
    """
    if not can_mark():
        return _mark_by_title(process, title)
    uids, gids = process.uids(), process.gids()
    if os.geteuid() not in (0, uids.effective) or not _is_in_our_namespace(process):
        return None
    try:
        mark = _mark_in_files(process.pid)
    except PermissionError:
        # Root in a container may not read /proc/PID/fd of other users, except with their filesystem uid (setfsuid).
        with _file_rights_of(uids.effective, gids.effective):
            mark = _mark_in_files(process.pid)
    # Real, effective and saved uid: a setuid program runs with its owner's effective uid for every caller.
    return mark if mark and set(uids) == {mark.uid} else None


def _mark_in_files(pid: int) -> Mark | None:
    directory = f"/proc/{pid}/fd"
    for number in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            path = f"{directory}/{number}"
            if os.readlink(path).startswith(f"/memfd:{_NAME}") and _is_our_memory_file(os.stat(path)):
                return _read(path)
    return None


def _is_our_memory_file(info: os.stat_result) -> bool:
    # The device is compared too: a file on a mounted file system may have a name like that of a memory file.
    return stat.S_ISREG(info.st_mode) and (info.st_dev, info.st_uid) == (_memory_device(), os.geteuid())


@functools.cache
def _memory_device() -> int:
    descriptor = os.memfd_create(_NAME)
    try:
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


def _read(path: str) -> Mark | None:
    with open(path, "rb") as file:
        if fcntl.fcntl(file, fcntl.F_GET_SEALS) & _seals() != _seals():
            return None
        document = json.loads(file.read(_MAX_BYTES))
    return Mark(
        lab=str(document["lab"]),
        service=str(document["service"]),
        directory=Path(document["directory"]),
        nginx=Path(document["nginx"]),
        uid=int(document["uid"]),
        gid=int(document["gid"]),
        place=_identity(document.get("place")),
    )


def _identity(numbers: list[int] | None) -> Identity | None:
    if numbers is None:
        return None
    device, inode = map(int, numbers)
    return device, inode


def _seals() -> int:
    return fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def _is_in_our_namespace(process: psutil.Process) -> bool:
    # Root also sees processes inside containers. A lab that runs in a container does not belong to this machine.
    try:
        return os.readlink(f"/proc/{process.pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:  # no permission
        return True


def _mark_by_title(process: psutil.Process, title: str) -> Mark | None:
    match, own = _TITLE.fullmatch(title), os.geteuid()
    if own == 0 or set(process.uids()) != {own}:
        return None
    if match is None:
        return _mark_by_place(process) if title.startswith(WORKER_TITLE) else None
    directory, nginx = Path(match["directory"]), Path(match["nginx"])
    # Another program may show this title, for example if its argument is a file name that another user chose. So the
    # running binary must be the one that the title names.
    if not os.path.samefile(process.exe(), nginx):
        return None
    return Mark(match["lab"], match["service"], directory, nginx, own, os.getegid())


def _mark_by_place(process: psutil.Process) -> Mark | None:
    """The mark of a worker, whose title says nothing: its working directory is the workspace, its session the master's.

    The kernel gives the number of a session that lives to no new process. So a record of that number is the worker's.
    """
    directory, session = Path(process.cwd()), os.getsid(process.pid)
    for service in SERVICES:
        record = read_record(directory, service)
        if record and record.pid == session:
            return Mark(record.lab, service, directory, Path(process.exe()), os.geteuid(), os.getegid())
    return None


@contextlib.contextmanager
def _file_rights_of(uid: int, gid: int) -> Iterator[None]:
    """Access files as another user inside the ``with`` statement (setfsuid: Linux, as root, this thread only)."""
    system = ctypes.CDLL(None)
    own = os.geteuid(), os.getegid()
    system.setfsgid(gid)
    system.setfsuid(uid)
    try:
        yield
    finally:
        system.setfsuid(own[0])
        system.setfsgid(own[1])

"""The record of a process that the embedded runtime started: ``run/SERVICE.json`` in the workspace.

It is not needed to find or end nginx. It tells the fingerprint and binary of a service, its log writer, and that an
ended service has run. The directory ``run`` may belong to the user as whom nginx runs for root, so a record counts only
if the current user owns the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

from mtlslab.plan.paths import RUN_DIRECTORY

_MAX_BYTES = 65536


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """How a service was started.

    Attributes:
        lab: the lab's name.
        pid: process id of the nginx master.
        start_time: start time of the nginx master, see :func:`mtlslab.runtime.embedded.processes.start_time`.
        fingerprint: the service's fingerprint in the plan.
        nginx: version and path of the binary, such as "nginx 1.30.2 (/usr/sbin/nginx)".
        writer: process id of the log writer; 0 when unknown.
        writer_start_time: start time of the log writer.
    """

    lab: str
    pid: int
    start_time: float
    fingerprint: str
    nginx: str
    writer: int = 0
    writer_start_time: float = 0


def read_record(directory: Path, service: str) -> RunRecord | None:
    """The record of a service in the workspace ``directory``; None if it is missing, damaged or another user's file."""
    try:
        with _run_directory(directory) as run:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(_name(service), flags, dir_fd=run)
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_uid != os.geteuid():
                return None
            document = json.loads(file.read(_MAX_BYTES))
        return RunRecord(
            lab=str(document["lab"]),
            pid=int(document["pid"]),
            start_time=float(document["start_time"]),
            fingerprint=str(document["fingerprint"]),
            nginx=str(document["nginx"]),
            writer=int(document.get("writer", 0)),
            writer_start_time=float(document.get("writer_start_time", 0)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def write_record(directory: Path, service: str, record: RunRecord) -> None:
    """Write a record atomically: a reader sees the old one or the new one.

    Raises:
        OSError: the file cannot be written.
    """
    name = _name(service)
    temporary = f".{name}.tmp"
    with _run_directory(directory) as run:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=run)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o600, dir_fd=run), "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(record), file)
        os.replace(temporary, name, src_dir_fd=run, dst_dir_fd=run)


def clear_run_directory(directory: Path, service: str) -> None:
    """Remove the record and the pid file of a service, and symbolic links in place of its temporary directories.

    nginx would follow such a link and write outside the workspace.
    """
    with contextlib.suppress(OSError), _run_directory(directory) as run:
        for entry in os.scandir(run):
            ours = entry.name in (_name(service), f"{service}.pid") or entry.is_symlink()
            if ours and entry.name.startswith(service):
                os.unlink(entry.name, dir_fd=run)


@contextlib.contextmanager
def _run_directory(directory: Path) -> Iterator[int]:
    """A descriptor of the run directory, so that replacing the directory by a link has no effect."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(directory / RUN_DIRECTORY, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _name(service: str) -> str:
    return f"{service}.json"

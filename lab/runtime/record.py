"""What the embedded runtime writes down about a process it started: ``run/SERVICE.json`` in the workspace.

Not needed to find or to end a process. It tells what a process was started with, and that there was one that has ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from pathlib import Path

from lab.plan import RUN_DIRECTORY


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """How a service was started.

    Attributes:
        lab: the lab's name.
        pid: process id of the nginx master.
        start_time: as :func:`lab.runtime.processes.start_time` gives it; with the pid it names one process for good.
        fingerprint: the plan's fingerprint of the service.
        nginx: binary and version, in words.
    """

    lab: str
    pid: int
    start_time: float
    fingerprint: str
    nginx: str


def read_record(directory: Path, service: str) -> RunRecord | None:
    """The record of a service in the workspace ``directory``; None when there is none or it is damaged."""
    try:
        descriptor = os.open(_path(directory, service), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            document = json.loads(file.read(65536))
        return RunRecord(
            lab=str(document["lab"]),
            pid=int(document["pid"]),
            start_time=float(document["start_time"]),
            fingerprint=str(document["fingerprint"]),
            nginx=str(document["nginx"]),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def write_record(directory: Path, service: str, record: RunRecord) -> None:
    """Write a record in one step: a reader sees the old one or the new one.

    Raises:
        OSError: it cannot be written.
    """
    path = _path(directory, service)
    temporary = path.with_name(f".{path.name}.tmp")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(dataclasses.asdict(record), file)
    temporary.replace(path)


def clear_run_directory(directory: Path, service: str) -> None:
    """Remove the record and the pid file of a service, and links that stand where its temporary paths belong.

    nginx would write through a link, out of the workspace.
    """
    run = directory / RUN_DIRECTORY
    if run.is_symlink():
        return
    with contextlib.suppress(OSError):
        for entry in os.scandir(run):
            ours = entry.name in (f"{service}.json", f"{service}.pid") or entry.is_symlink()
            if ours and entry.name.startswith(service):
                Path(entry.path).unlink(missing_ok=True)


def _path(directory: Path, service: str) -> Path:
    return directory / RUN_DIRECTORY / f"{service}.json"

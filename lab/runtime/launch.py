"""Starts one nginx of the embedded runtime and waits until it has opened its port."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import MachineError
from lab.plan import RUN_DIRECTORY, LabPlan, Service
from lab.ports import PROCESS_LABEL
from lab.runtime import processes
from lab.runtime.logfile import LogReader, open_for_append
from lab.runtime.nginx import Nginx
from lab.runtime.record import RunRecord, write_record
from lab.shell import shell_line

if TYPE_CHECKING:
    import psutil

LOG_DIRECTORY = "logs"
# Seconds for nginx to read its configuration and open its port, at start and at reload. When the port is taken nginx
# itself tries for 2.5 seconds before it gives up.
PATIENCE = 10.0
LAST_LINES = 5  # of the log, in an error
# A distribution's nginx says this to everybody but root before it has read that the log is elsewhere: no fault.
_HARMLESS = "could not open error log file"


@dataclasses.dataclass
class Launch:
    """A service that is being started: its process, and its log from that moment on."""

    service: Service
    process: psutil.Process
    child: subprocess.Popen[bytes]
    log: LogReader


def launch(plan: LabPlan, service: Service, nginx: Nginx) -> Launch:
    """Start a service and write its record; does not wait.

    Raises:
        OSError: the disk refuses a file, or the binary cannot be run; the process may have been started already.
    """
    _make_directory(plan.directory / RUN_DIRECTORY)
    _make_directory(plan.directory / LOG_DIRECTORY)
    path = log_path(plan.directory, service.name)
    log = open_for_append(path)
    try:
        reader = LogReader(path, offset=os.fstat(log).st_size)
        command = [str(nginx.path), *service.command(str(plan.directory), directives(plan.lab))]
        process, child = processes.launch(plan.lab, service.name, command, directory=plan.directory, log=log)
    finally:
        os.close(log)
    record = RunRecord(plan.lab, process.pid, processes.start_time(process), service.fingerprint, str(nginx))
    write_record(plan.directory, service.name, record)
    return Launch(service, process, child, reader)


def directives(lab: str) -> str:
    """What nginx is told beside its configuration file: stay in the foreground, whose it is, which user to be."""
    label = f"daemon off; env {PROCESS_LABEL}={lab};"
    if os.geteuid() != 0:
        return label
    # nginx started by root hands its workers to "nobody", who cannot read a private workspace and has no known group.
    import grp
    import pwd

    try:
        return f"{label} user {pwd.getpwuid(0).pw_name} {grp.getgrgid(os.getegid()).gr_name};"
    except KeyError:
        return label


def wait_until_up(plan: LabPlan, launch: Launch) -> None:
    """Return when nginx has opened its port: it then becomes a master process and writes its pid file.

    Raises:
        MachineError: it has ended, or opens no port; ``why`` holds its last words.
    """
    pid_file = plan.directory / RUN_DIRECTORY / f"{launch.service.name}.pid"
    deadline = time.monotonic() + PATIENCE
    try:
        while launch.child.poll() is None:
            if processes.is_master(launch.process) or _holds(pid_file, launch.process.pid):
                return
            if time.monotonic() > deadline:
                raise _not_started(launch, f"it opened no port in {PATIENCE:.0f} seconds")
            time.sleep(processes.POLL_SECONDS)
        raise _not_started(launch, _ending(launch.child.returncode))
    finally:
        launch.log.close()


def _holds(pid_file: Path, pid: int) -> bool:
    try:
        return pid_file.read_text().strip() == str(pid)
    except (OSError, ValueError):
        return False


def _ending(code: int) -> str:
    return f"it ended with exit code {code}" if code >= 0 else f"it was killed by signal {-code}"


def _not_started(launch: Launch, cause: str) -> MachineError:
    said = words(launch.log.lines() + launch.log.last())
    return MachineError(
        f"{launch.service.name} did not start: {cause}.",
        why="\n".join(said[-LAST_LINES:]),
        hint=f"See its configuration: {launch.service.conf} (mtlslab up --overwrite renders it anew)",
    )


def words(lines: Iterable[str]) -> list[str]:
    """What nginx said, without what is no fault."""
    return [line for line in lines if line.strip() and _HARMLESS not in line]


def refused(plan: LabPlan, error: OSError) -> MachineError:
    """The error for what the disk or the kernel refused at a start."""
    path = error.filename or plan.directory
    hint = f"See what is there: {shell_line(['ls', '-la', plan.directory])}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "Make room on that disk, or choose another one with --dir."
    return MachineError(f"nginx cannot be started: {path}.", why=os.strerror(error.errno or 0), hint=hint)


def _make_directory(path: Path) -> None:
    """Make a directory of our own; one that is there must be real, as a link could lead out of the workspace."""
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, "is a link", str(path))


def log_path(directory: Path, service: str) -> Path:
    """The log file of a service in the workspace ``directory``."""
    return directory / LOG_DIRECTORY / f"{service}.log"

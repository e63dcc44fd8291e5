"""Starts nginx and the log writer of a service, and waits until nginx has opened its port."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from mtlslab.errors import MachineError
from mtlslab.plan.paths import RUN_DIRECTORY
from mtlslab.plan.services import LabPlan, Service
from mtlslab.plan.shell import shell_line
from mtlslab.runtime.embedded import logwriter, processes
from mtlslab.runtime.embedded.logfile import ROTATE_BYTES, LogReader, open_for_append
from mtlslab.runtime.embedded.marks import Mark
from mtlslab.runtime.embedded.nginx import Nginx
from mtlslab.runtime.embedded.place import Place
from mtlslab.runtime.embedded.record import RunRecord, read_record, write_record
from mtlslab.runtime.embedded.users import User, give_stream, low_port, own_directory, root_of
from mtlslab.runtime.ports import PROCESS_LABEL

LOG_DIRECTORY = "logs"
# Seconds for nginx to read its configuration and open its port, at start and at reload. If the port is taken, nginx
# itself retries for 2.5 seconds.
PATIENCE = 10.0
LAST_LINES = 5  # number of log lines that an error shows
_FIRST_WORDS = 1.0  # seconds for the log writer to start and write the first lines of nginx
_LAST_WORDS = 5.0  # seconds for the log writer to write the last lines of an nginx that has ended
# Not an error: a distribution's nginx tries its built-in log path, which only root may write, before it has read
# error_log in the configuration.
_HARMLESS = "could not open error log file"


@dataclasses.dataclass
class Launch:
    """A service that is being started.

    Attributes:
        service: the service.
        process: the nginx process.
        child: the same process, for its exit code.
        writer: the process that writes its log file.
        log: reads the log lines written since the start.
    """

    service: Service
    process: psutil.Process
    child: subprocess.Popen[bytes]
    writer: psutil.Process
    log: LogReader


def launch(plan: LabPlan, place: Place, service: Service, nginx: Nginx, user: User | None) -> Launch:
    """Start a service and write its record, without waiting for nginx.

    Args:
        plan: plan of the lab.
        place: the open workspace.
        service: the service to start.
        nginx: the binary.
        user: user that nginx runs as; None for the current user.

    Raises:
        OSError: a file cannot be written, or the binary cannot be run; the process may have been started already.
        MachineError: this process may not switch to that user.
    """
    own_directory(place.path / RUN_DIRECTORY, user)
    own_directory(place.path / LOG_DIRECTORY, user)
    path = log_path(place.path, service.name)
    identity = (user.uid, user.gid) if user else (os.geteuid(), os.getegid())
    mark = Mark(plan.lab, service.name, plan.directory, nginx.path, *identity, place.identity)
    # nginx uses the second of two prefixes (-p). The first one only shows the workspace in lists of processes.
    shown, root = ["-p", f"{plan.directory}/"], root_of(plan.directory)
    command = [str(nginx.path), *(shown if root == "." else []), *service.command(root, directives(plan.lab))]
    with low_port(plan, service, user) as sockets:
        reader, pipe, writer = _start_log_writer(path, user)
        try:
            process, child = processes.launch(mark, user, command, cwd=place.path, output=pipe, sockets=sockets)
        finally:
            os.close(pipe)
    record = RunRecord(
        plan.lab,
        process.pid,
        processes.start_time(process),
        service.fingerprint,
        str(nginx),
        writer.pid,
        processes.start_time(writer),
    )
    write_record(place.path, service.name, record)
    return Launch(service, process, child, writer, reader)


def _start_log_writer(path: Path, user: User | None) -> tuple[LogReader, int, psutil.Process]:
    """Start the log writer of a service. It ends when no process has the write end of its pipe open any more.

    Returns:
        A reader of the lines that it will write, the write end of its pipe, and its process.

    Raises:
        OSError: the log file cannot be opened, or Python cannot be started.
    """
    log = open_for_append(path)
    try:
        reader = LogReader(path, offset=os.fstat(log).st_size)
        output, pipe = os.pipe()
        try:
            give_stream(pipe, user)
            # It switches to the user itself, after the start: the user may not have access to Python's directory.
            identity = [str(user.uid), str(user.gid)] if user else []
            command = [sys.executable, "-I", "-S", logwriter.__file__, path.name, str(ROTATE_BYTES), *identity]
            child = subprocess.Popen(
                command, cwd=path.parent, stdin=output, stdout=log, stderr=subprocess.DEVNULL, start_new_session=True
            )
        except BaseException:
            os.close(pipe)
            raise
        finally:
            os.close(output)
    finally:
        os.close(log)
    return reader, pipe, processes.adopt(child)


def log_writer(directory: Path, service: str) -> psutil.Process | None:
    """The log writer of a service, from the record in the workspace ``directory``; None when it has ended."""
    record = read_record(directory, service)
    return processes.find(record.writer, record.writer_start_time) if record and record.writer else None


def directives(lab: str) -> str:
    """The directives for ``nginx -g``: stay in the foreground, and show the lab's name in the process title."""
    return f"daemon off; env {PROCESS_LABEL}={lab};"


def wait_until_up(plan: LabPlan, launch: Launch) -> None:
    """Return when nginx has opened its port: it then becomes a master process and writes its pid file.

    Raises:
        MachineError: nginx has ended, or does not open the port in time; ``why`` holds its last log lines.
    """
    pid_file = plan.directory / RUN_DIRECTORY / f"{launch.service.name}.pid"
    deadline = time.monotonic() + PATIENCE
    try:
        while launch.child.poll() is None:
            if processes.is_master(launch.process) or _holds(pid_file, launch.process.pid):
                _wait_for_first_words(launch)
                return
            if time.monotonic() > deadline:
                raise _not_started(launch, f"it opened no port in {PATIENCE:.0f} seconds")
            time.sleep(processes.POLL_SECONDS)
        raise _not_started(launch, _ending(launch.child.returncode))
    finally:
        launch.log.close()


def _wait_for_first_words(launch: Launch) -> None:
    """Return when the log has lines, or after a second: with an edited nginx.conf, nginx may log nothing."""
    deadline = time.monotonic() + _FIRST_WORDS
    while not launch.log.lines() and time.monotonic() < deadline:
        if not processes.is_alive(launch.writer):
            raise _not_started(launch, "the program that writes its log has ended")
        time.sleep(processes.POLL_SECONDS)


def _holds(pid_file: Path, pid: int) -> bool:
    try:
        return pid_file.read_text().strip() == str(pid)
    except (OSError, ValueError):
        return False


def _ending(code: int) -> str:
    return f"it ended with exit code {code}" if code >= 0 else f"it was killed by signal {-code}"


def _not_started(launch: Launch, cause: str) -> MachineError:
    if not processes.is_alive(launch.process):
        processes.wait([launch.writer], _LAST_WORDS)
    said = words(launch.log.lines() + launch.log.last())
    return MachineError(
        f"{launch.service.name} did not start: {cause}.",
        why=said[-LAST_LINES:],
        hint=f"See its configuration: {launch.service.conf} (mtlslab up --overwrite renders it anew)",
    )


def words(lines: Iterable[str]) -> list[str]:
    """The lines of nginx's output, without empty and harmless ones."""
    return [line for line in lines if line.strip() and _HARMLESS not in line]


def refused(plan: LabPlan, error: OSError) -> MachineError:
    """The MachineError for an OSError during a start."""
    # Show the path of the workspace instead of the path of its descriptor.
    path = re.sub(r"^/proc/self/fd/\d+", lambda _: str(plan.directory), str(error.filename or plan.directory))
    hint = f"See what is there: {shell_line(['ls', '-la', plan.directory])}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "Make room on that disk, or choose another one with --dir."
    return MachineError(f"nginx cannot be started: {path}.", why=os.strerror(error.errno or 0), hint=hint)


def log_path(directory: Path, service: str) -> Path:
    """The log file of a service in the workspace ``directory``."""
    return directory / LOG_DIRECTORY / f"{service}.log"

"""Starts one nginx of the embedded runtime and waits until it has opened its port."""

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
# Seconds for nginx to read its configuration and open its port, at start and at reload. When the port is taken nginx
# itself tries for 2.5 seconds before it gives up.
PATIENCE = 10.0
LAST_LINES = 5  # of the log, in an error
_FIRST_WORDS = 1.0  # seconds for the log writer to start and write what nginx says when it starts
_LAST_WORDS = 5.0  # seconds for the log writer to write what an nginx that has ended said
# A distribution's nginx says this to everybody but root before it has read that the log is elsewhere: no fault.
_HARMLESS = "could not open error log file"


@dataclasses.dataclass
class Launch:
    """A service that is being started: nginx, who writes its log, and the log from that moment on."""

    service: Service
    process: psutil.Process
    child: subprocess.Popen[bytes]
    writer: psutil.Process
    log: LogReader


def launch(plan: LabPlan, place: Place, service: Service, nginx: Nginx, user: User | None) -> Launch:
    """Start a service as a user (None: the one that we are) and write its record; does not wait.

    Raises:
        OSError: the disk refuses a file, or the binary cannot be run; the process may have been started already.
        MachineError: we may not become that user.
    """
    own_directory(place.path / RUN_DIRECTORY, user)
    own_directory(place.path / LOG_DIRECTORY, user)
    path = log_path(place.path, service.name)
    identity = (user.uid, user.gid) if user else (os.geteuid(), os.getegid())
    mark = Mark(plan.lab, service.name, plan.directory, nginx.path, *identity, place.identity)
    # Of two prefixes (-p) the second counts. The first one tells whoever looks at the processes where the lab is.
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
    """Start the log writer of a service; gives a reader of what it will write, and the pipe into it.

    It ends when nobody holds the pipe any more.

    Raises:
        OSError: the log cannot be opened, or no Python be started.
    """
    log = open_for_append(path)
    try:
        reader = LogReader(path, offset=os.fstat(log).st_size)
        output, pipe = os.pipe()
        try:
            give_stream(pipe, user)
            # Not as the user from the start, who may not go where Python lies: it becomes that user itself.
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
    """The process that writes the log of a service, by the record in the workspace; None when it has ended."""
    record = read_record(directory, service)
    return processes.find(record.writer, record.writer_start_time) if record and record.writer else None


def directives(lab: str) -> str:
    """What nginx is told beside its configuration file: stay in the foreground, and whose it is."""
    return f"daemon off; env {PROCESS_LABEL}={lab};"


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
                _wait_for_first_words(launch)
                return
            if time.monotonic() > deadline:
                raise _not_started(launch, f"it opened no port in {PATIENCE:.0f} seconds")
            time.sleep(processes.POLL_SECONDS)
        raise _not_started(launch, _ending(launch.child.returncode))
    finally:
        launch.log.close()


def _wait_for_first_words(launch: Launch) -> None:
    """Return when the log is being written: whoever looks finds it. An edited nginx.conf may keep nginx silent."""
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
    """What nginx said, without what is no fault."""
    return [line for line in lines if line.strip() and _HARMLESS not in line]


def refused(plan: LabPlan, error: OSError) -> MachineError:
    """The error for what the disk or the kernel refused at a start."""
    # What is named by the descriptor is shown as people find it.
    path = re.sub(r"^/proc/self/fd/\d+", lambda _: str(plan.directory), str(error.filename or plan.directory))
    hint = f"See what is there: {shell_line(['ls', '-la', plan.directory])}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "Make room on that disk, or choose another one with --dir."
    return MachineError(f"nginx cannot be started: {path}.", why=os.strerror(error.errno or 0), hint=hint)


def log_path(directory: Path, service: str) -> Path:
    """The log file of a service in the workspace ``directory``."""
    return directory / LOG_DIRECTORY / f"{service}.log"

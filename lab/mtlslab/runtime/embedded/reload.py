"""Tests an edited configuration and applies it to a running nginx of the embedded runtime."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

from mtlslab.errors import MachineError
from mtlslab.plan.services import Service
from mtlslab.runtime.base import Dump, split_version
from mtlslab.runtime.embedded import processes
from mtlslab.runtime.embedded.launch import LAST_LINES, PATIENCE, directives, log_path, words
from mtlslab.runtime.embedded.logfile import LogReader
from mtlslab.runtime.embedded.marks import can_mark
from mtlslab.runtime.embedded.place import Place
from mtlslab.runtime.embedded.processes import Master
from mtlslab.runtime.embedded.users import User, give_stream, root_of, start_as

_MOST_READ = 8 * 1024 * 1024  # bytes of what nginx says; a rendered configuration has 4 KiB


@dataclasses.dataclass(frozen=True)
class _Answer:
    """What a command said, and its exit code."""

    code: int
    output: str
    errors: str


def check_configuration(lab: str, service: Service, master: Master, place: Place) -> None:
    """Run ``nginx -t`` on the configuration in the workspace.

    Args:
        lab: the lab's name.
        service: the service.
        master: its running master process.
        place: the open workspace.

    Raises:
        MachineError: nginx refuses the configuration (``why`` holds its output), or the test cannot be run.
    """
    answer = _ask(lab, service, master, place, service.test_command(root_of(place.directory)))
    said = answer.output + answer.errors
    if answer.code != 0 and not (_other_user(master) and _lacks_only_the_port(service, said)):
        raise _keeps_old(service, words(said.splitlines()))


def dump_configuration(lab: str, service: Service, master: Master, place: Place) -> Dump:
    """What ``nginx -T`` says of the configuration in the workspace.

    Raises:
        MachineError: nginx refuses it; ``why`` holds its own words.
    """
    answer = _ask(lab, service, master, place, service.dump_command(root_of(place.directory)))
    version, errors = split_version(answer.errors)
    if answer.code != 0:
        said = words(errors.splitlines())[-LAST_LINES:]
        raise MachineError(f"nginx -T does not show the configuration of {service.name}.", why=said)
    return Dump(answer.output, str(place.directory), since=processes.serving_since(master), nginx=version)


def _other_user(master: Master) -> User | None:
    """Who runs a master, where that is somebody else than we."""
    mark = master.mark
    return User(mark.uid, mark.gid) if mark.uid != os.geteuid() else None


def _ask(lab: str, service: Service, master: Master, place: Place, arguments: list[str]) -> _Answer:
    # Same binary, user and directory as the running master, so that the result is valid for it. `nginx -t` does not
    # disturb the running server: it does not listen on the port and keeps the content of the pid file.
    command = [str(master.mark.nginx), *arguments, "-g", directives(lab)]
    try:
        return _run(command, _other_user(master), place.path)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(f"The configuration of {service.name} cannot be tested.", why=str(error)) from error


def _lacks_only_the_port(service: Service, said: str) -> bool:
    """Whether the test failed only because it may not bind the low port, which root opened for the running nginx.

    Binding is the last step of the test: nginx has accepted the whole configuration by then.
    """
    problems = [line for line in said.splitlines() if "[emerg]" in line]
    return bool(problems) and all(re.search(rf"bind\(\) to \S+:{service.port} failed \(13:", line) for line in problems)


def _run(command: list[str], user: User | None, directory: Path) -> _Answer:
    """What a command says that a user runs in a directory."""
    with _nameless_file() as output, _nameless_file() as errors:
        for stream in (output, errors):
            give_stream(stream.fileno(), user)
        # In the environment of the running nginx, for which the answer must hold.
        child = start_as(
            user,
            command,
            cwd=directory,
            env=processes.passed_on(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        try:
            code = child.wait(PATIENCE)
        finally:
            child.kill()
            child.wait()
        return _Answer(code, _content(output), _content(errors))


def _content(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read(_MOST_READ).decode(errors="replace")


def _nameless_file() -> IO[bytes]:
    # A memory file where possible: a container may have no directory for temporary files.
    return os.fdopen(os.memfd_create("nginx-t"), "w+b") if can_mark() else tempfile.TemporaryFile()


def apply_configuration(service: Service, master: Master, place: Place) -> None:
    """Send SIGHUP and wait until the old workers accept no connections any more.

    After SIGHUP, old and new workers accept connections side by side for about 100 ms: a client that connects in that
    time may still get the old configuration.

    Raises:
        MachineError: nginx has kept the old configuration; ``why`` holds its log lines.
    """
    log = LogReader(log_path(place.path, service.name), tail=0)
    log.lines()
    try:
        old = processes.serving_workers(master)
        processes.send(master.process, signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while not (now := processes.serving_workers(master)) or now & old:
            # Some errors appear only now: `nginx -t` accepts a port that is taken.
            problems = [line for line in log.lines() if "[emerg]" in line]
            if any("still could not bind" in line for line in problems) or time.monotonic() > deadline:
                raise _keeps_old(service, problems)
            time.sleep(processes.POLL_SECONDS)
    finally:
        log.close()


def _keeps_old(service: Service, said: list[str]) -> MachineError:
    return MachineError(
        f"nginx refuses the configuration of {service.name}; the old one keeps running.",
        why=said[-LAST_LINES:] or f"it was not taken in {PATIENCE:.0f} seconds",
        hint=f"Correct {service.conf}, then: mtlslab reload",
    )

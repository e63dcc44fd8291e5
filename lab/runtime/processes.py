"""Finds and ends the nginx processes of a lab, by what they themselves show: their title and an open file.

A master shows its whole command line in its process title, with the lab's name in it (``env MTLSLAB_LAB=name;``). A
worker shows only "nginx: worker process"; that it belongs to a lab shows in the open file which it inherited, a memory
file called ``mtlslab:LAB:SERVICE`` (Linux). So neither a pid file nor the workspace is needed to find what a killed
master left behind, and no pid that was written down earlier is ever signalled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.ports import PROCESS_LABEL

if TYPE_CHECKING:
    import psutil

POLL_SECONDS = 0.005
# How long nginx may take to end after each signal: QUIT waits for connections that are being served, TERM does not.
_PATIENCE = ((signal.SIGQUIT, 1.0), (signal.SIGTERM, 1.5), (signal.SIGKILL, 5.0))
_MASTER_TITLE = "nginx: master process "
# The title is the command line as `launch` made it. Right after exec the words in front are not there yet.
_MASTER = re.compile(
    rf"(?:{_MASTER_TITLE})?(?P<nginx>/.+?) -p (?P<directory>/.*)/ -c (?P=directory)/(?P<service>[^/]+)/nginx\.conf"
    rf" -g daemon off; env {PROCESS_LABEL}=(?P<lab>[a-z0-9_-]+);(?: user [^;]+;)?",
    re.DOTALL,
)
_WORKER_TITLE = "nginx: worker process"
_RETIRED_TITLE = "nginx: worker process is shutting down"
_MEMORY_FILE = "mtlslab:{lab}:{service}"
_INHERITED = re.compile(r"/memfd:mtlslab:(?P<lab>[a-z0-9_-]+):")
# nginx writes its title over its arguments and its environment: 22 bytes more than the arguments. In an empty
# environment the end of the title, which is the label, would be cut off.
_ROOM_FOR_TITLE = {"MTLSLAB_ROOM": "-" * 64}
_PASSED_ON = ("PATH", "TZ", "LD_LIBRARY_PATH")
# Processes that this very program started: held, so that they are reaped when they end.
_children: list[subprocess.Popen[bytes]] = []


@dataclasses.dataclass(frozen=True)
class Master:
    """A master process of nginx: the service it runs, the workspace and binary it was started with."""

    process: psutil.Process
    service: str
    directory: Path
    nginx: Path


@dataclasses.dataclass(frozen=True)
class Orphan:
    """A worker process whose master was killed: it still listens on the port."""

    process: psutil.Process
    service: str


@dataclasses.dataclass(frozen=True)
class Found:
    """The nginx processes of one lab."""

    masters: tuple[Master, ...] = ()
    orphans: tuple[Orphan, ...] = ()

    def of(self, services: Iterable[str]) -> Found:
        """Only those of the named services."""
        names = tuple(services)
        return Found(
            tuple(item for item in self.masters if item.service in names),
            tuple(item for item in self.orphans if item.service in names),
        )

    @property
    def services(self) -> frozenset[str]:
        """Names of the services that have any process."""
        return frozenset(item.service for item in self.masters) | frozenset(item.service for item in self.orphans)


def scan(lab: str) -> Found:
    """The processes of a lab that belong to us, or to anybody when we are root."""
    import psutil

    _reap()
    masters: list[Master] = []
    workers: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            text = title(process)
            match = _MASTER.fullmatch(text) if PROCESS_LABEL in text else None
            # A master leads its session. A worker that was forked this moment still shows its master's title.
            if text.startswith(_WORKER_TITLE) or (match and os.getsid(process.pid) != process.pid):
                workers.append(process)
            elif match and match["lab"] == lab and _is_ours(process):
                masters.append(_master(process, match))
    sessions = {item.process.pid for item in masters}
    return Found(tuple(masters), tuple(_orphans(lab, workers, sessions)))


def labs() -> tuple[str, ...]:
    """Names of the labs that a process speaks of, by its title or its memory file; whose it is, ``scan`` tells."""
    import psutil

    names: set[str] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            text = title(process)
            if match := _MASTER.fullmatch(text) if PROCESS_LABEL in text else None:
                names.add(match["lab"])
            elif text.startswith(_WORKER_TITLE):
                names.update(_labs_of_worker(process))
    return tuple(sorted(names))


def title(process: psutil.Process) -> str:
    """The command line as the process shows it.

    Raises:
        psutil.Error: it has ended, is a zombie, or is hidden from us.
    """
    # nginx fills the rest of the old arguments with NULs, which read as empty arguments.
    return " ".join(process.cmdline()).rstrip()


def is_master(process: psutil.Process) -> bool:
    """Whether nginx has read its configuration, opened its port and become a master process."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return title(process).startswith(_MASTER_TITLE)
    return False


def serving_workers(master: Master) -> frozenset[int]:
    """The pids of a master's workers that take new connections, without those that are on their way out."""
    import psutil

    pids = set()
    with contextlib.suppress(psutil.Error):
        for child in master.process.children():
            with contextlib.suppress(psutil.Error):
                text = title(child)
                if text.startswith(_WORKER_TITLE) and not text.startswith(_RETIRED_TITLE):
                    pids.add(child.pid)
    return frozenset(pids)


def start_time(process: psutil.Process) -> float:
    """When a process started; together with the pid it names a process for good.

    On Linux in clock ticks since the machine booted, because psutil's time moves when somebody sets the clock;
    elsewhere in seconds since 1970.
    """
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return process.create_time()
    return int(fields[19])  # proc(5): field 22, counted behind the name in parentheses


def is_alive(process: psutil.Process) -> bool:
    """Whether it is still the same process, and no zombie."""
    import psutil

    _reap()
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def launch(
    lab: str, service: str, command: Sequence[str], *, directory: Path, log: int
) -> tuple[psutil.Process, subprocess.Popen[bytes]]:
    """Start an nginx that outlives us: session and process group of its own, output to the file descriptor ``log``.

    Raises:
        OSError: it cannot be run.
    """
    import psutil

    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    with _memory_file(lab, service) as inherited:
        child = subprocess.Popen(
            command,
            cwd=directory,
            env={**environment, **_ROOM_FOR_TITLE},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=inherited,
        )
    _children.append(child)
    return psutil.Process(child.pid), child


def end(found: Found) -> None:
    """End processes: QUIT, then TERM, then KILL for what does not go.

    psutil refuses to signal a pid that was given to another process meanwhile.
    """
    # Masters tell their workers themselves; a worker that ends before its master would be replaced by it.
    family = [item.process for item in found.masters]
    waiting = [*family, *(item.process for item in found.orphans)]
    for number, patience in _PATIENCE:
        if number == signal.SIGKILL:
            waiting += _descendants(family)
        for process in waiting:
            send(process, number)
        waiting = _wait(waiting, patience)
        if not waiting:
            break
    _reap()


def _master(process: psutil.Process, match: re.Match[str]) -> Master:
    return Master(process, match["service"], Path(match["directory"]), Path(match["nginx"]))


def _orphans(lab: str, workers: Iterable[psutil.Process], sessions: set[int]) -> Iterator[Orphan]:
    import psutil

    for process in workers:
        with contextlib.suppress(psutil.Error, OSError):
            service = _service_of_worker(lab, process)
            if service and os.getsid(process.pid) not in sessions and _is_ours(process):
                yield Orphan(process, service)


def _is_ours(process: psutil.Process) -> bool:
    owner = process.uids().effective
    if os.geteuid() not in (0, owner):
        return False
    # Root also sees the processes inside containers: a lab that runs in there is not this machine's.
    try:
        return os.readlink(f"/proc/{process.pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux, or hidden
        return True


def _service_of_worker(lab: str, process: psutil.Process) -> str:
    """The service that a worker belongs to, by the memory file that it inherited; empty when it is not of this lab."""
    prefix = "/memfd:" + _MEMORY_FILE.format(lab=lab, service="")
    directory = f"/proc/{process.pid}/fd"
    for number in os.listdir(directory):
        with contextlib.suppress(OSError):
            target = os.readlink(f"{directory}/{number}")
            if target.startswith(prefix):
                return target.removeprefix(prefix).removesuffix(" (deleted)")
    return ""


def _labs_of_worker(process: psutil.Process) -> Iterator[str]:
    """The lab of the memory file that a worker inherited."""
    directory = f"/proc/{process.pid}/fd"
    for number in os.listdir(directory):
        with contextlib.suppress(OSError):
            if match := _INHERITED.match(os.readlink(f"{directory}/{number}")):
                yield match["lab"]


@contextlib.contextmanager
def _memory_file(lab: str, service: str) -> Iterator[tuple[int, ...]]:
    if not hasattr(
        os, "memfd_create"
    ):  # macOS: workers of a killed master are not found there, the port check names them
        yield ()
        return
    descriptor = os.memfd_create(_MEMORY_FILE.format(lab=lab, service=service))
    try:
        yield (descriptor,)
    finally:
        os.close(descriptor)


def _descendants(masters: Iterable[psutil.Process]) -> list[psutil.Process]:
    import psutil

    found: list[psutil.Process] = []
    for master in masters:
        with contextlib.suppress(psutil.Error):
            found += master.children(recursive=True)
    return found


def send(process: psutil.Process, number: int) -> None:
    """Send a signal, unless the process has ended; psutil looks whether the pid is still the same process."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
        if process.status() == psutil.STATUS_STOPPED:
            process.send_signal(signal.SIGCONT)  # a stopped process takes no other signal


def _wait(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all have ended; returns those that have not in time."""
    deadline = time.monotonic() + seconds
    alive = [process for process in processes if is_alive(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        alive = [process for process in alive if is_alive(process)]
    return alive


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]

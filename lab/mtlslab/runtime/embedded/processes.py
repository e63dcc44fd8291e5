"""Finds, starts and ends the nginx processes of a lab. They are identified by their mark, see :mod:`.marks`.

Neither a pid file nor the workspace is needed to find the workers of a killed master. A recorded pid gets no signal
before its start time was compared, because the kernel may have given the pid to another process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import psutil

from mtlslab.errors import MachineError
from mtlslab.runtime.base import Surroundings
from mtlslab.runtime.embedded.marks import MASTER_TITLE, WORKER_TITLE, Mark, mark_of, marked
from mtlslab.runtime.embedded.users import User, start_as
from mtlslab.runtime.ports import PROCESS_LABEL

POLL_SECONDS = 0.005
# Seconds for nginx to end after each signal. SIGQUIT waits for open connections, SIGTERM does not.
_PATIENCE = ((signal.SIGQUIT, 1.0), (signal.SIGTERM, 1.5), (signal.SIGKILL, 5.0))
_RETIRED_TITLE = f"{WORKER_TITLE} is shutting down"
# nginx overwrites its arguments and environment with its title, which is 22 bytes longer than the arguments. With an
# empty environment the end of the title, which is the label, would be cut off.
_ROOM_FOR_TITLE = {"MTLSLAB_ROOM": "-" * 64}
_PASSED_ON = ("PATH", "TZ", "LD_LIBRARY_PATH")

# Processes that this program started: kept, so that they are reaped when they end.
_children: list[subprocess.Popen[bytes]] = []


def passed_on() -> dict[str, str]:
    """The part of this program's environment that nginx gets: a policy for clients (OPENSSL_CONF) is none for it."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


@dataclasses.dataclass(frozen=True)
class Master:
    """A master process of nginx, with its mark."""

    process: psutil.Process
    mark: Mark

    @property
    def service(self) -> str:
        """The service that it runs."""
        return self.mark.service

    @property
    def directory(self) -> Path:
        """The workspace that it was started from."""
        return self.mark.directory


@dataclasses.dataclass(frozen=True)
class Orphan:
    """A worker process whose master was killed. It still listens on the port."""

    process: psutil.Process
    mark: Mark

    @property
    def service(self) -> str:
        """The service that it belongs to."""
        return self.mark.service


@dataclasses.dataclass(frozen=True)
class Found:
    """Masters and orphans of one lab or of all labs."""

    masters: tuple[Master, ...] = ()
    orphans: tuple[Orphan, ...] = ()

    def of(self, services: Iterable[str]) -> Found:
        """The processes of the named services."""
        names = tuple(services)
        return Found(
            tuple(item for item in self.masters if item.service in names),
            tuple(item for item in self.orphans if item.service in names),
        )

    @property
    def services(self) -> frozenset[str]:
        """Names of the services that have any process."""
        return frozenset(item.service for item in self.masters) | frozenset(item.service for item in self.orphans)


def surroundings_of(master: Master) -> Surroundings:
    """Where a master listens, and as whom its workers, who talk to clients, run: they have their sockets from it."""
    doors: tuple[tuple[str, int], ...] = ()
    user = ""
    with contextlib.suppress(psutil.Error, OSError):
        workers = master.process.children()
        user = str(min((one.uids().effective for one in workers), default=master.process.uids().effective))
        doors = tuple(dict.fromkeys(_listening(master.process)))
    return Surroundings(master.service, f"pid {master.process.pid}", doors, user)


def scan(lab: str) -> Found:
    """The processes of a lab that the current user started."""
    found = scan_all()
    return Found(
        tuple(item for item in found.masters if item.mark.lab == lab),
        tuple(item for item in found.orphans if item.mark.lab == lab),
    )


def scan_all() -> Found:
    """The processes of all labs that the current user started."""
    _reap()
    masters: list[Master] = []
    workers: list[tuple[psutil.Process, Mark, int]] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            text = title(process)
            # The title only selects candidates, because every process can show it. The mark decides; reading the open
            # files of all processes would take too long.
            mark = mark_of(process, text) if _may_be_nginx(text) else None
            if mark is None:
                continue
            # A master is a session leader. The title does not tell: just after fork, a worker has its master's title.
            session = os.getsid(process.pid)
            if session == process.pid:
                masters.append(Master(process, mark))
            else:
                workers.append((process, mark, session))
    sessions = {item.process.pid for item in masters}
    orphans = tuple(Orphan(process, mark) for process, mark, session in workers if session not in sessions)
    return Found(tuple(masters), orphans)


def _may_be_nginx(text: str) -> bool:
    """Whether a title may be that of a lab's nginx.

    Between exec and its first instruction a program has no title yet, and nginx writes "nginx:" before the rest.
    """
    return not text or text.startswith("nginx:") or PROCESS_LABEL in text


def await_programs(seconds: float = 2.0) -> None:
    """Return when every child of this process runs its own program.

    An interrupt may come between fork and exec: the child then still shows our title, and a scan would miss it.
    """
    own = title(psutil.Process())
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(_shows(child, ("", own)) for child in psutil.Process().children()):
        time.sleep(POLL_SECONDS)


def _shows(process: psutil.Process, titles: Sequence[str]) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE and title(process) in titles
    return False


def labs() -> tuple[str, ...]:
    """Names of all labs of which the current user runs a process, sorted."""
    found = scan_all()
    masters, orphans = {item.mark.lab for item in found.masters}, {item.mark.lab for item in found.orphans}
    return tuple(sorted(masters | orphans))


def title(process: psutil.Process) -> str:
    """The process title: the command line as the process shows it.

    Raises:
        psutil.Error: the process has ended, is a zombie, or may not be seen by the current user.
    """
    # nginx fills the rest of its old arguments with NUL bytes, which psutil returns as empty arguments.
    return " ".join(process.cmdline()).rstrip()


def is_master(process: psutil.Process) -> bool:
    """Whether nginx has become a master process: it has read its configuration and opened its port by then."""
    with contextlib.suppress(psutil.Error):
        return title(process).startswith(MASTER_TITLE)
    return False


def serving_workers(master: Master) -> frozenset[int]:
    """The pids of a master's workers that accept connections, without those that are shutting down."""
    pids = set()
    with contextlib.suppress(psutil.Error):
        for child in master.process.children():
            with contextlib.suppress(psutil.Error):
                text = title(child)
                if text.startswith(WORKER_TITLE) and not text.startswith(_RETIRED_TITLE):
                    pids.add(child.pid)
    return frozenset(pids)


def listening(process: psutil.Process) -> tuple[tuple[str, int], ...]:
    """Addresses and ports of the TCP sockets on which a process listens, in order.

    Raises:
        MachineError: the system does not tell.
    """
    try:
        return tuple(sorted(set(_listening(process))))
    except psutil.Error as error:
        raise MachineError(f"The sockets of process {process.pid} cannot be listed.", why=str(error)) from error


def _listening(process: psutil.Process) -> Iterator[tuple[str, int]]:
    for one in process.net_connections(kind="tcp"):
        if one.status == psutil.CONN_LISTEN:
            yield one.laddr.ip, one.laddr.port


def serving_since(master: Master) -> float | None:
    """When the newest of a master's serving workers was started, in seconds since 1970; None when it has none."""
    started = []
    for pid in serving_workers(master):
        with contextlib.suppress(psutil.Error):
            started.append(psutil.Process(pid).create_time())
    return max(started, default=None)


def start_time(process: psutil.Process) -> float:
    """When a process started; pid and start time together identify a process.

    On Linux in clock ticks since boot, because psutil's value changes when the system clock is set; on other systems in
    seconds since 1970.

    Raises:
        psutil.Error: the process has ended.
    """
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return process.create_time()
    return int(fields[19])  # proc(5): field 22, counted behind the name in parentheses


def is_alive(process: psutil.Process) -> bool:
    """Whether the process still runs: its pid was not reused, and it is no zombie."""
    _reap()
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def find(pid: int, started: float) -> psutil.Process | None:
    """The process with this pid and this :func:`start_time`; None when it has ended."""
    with contextlib.suppress(psutil.Error, OSError, OverflowError):
        process = psutil.Process(pid)
        if start_time(process) == started and is_alive(process):
            return process
    return None


def launch(
    mark: Mark, user: User | None, command: Sequence[str], *, cwd: Path, output: int, sockets: Sequence[int] = ()
) -> tuple[psutil.Process, subprocess.Popen[bytes]]:
    """Start an nginx that goes on after this program ends, in a session and process group of its own.

    Args:
        mark: the mark that it inherits.
        user: see :func:`mtlslab.runtime.embedded.users.start_as`.
        command: binary and arguments.
        cwd: working directory, see :class:`mtlslab.runtime.embedded.place.Place`.
        output: file descriptor for its standard output and standard error.
        sockets: file descriptors of listening sockets that it inherits.

    Returns:
        The process, and the same process for its exit code.

    Raises:
        OSError, MachineError: the binary cannot be run.
    """
    environment = passed_on()
    if sockets:  # nginx takes inherited sockets from NGINX, as when its binary is upgraded while it runs
        environment["NGINX"] = "".join(f"{number};" for number in sockets)
    with marked(mark) as inherited:
        child = start_as(
            user,
            command,
            pass_fds=(*inherited, *sockets),
            cwd=cwd,
            env={**environment, **_ROOM_FOR_TITLE},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return adopt(child), child


def adopt(child: subprocess.Popen[bytes]) -> psutil.Process:
    """Register a process that this program started, so that it is reaped when it ends first."""
    _children.append(child)
    return psutil.Process(child.pid)


def end(found: Found) -> None:
    """End processes: SIGQUIT, then SIGTERM, then SIGKILL for those that still run.

    psutil sends no signal to a pid that was reused by another process.
    """
    # Masters end their workers themselves. A master would replace a worker that ends first.
    family = [item.process for item in found.masters]
    waiting = [*family, *(item.process for item in found.orphans)]
    for number, patience in _PATIENCE:
        if number == signal.SIGKILL:
            waiting += _descendants(family)
        for process in waiting:
            send(process, number)
        waiting = wait(waiting, patience)
        if not waiting:
            break
    _reap()


def _descendants(masters: Iterable[psutil.Process]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for master in masters:
        with contextlib.suppress(psutil.Error):
            found += master.children(recursive=True)
    return found


def send(process: psutil.Process, number: int) -> None:
    """Send a signal, unless the process has ended; psutil checks that the pid is still the same process."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
        if process.status() == psutil.STATUS_STOPPED:
            process.send_signal(signal.SIGCONT)  # a stopped process handles no signal before SIGCONT


def wait(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all processes have ended; returns those that still run after ``seconds``."""
    deadline = time.monotonic() + seconds
    alive = [process for process in processes if is_alive(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        alive = [process for process in alive if is_alive(process)]
    return alive


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]

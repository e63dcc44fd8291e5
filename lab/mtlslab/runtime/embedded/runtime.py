"""The embedded runtime: the same nginx configuration as in the containers, run by processes of the current user."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from mtlslab.errors import LabNotFoundError, MachineError, SpecError
from mtlslab.plan.services import MTLS_SERVICE, SERVICES, LabPlan, Service
from mtlslab.runtime.base import Dump, LogLine, OpenSocket, ServiceStatus, Started, State, Surroundings
from mtlslab.runtime.embedded import processes
from mtlslab.runtime.embedded.launch import launch, log_path, log_writer, refused, wait_until_up
from mtlslab.runtime.embedded.logfile import LogReader
from mtlslab.runtime.embedded.nginx import Nginx, find_nginx
from mtlslab.runtime.embedded.place import Place, held
from mtlslab.runtime.embedded.processes import Found, Master
from mtlslab.runtime.embedded.record import RunRecord, clear_run_directory, read_record
from mtlslab.runtime.embedded.reload import apply_configuration, check_configuration, dump_configuration
from mtlslab.runtime.embedded.users import User, let_in, nginx_user
from mtlslab.runtime.ports import check_ports_free
from mtlslab.runtime.table import other_runtimes

_FOLLOW_SECONDS = 0.02
_LOG_SECONDS = 2.0  # for a log writer to write the last lines of an nginx that has ended


class EmbeddedRuntime:
    """Runs the services as nginx processes of the current user; implements :class:`mtlslab.runtime.base.Runtime`.

    Each service is a process group of its own, which goes on after this program ends. It is identified by its mark
    (:mod:`.marks`). When root starts it, nginx runs as an unprivileged user (:mod:`.users`).

    Args:
        nginx: binary to run; None looks for one (see :func:`mtlslab.runtime.embedded.nginx.find_nginx`).
        directory: workspace with the logs and records of ended services; None when nothing in it may be used.
        say: takes a sentence for the user.
    """

    name = "embedded"

    def __init__(
        self,
        nginx: Path | None = None,
        *,
        directory: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._wanted = nginx
        self._directory = directory
        self._say = say
        self._found_nginx: Nginx | None = None

    def describe(self) -> str:
        """Product, version and path of nginx, such as ``nginx 1.30.2 (/usr/sbin/nginx)``.

        Raises:
            SpecError, MachineError: there is none; see :func:`mtlslab.runtime.embedded.nginx.find_nginx`.
        """
        return str(self._nginx())

    def uses_image(self) -> bool:
        """No: nginx is a program of this machine; see ``Runtime.uses_image``."""
        return False

    def copies_files(self) -> bool:
        """No: nginx reads the files in the workspace; see ``Runtime.copies_files``."""
        return False

    def publishes_here(self) -> bool:
        """Yes; see ``Runtime.publishes_here``."""
        return True

    def prepare(self, lab: str, image: str) -> str:  # noqa: ARG002  the interface gives the lab
        """Look for nginx. No image is needed, so ``image`` is returned unchanged.

        Raises:
            SpecError, MachineError: there is no nginx; see :func:`mtlslab.runtime.embedded.nginx.find_nginx`.
        """
        self._nginx()
        return image

    def start(self, plan: LabPlan) -> Started:
        """See :meth:`mtlslab.runtime.base.Runtime.start`. Returns when every nginx has opened its port.

        Raises:
            MachineError: a port is taken, nginx refuses its configuration, or a file cannot be written.
            SpecError: the path of the workspace contains a character that nginx does not take literally.
        """
        _check_directory(plan.directory)
        nginx = self._nginx()
        found = processes.scan(plan.lab)
        with _held(plan) as place:
            kept = tuple(item.name for item in plan.services if _runs_as_asked(plan, place, item, found, nginx))
        missing = tuple(item for item in plan.services if item.name not in kept)
        self._remove(plan.lab, found.of(item.name for item in missing), [item.name for item in missing], plan.directory)
        check_ports_free(plan.listen, [item.port for item in missing], mtls_port=plan.service(MTLS_SERVICE).port)
        self._start_all(plan, missing, nginx)
        self._warn_of_open_door(plan)
        return Started(created=tuple(item.name for item in missing), kept=kept)

    def stop(self, lab: str, services: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """See :meth:`mtlslab.runtime.base.Runtime.stop`. Signals QUIT, then TERM, then KILL."""
        names = SERVICES if services is None else services
        found = processes.scan(lab).of(names)
        ended = [name for name in names if self._record(lab, name) is not None]
        self._remove(lab, found, names)
        return tuple(name for name in names if name in found.services or name in ended)

    def status(self, lab: str) -> tuple[ServiceStatus, ...]:
        """See :meth:`mtlslab.runtime.base.Runtime.status`. An ended service is listed as long as its record exists."""
        found = processes.scan(lab)
        return tuple(item for name in SERVICES for item in self._status(lab, name, found.of([name])))

    def labs(self) -> tuple[str, ...]:
        """See :meth:`mtlslab.runtime.base.Runtime.labs`."""
        return processes.labs()

    def logs(
        self, lab: str, service: str | None = None, *, follow: bool = False, tail: int | None = None
    ) -> Iterator[LogLine]:
        """See :meth:`mtlslab.runtime.base.Runtime.logs`. The lines of earlier runs come first."""
        names = SERVICES if service is None else (service,)
        found = processes.scan(lab).of(names)
        directory = next((item.directory for item in found.masters), self._directory)
        if directory is None:
            return
        readers = {name: LogReader(log_path(directory, name), tail=tail) for name in names}
        try:
            for name, reader in readers.items():
                yield from (LogLine(name, text) for text in reader.stream())
            if follow:
                writers = [writer for name in names if (writer := log_writer(directory, name))]
                yield from _follow(readers, [*(item.process for item in found.masters), *writers])
        finally:
            for reader in readers.values():
                reader.close()

    def reload(self, plan: LabPlan, service: Service) -> None:
        """See :meth:`mtlslab.runtime.base.Runtime.reload`.

        Returns when the workers with the new configuration have taken over.

        Raises:
            LabNotFoundError: the service does not run.
            MachineError: nginx refuses the configuration, or did not take it; the old one keeps running.
        """
        with _held(plan) as place:
            for master in _masters(plan, service, place, processes.scan(plan.lab)):
                check_configuration(plan.lab, service, master, place)
                apply_configuration(service, master, place)

    def test(self, plan: LabPlan, service: Service) -> None:
        """See :meth:`mtlslab.runtime.base.Runtime.test`."""
        with _held(plan) as place:
            for master in _masters(plan, service, place, processes.scan(plan.lab)):
                check_configuration(plan.lab, service, master, place)

    def surroundings(self, plan: LabPlan) -> tuple[Surroundings, ...]:
        """The sockets of the processes, and who runs them; see :meth:`mtlslab.runtime.base.Runtime.surroundings`."""
        return tuple(processes.surroundings_of(master) for master in processes.scan(plan.lab).masters)

    def configurations(self, plan: LabPlan) -> tuple[Dump, ...]:
        """See :meth:`mtlslab.runtime.base.Runtime.configurations`.

        Raises:
            LabNotFoundError: a service does not run.
            MachineError: nginx refuses a configuration, or a service runs from another directory.
        """
        with _held(plan) as place:
            found = processes.scan(plan.lab)
            masters = [_masters(plan, service, place, found)[0] for service in plan.services]

            def dump(service: Service, master: Master) -> Dump:
                return dump_configuration(plan.lab, service, master, place)

            with ThreadPoolExecutor(len(masters)) as pool:
                return tuple(pool.map(dump, plan.services, masters))

    def open_sockets(self, plan: LabPlan) -> tuple[OpenSocket, ...]:
        """See :meth:`mtlslab.runtime.base.Runtime.open_sockets`.

        Raises:
            LabNotFoundError: a service does not run.
            MachineError: the system does not tell, or a service runs from another directory.
        """
        with _held(plan) as place:
            found = processes.scan(plan.lab)
            masters = [(item, master) for item in plan.services for master in _masters(plan, item, place, found)]
        return tuple(
            OpenSocket(service.name, address, port)
            for service, master in masters
            for address, port in processes.listening(master.process)
        )

    # --- the steps

    def _nginx(self) -> Nginx:
        if self._found_nginx is None:
            self._found_nginx = find_nginx(self._wanted, self._say)
        return self._found_nginx

    def _record(self, lab: str, service: str) -> RunRecord | None:
        """The record of a service in the workspace, if it is of this lab."""
        record = read_record(self._directory, service) if self._directory else None
        return record if record and record.lab == lab else None

    def _status(self, lab: str, service: str, found: Found) -> Iterator[ServiceStatus]:
        for master in found.masters:
            yield _status_of(lab, master)
        if found.masters:
            return
        if found.orphans:
            pids = ", ".join(str(item.process.pid) for item in found.orphans)
            detail = f"its master was killed, workers still run: pid {pids}"
            yield ServiceStatus(service, State.EXITED, f"pid {pids}", self._directory, detail=detail)
        elif record := self._record(lab, service):
            yield ServiceStatus(service, State.EXITED, f"pid {record.pid}", self._directory, record.fingerprint)

    def _remove(self, lab: str, found: Found, services: Iterable[str], *directories: Path) -> None:
        processes.end(found)
        places = {
            *directories,
            *(item.directory for item in found.masters),
            *([self._directory] if self._directory else []),
        }
        for service in services:
            for directory in places:
                # The directory may be the workspace of another lab by now.
                record = read_record(directory, service)
                if directory in directories or (record and record.lab == lab):
                    _end_log_writer(directory, service)
                    clear_run_directory(directory, service)

    def _start_all(self, plan: LabPlan, services: tuple[Service, ...], nginx: Nginx) -> None:
        """Start services in parallel, none of which runs; if one fails, end them all."""
        try:
            with held(plan.directory) as place:
                user = self._user(place)
                launches = [launch(plan, place, service, nginx, user) for service in services]
                for item in launches:
                    wait_until_up(plan, item)
        except BaseException as error:
            names = [service.name for service in services]
            processes.await_programs()
            self._remove(plan.lab, processes.scan(plan.lab).of(names), names, plan.directory)
            if isinstance(error, OSError):
                raise refused(plan, error) from error
            raise

    def _user(self, place: Place) -> User | None:
        """The user that nginx runs as; root gives this user access to the workspace."""
        user = nginx_user(place)
        if user:
            let_in(user, place, self._say)
        return user

    def _warn_of_open_door(self, plan: LabPlan) -> None:
        if os.geteuid() == 0 and not ipaddress.ip_address(plan.listen).is_loopback:
            self._say(f"Started by root, nginx listens on {plan.listen}: other machines may reach it.")


@contextlib.contextmanager
def _held(plan: LabPlan) -> Iterator[Place]:
    try:
        with held(plan.directory) as place:
            yield place
    except OSError as error:
        raise refused(plan, error) from error


def _masters(plan: LabPlan, service: Service, place: Place, found: Found) -> tuple[Master, ...]:
    """Of what was found of the lab, the nginx of a service, one or more; all of them run in that workspace."""
    masters = found.of([service.name]).masters
    if not masters:
        raise LabNotFoundError(f"{service.name} of the lab {plan.lab!r} does not run.", hint="mtlslab up")
    for master in masters:
        if not master.mark.runs_in(place):
            raise _runs_elsewhere(service, master)
    return tuple(masters)


def _runs_elsewhere(service: Service, master: Master) -> MachineError:
    return MachineError(
        f"{service.name} runs from another directory: {master.directory}.",
        why="it was started there, or another directory has taken its place",
        hint="Start it from this one: mtlslab up",
    )


def _end_log_writer(directory: Path, service: str) -> None:
    """Wait until the log writer has ended, as it does after nginx; kill it if it does not (a hung disk)."""
    writer = log_writer(directory, service)
    for process in processes.wait([writer], _LOG_SECONDS) if writer else ():
        processes.send(process, signal.SIGKILL)
        processes.wait([process], _LOG_SECONDS)


def _check_directory(directory: Path) -> None:
    # nginx expands variables in the path of "root", and patterns in the path of "include", after it has put the
    # workspace in front. With "lab[1]", "include listen.conf" includes nothing, and nginx listens on 0.0.0.0:80.
    misread = {"$": "the name of a variable", "*": "a pattern", "?": "a pattern", "[": "a pattern"}
    found = next((character for character in misread if character in str(directory)), None)
    if found:
        raise SpecError(
            f"nginx cannot serve from {directory}.",
            why=f"it takes {found!r} in a path for the beginning of {misread[found]}",
            hint=f"Choose another directory with --dir, or another runtime: {other_runtimes('embedded')}",
        )


def _runs_as_asked(plan: LabPlan, place: Place, service: Service, found: Found, nginx: Nginx) -> bool:
    mine = found.of([service.name])
    if len(mine.masters) != 1 or mine.orphans:
        return False
    status = _status_of(plan.lab, mine.masters[0])
    record = read_record(plan.directory, service.name)
    return (
        (status.state, status.directory, status.fingerprint) == (State.RUNNING, plan.directory, service.fingerprint)
        and record is not None
        and record.nginx == str(nginx)
        and mine.masters[0].mark.runs_in(place)
        and log_writer(plan.directory, service.name) is not None
    )


def _status_of(lab: str, master: Master) -> ServiceStatus:
    state, fingerprint = State.EXITED, ""
    with contextlib.suppress(psutil.Error, OSError):
        state = State.PAUSED if master.process.status() == psutil.STATUS_STOPPED else State.RUNNING
        record = read_record(master.directory, master.service)
        # The record may be older than the process, or of an ended process whose pid was reused.
        if record and record.lab == lab and record.pid == master.process.pid:
            same = record.start_time == processes.start_time(master.process)
            fingerprint = record.fingerprint if same else ""
    return ServiceStatus(master.service, state, f"pid {master.process.pid}", master.directory, fingerprint)


def _follow(readers: dict[str, LogReader], running: list[psutil.Process]) -> Iterator[LogLine]:
    while True:
        # Check the processes before reading the files, so that the last lines of a process are not missed.
        running = [process for process in running if processes.is_alive(process)]
        quiet = True
        for name, reader in readers.items():
            for text in reader.stream():
                quiet = False
                yield LogLine(name, text)
        if not running:
            break
        if quiet:
            time.sleep(_FOLLOW_SECONDS)
    for name, reader in readers.items():
        yield from (LogLine(name, text) for text in reader.last())

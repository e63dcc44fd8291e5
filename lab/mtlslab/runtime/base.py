"""The interface of every runtime, as the use cases in ``lifecycle`` use it.

A runtime stores no state: it finds containers by their labels, and processes by their mark
(:mod:`mtlslab.runtime.embedded.marks`). Every method may be called for a lab that was never started.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from mtlslab.plan.services import LabPlan, Service


class State(StrEnum):
    """State of a service's container or process; whether it answers is checked by :mod:`mtlslab.lifecycle.ready`."""

    RUNNING = "running"
    EXITED = "exited"
    PAUSED = "paused"


@dataclasses.dataclass(frozen=True)
class ServiceStatus:
    """One container or process that belongs to a lab.

    Attributes:
        service: service name.
        state: whether it runs.
        identity: short container id, or ``pid N``.
        directory: workspace that it was started from; None when unknown.
        fingerprint: the service's fingerprint in the plan that it was started with; empty when unknown.
        exit_code: exit code of an ended container; None when it runs or the code is unknown.
        detail: more about the state, for messages, such as "healthy" or "restarting".
        doors: pairs (address, port) on the machine at which an engine publishes it; None where nobody says so.
    """

    service: str
    state: State
    identity: str
    directory: Path | None = None
    fingerprint: str = ""
    exit_code: int | None = None
    detail: str = ""
    doors: tuple[tuple[str, int], ...] | None = None

    def answers_elsewhere(self, listen: str, port: int) -> str:
        """Where a running service answers, in words, if that is not the address and port of the plan; else empty."""
        if self.state is not State.RUNNING or self.doors is None or meets(self.doors, listen, port):
            return ""
        return " and ".join(f"{address}, port {number}" for address, number in self.doors) or "no port"


def meets(doors: Iterable[tuple[str, int]], listen: str, port: int) -> bool:
    """Whether published ports are those of the plan, and no others.

    An engine publishes 0.0.0.0 for IPv6 as well, and some name no address where it is that of all.
    """
    planned, everywhere = ipaddress.ip_address(listen), ("", "0.0.0.0", "::")  # noqa: S104  as engines name them
    found = list(doors)
    same = (
        number == port and ((address in everywhere) if planned.is_unspecified else address == str(planned))
        for address, number in found
    )
    return bool(found) and all(same)


@dataclasses.dataclass(frozen=True)
class LogLine:
    """One line that a service wrote, without its line end."""

    service: str
    text: str


@dataclasses.dataclass(frozen=True)
class Started:
    """The result of ``start``: names of the services that it started, and of those that already matched the plan."""

    created: tuple[str, ...]
    kept: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Dump:
    """What ``nginx -T`` says of a service: the files that its nginx reads, one after the other.

    Attributes:
        text: the words of nginx.
        root: the workspace as that nginx names it, such as ``/lab`` in a container; paths may also be relative to it.
        contained: whether it runs in a container.
        since: when the worker that serves was started, in seconds since 1970: at the last start or reload. None when
            that cannot be told.
        nginx: product and version, such as "nginx 1.30.2"; empty when it does not tell.
    """

    text: str
    root: str
    contained: bool = False
    since: float | None = None
    nginx: str = ""


_VERSION = re.compile(r"^\w+ version: (\S+)/(\S+).*\n?", re.MULTILINE)


def split_version(errors: str) -> tuple[str, str]:
    """What ``nginx -v -T`` says on stderr, as product and version (empty when it does not tell) and all other words."""
    found = _VERSION.search(errors)
    return (f"{found[1]} {found[2]}" if found else ""), _VERSION.sub("", errors)


@dataclasses.dataclass(frozen=True)
class OpenSocket:
    """A TCP socket of a service that takes connections.

    Attributes:
        service: service name.
        address: where it can be reached from this machine; ``0.0.0.0`` or ``::`` for all addresses.
        port: TCP port there; 0 where the address is the service's own, so that it has all the ports on which the
            service listens.
    """

    service: str
    address: str
    port: int


@dataclasses.dataclass(frozen=True)
class Bind:
    """A file, directory or volume that a container sees: where it is on the engine's machine, where inside."""

    source: str
    target: str
    writable: bool = False


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What one container or process that really runs may reach, and from where it is reached; plain facts.

    Attributes:
        service: the service that it runs; empty for something else that belongs to the lab's project.
        identity: name of the container, or ``pid N``.
        doors: pairs (address, port) on the machine at which it answers.
        user: whom it runs as, as the engine or the system names it; "0" for root.
        contained: whether it is a container; the facts below are told of containers only.
        binds: what it sees of the engine's machine.
        writable_root: whether it may write its own file system.
        capabilities: the capabilities of Linux that it was given; "the engine's own set" where none were taken away.
        privileged: whether it has all rights of the engine.
        gains_privileges: whether its programs may gain rights by setuid files.
        shared: the namespaces that it shares, such as ``network: host``.
    """

    service: str
    identity: str
    doors: tuple[tuple[str, int], ...] = ()
    user: str = ""
    contained: bool = False
    binds: tuple[Bind, ...] = ()
    writable_root: bool = False
    capabilities: tuple[str, ...] = ()
    privileged: bool = False
    gains_privileges: bool = False
    shared: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class RuntimeOptions:
    """The options with which a runtime is opened.

    Attributes:
        directory: workspace of the lab; None when nothing in it may be used.
        nginx: nginx binary to run; None lets the runtime look for one.
        pull: when to ask the registry for the image: missing, always or never.
        say: takes a sentence for the user.
    """

    directory: Path | None
    nginx: Path | None
    pull: str
    say: Callable[[str], None]


class RuntimeModule(Protocol):
    """The interface of each package in :mod:`mtlslab.runtime.table`. Importing it must not load heavy libraries.

    Attributes:
        NEEDS: what the runtime needs to start a lab, as the subject of a sentence: "Docker" (cannot be used).
    """

    NEEDS: str

    def meant_by(self, options: RuntimeOptions) -> str:
        """Which option that only this runtime has was set, as in "--nginx names a binary"; empty if none was."""

    def open_runtime(self, options: RuntimeOptions) -> Runtime:
        """Open the runtime. It can then list what runs in it; whether it can start services, ``describe`` tells.

        Raises:
            MachineError: the runtime cannot be reached.
        """


class Runtime(Protocol):
    """Runs the services of labs.

    Attributes:
        name: its name in :mod:`mtlslab.runtime.table`, which is also stored in lab.json.
    """

    name: str

    def describe(self) -> str:
        """Name, version and location of the engine or nginx, for messages.

        Raises:
            LabError: there is none, so no service can be started.
        """

    def uses_image(self) -> bool:
        """Whether nginx comes from a container image. If not, the image is only written into the Compose file."""

    def copies_files(self) -> bool:
        """Whether services get copies of the workspace's files, because the engine cannot mount them."""

    def publishes_here(self) -> bool:
        """Whether the ports are bound on this machine, and not on another machine where the engine runs."""

    def prepare(self, lab: str, image: str) -> str:
        """Provide all that does not depend on the lab's files (image, network).

        Args:
            lab: the lab's name.
            image: reference of the wanted image.

        Returns:
            Reference of the image to use, which may be the fallback image.

        Raises:
            MachineError: no image or no nginx is available.
        """

    def start(self, plan: LabPlan) -> Started:
        """Make what runs match the plan: start missing services, replace those with another fingerprint, keep the rest.

        Returns when every service's container or process exists, not when it answers. If it raises, it has removed what
        this call created.

        Raises:
            MachineError: a port is taken, a permission is missing, or the engine cannot be reached.
        """

    def stop(self, lab: str, services: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Stop and remove the named services; None stands for all services, the volumes and the network.

        Works without a workspace. It is no error if nothing exists. Returns the names of what was removed.
        """

    def status(self, lab: str) -> tuple[ServiceStatus, ...]:
        """The containers or processes of the lab, running or ended, TLS service first."""

    def labs(self) -> tuple[str, ...]:
        """Names of all labs of which something exists in this runtime.

        Raises:
            MachineError: the engine cannot be reached.
        """

    def logs(
        self, lab: str, service: str | None = None, *, follow: bool = False, tail: int | None = None
    ) -> Iterator[LogLine]:
        """The log lines of the services, oldest first for each service; ``tail`` keeps only the last N of each.

        With ``follow``, new lines are yielded until the services end or the caller stops.
        """

    def test(self, plan: LabPlan, service: Service) -> None:
        """Have the nginx of a running service test the configuration as it lies there now (``nginx -t``).

        Raises:
            MachineError: nginx refuses the configuration; ``why`` holds its output.
            LabNotFoundError: the service does not run.
        """

    def reload(self, plan: LabPlan, service: Service) -> None:
        """Test the configuration with ``nginx -t``, then have the running nginx load it (signal HUP).

        Raises:
            MachineError: nginx refuses the configuration; ``why`` holds its output, the old one stays in effect.
            LabNotFoundError: the service does not run.
        """

    def configurations(self, plan: LabPlan) -> tuple[Dump, ...]:
        """What ``nginx -T`` says where each service of the plan runs, by the binary and arguments that run there.

        nginx reads the files as they lie there now; what it runs is what lay there when it was started or reloaded.

        Raises:
            MachineError: nginx refuses a configuration, or cannot be asked.
            LabNotFoundError: a service does not run.
        """

    def open_sockets(self, plan: LabPlan) -> tuple[OpenSocket, ...]:
        """The TCP sockets on which the services of the plan really listen, whatever their configuration says.

        Raises:
            MachineError: the runtime cannot tell.
            LabNotFoundError: a service does not run.
        """

    def surroundings(self, plan: LabPlan) -> tuple[Surroundings, ...]:
        """What really runs of a lab, as the engine or the system shows it, whoever started it.

        Raises:
            MachineError: it cannot be looked at.
        """

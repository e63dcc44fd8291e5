"""What every runtime offers: the small interface between the lab's life cycle and whatever runs nginx.

A runtime keeps no state of its own: what runs is found by label (containers) or by the mark that it carries
(processes). Every method may be called on a lab that was never started.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from mtlslab.plan.services import LabPlan, Service


class State(StrEnum):
    """Whether a service's container or process lives; whether it also answers is another question (see readiness)."""

    RUNNING = "running"
    EXITED = "exited"
    PAUSED = "paused"


@dataclasses.dataclass(frozen=True)
class ServiceStatus:
    """One container or process that belongs to a lab.

    Attributes:
        service: service name.
        state: whether it lives.
        identity: short container id, or ``pid N``.
        directory: workspace that it was started from; None when unknown.
        fingerprint: the plan's fingerprint that it was started with; empty when unknown.
        exit_code: set when it has ended and the code is known.
        detail: what else is known, for people ("healthy", "restarting").
    """

    service: str
    state: State
    identity: str
    directory: Path | None = None
    fingerprint: str = ""
    exit_code: int | None = None
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class LogLine:
    """One line that a service wrote, without its line end."""

    service: str
    text: str


@dataclasses.dataclass(frozen=True)
class Started:
    """What ``start`` did: names of services that were newly started, and of those that already ran as asked."""

    created: tuple[str, ...]
    kept: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class RuntimeOptions:
    """What a runtime may want to know when it is opened.

    Attributes:
        directory: workspace of the lab; None when nothing in it may be used.
        nginx: binary to run; None lets the runtime look for one.
        pull: when to ask the registry for the image: missing, always or never.
        say: takes a sentence for the user.
    """

    directory: Path | None
    nginx: Path | None
    pull: str
    say: Callable[[str], None]


class RuntimeModule(Protocol):
    """What a package offers that a row of :mod:`mtlslab.runtime.table` names. To import it must cost next to nothing.

    Attributes:
        NEEDS: what must be there to start a lab, as in "Docker cannot be used".
    """

    NEEDS: str

    def meant_by(self, options: RuntimeOptions) -> str:
        """The option that is for this runtime alone, as in "because --nginx names a binary"; empty if none was set."""

    def open_runtime(self, options: RuntimeOptions) -> Runtime:
        """The runtime, so that it can tell what runs in it; whether it can start more, its ``describe`` tells.

        Raises:
            MachineError: it is out of reach.
        """


class Runtime(Protocol):
    """Runs the services of labs.

    Attributes:
        name: that of its row in the table; lab.json remembers it.
    """

    name: str

    def describe(self) -> str:
        """The thing that runs nginx, in a few words with its version and where it is.

        Raises:
            LabError: there is none, so that nothing can be started.
        """

    def uses_image(self) -> bool:
        """Whether nginx comes from a container image; where not, the image is only what the Compose file names."""

    def copies_files(self) -> bool:
        """Whether what runs gets copies of the workspace's files, because it cannot use them where they lie."""

    def publishes_here(self) -> bool:
        """Whether the ports are bound on this machine, as far as one can tell; else they are on the engine's."""

    def prepare(self, lab: str, image: str) -> str:
        """Make ready all that does not depend on the lab's files (image, network), and return the image to plan with.

        Raises:
            MachineError: nginx cannot be had.
        """

    def start(self, plan: LabPlan) -> Started:
        """Make what runs match the plan: start what is missing, replace what differs in its fingerprint, keep the rest.

        Returns when every service's container or process exists, not when it answers. If it raises, it has removed what
        this very call created.

        Raises:
            MachineError: port taken, permission, engine out of reach.
        """

    def stop(self, lab: str, services: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """End and remove what runs of the lab, all of it or only the named services, with the network when all.

        Works when the workspace is gone; nothing there is success. Returns the names of what was removed.
        """

    def status(self, lab: str) -> tuple[ServiceStatus, ...]:
        """What exists of the lab, TLS service first; empty when nothing does."""

    def labs(self) -> tuple[str, ...]:
        """Names of the labs of which anything exists here: of all that are labelled as ours, whoever started them.

        Raises:
            MachineError: the engine is out of reach.
        """

    def logs(
        self, lab: str, service: str | None = None, *, follow: bool = False, tail: int | None = None
    ) -> Iterator[LogLine]:
        """The lines that the services wrote, oldest first per service; ``tail`` keeps only the last N of each.

        With ``follow`` it goes on until the services end or the caller stops.
        """

    def reload(self, plan: LabPlan, service: Service) -> None:
        """Test the configuration with ``nginx -t``, then have the running nginx take it (signal HUP).

        Raises:
            MachineError: nginx refuses the configuration; ``why`` has nginx's own words, the old one keeps running.
            LabNotFoundError: the service does not run.
        """

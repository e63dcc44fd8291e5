"""The use cases ``status`` and ``logs``: what exists of a lab, and what it wrote."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from mtlslab.lifecycle.leftovers import list_twins
from mtlslab.lifecycle.where import recorded_runtime, running_runtime, runtimes_of
from mtlslab.runtime.base import LogLine, ServiceStatus
from mtlslab.workspace.target import Target


@dataclasses.dataclass(frozen=True)
class LabStatus:
    """What exists of a lab.

    Attributes:
        services: pairs of runtime name and service status.
        twins: the same of its sabotaged twins, each with the twin's lab name in front.
    """

    services: tuple[tuple[str, ServiceStatus], ...]
    twins: tuple[tuple[str, str, ServiceStatus], ...]


def status(target: Target) -> LabStatus:
    """What exists of a lab and of its sabotaged twins: `verify --prove` is at work on those, or was killed.

    Raises:
        SpecError, MachineError: see :meth:`mtlslab.runtime.choose.Runtimes.all`.
    """
    runtimes = tuple(runtimes_of(target).all(recorded_runtime(target)))
    services = tuple((runtime.name, item) for runtime in runtimes for item in runtime.status(target.name))
    return LabStatus(services, list_twins(target.workspace, runtimes))


def logs(target: Target, service: str | None, *, follow: bool, tail: int | None) -> Iterator[LogLine]:
    """The lines that the services wrote.

    Raises:
        LabNotFoundError: nothing of the lab exists.
    """
    return running_runtime(target).logs(target.name, service, follow=follow, tail=tail)

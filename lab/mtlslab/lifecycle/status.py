"""The use cases ``status`` and ``logs``: the services of a lab, and their log lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from mtlslab.lifecycle.leftovers import list_twins
from mtlslab.lifecycle.where import other_port, recorded_runtime, running_runtime, runtimes_of
from mtlslab.plan.services import Service, make_plan
from mtlslab.plan.spec import make_spec
from mtlslab.runtime.base import LogLine, ServiceStatus
from mtlslab.workspace.target import Target


@dataclasses.dataclass(frozen=True)
class LabStatus:
    """The containers or processes of a lab, running or ended.

    Attributes:
        services: pairs (runtime name, service status).
        twins: the lab's sabotaged twins, as tuples (lab name of the twin, runtime name, service status).
    """

    services: tuple[tuple[str, ServiceStatus], ...]
    twins: tuple[tuple[str, str, ServiceStatus], ...]


def status(target: Target) -> LabStatus:
    """The services of a lab and of its sabotaged twins; twins exist while ``verify --prove`` runs, or after its kill.

    Raises:
        SpecError, MachineError: see :meth:`mtlslab.runtime.choose.Runtimes.all`.
    """
    runtimes = tuple(runtimes_of(target).all(recorded_runtime(target)))
    services = tuple((runtime.name, item) for runtime in runtimes for item in runtime.status(target.name))
    return LabStatus(services, list_twins(target.workspace, runtimes))


def planned(target: Target, service: str) -> Service:
    """A service of the plan that lab.json stands for; the target has one."""
    spec = make_spec(target.record.spec if target.record else {})
    return make_plan(spec, target.workspace.directory, image="", user="").service(service)


def other_ports(target: Target, found: LabStatus) -> Iterator[str]:
    """A sentence for each service that answers somewhere else than lab.json says: docker-compose.yml was edited."""
    if target.record is None:
        return
    listen = make_spec(target.record.spec).listen
    for _, item in found.services:
        port = planned(target, item.service).port
        if elsewhere := item.answers_elsewhere(listen, port):
            yield other_port(item.service, elsewhere, listen, port)


def logs(target: Target, service: str | None, *, follow: bool, tail: int | None) -> Iterator[LogLine]:
    """The log lines of the services, oldest first for each service.

    Args:
        target: the lab.
        service: name of one service; None for both.
        follow: go on with new lines until the services end.
        tail: begin with the last N lines of each service; None begins with the first line.

    Raises:
        LabNotFoundError: no service of the lab exists.
        SpecError, MachineError: see :meth:`mtlslab.runtime.choose.Runtimes.all`.
    """
    return running_runtime(target).logs(target.name, service, follow=follow, tail=tail)

"""The labs of this machine that this account can know: its register's, and those of which a runtime has anything."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mtlslab.errors import LabError, LabNotFoundError, MachineError
from mtlslab.lifecycle.leftovers import is_twin
from mtlslab.plan.services import SERVICES
from mtlslab.plan.shell import shell_line
from mtlslab.plan.spec import LabSpec, make_spec
from mtlslab.runtime.base import Runtime, ServiceStatus, State
from mtlslab.runtime.choose import Runtimes
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.own_labs import places_of_labs
from mtlslab.workspace.target import Target, name_in

SCHEMA = "mtlslab.list/1"
STOPPED, GONE = "stopped", "directory gone"
_NAMED = 3  # so many labs are named in an error


@dataclasses.dataclass(frozen=True)
class KnownLab:
    """A lab that exists somewhere.

    Attributes:
        name: its name.
        directory: its workspace, which may be gone while services still run; None if nobody knows.
        runtime: name of the runtime in which services of it exist; empty if there are none.
        ports: those of the TLS and of the mTLS service, from lab.json; empty if that cannot be read.
        state: ``running``, ``stopped``, ``directory gone``, or what is not as it should be: ``nginx-tls missing``.
    """

    name: str
    directory: Path | None
    runtime: str
    ports: tuple[int, ...]
    state: str

    @property
    def is_there(self) -> bool:
        """Whether its directory holds a lab."""
        return self.directory is not None and Workspace(self.directory).exists()

    def to_mapping(self) -> dict[str, Any]:
        """The lab as JSON-ready values."""
        ports = dict(zip(("tls_port", "mtls_port"), self.ports or (None, None), strict=True))
        directory = None if self.directory is None else str(self.directory)
        return {"name": self.name, "directory": directory, "runtime": self.runtime, **ports, "state": self.state}


def known_labs(current: Target | None) -> tuple[KnownLab, ...]:
    """All labs, by name: what runs in any runtime, what the register has, and the lab of the current directory.

    Twins are left out: they belong to another lab. A runtime that cannot be reached is left out.
    """
    running = [lab for runtime in Runtimes(None).reachable() for lab in _running(runtime)]
    seen = {lab.directory for lab in running}
    here = [current.workspace.directory] if current and current.record else []
    places = dict.fromkeys((*places_of_labs(), *here))
    idle = [_idle(place) for place in places if place not in seen]
    return tuple(sorted((*running, *filter(None, idle)), key=lambda lab: (lab.name, str(lab.directory))))


def elsewhere(target: Target, *, named: bool, idle: bool = True) -> LabNotFoundError | None:
    """The error that names where the lab is, when the directory in which it was looked for holds none.

    Args:
        target: what was found: no lab.
        named: whether only a lab of that name is meant. If not, and there is none, those that run are named.
        idle: whether a lab that does not run is named, too.

    Returns:
        None if no such lab is known elsewhere, or if services run whose directory is gone.
    """
    known = known_labs(target)
    if any(lab.name == target.name and lab.state == GONE for lab in known):
        return None
    there = [lab for lab in known if lab.is_there and (idle or lab.state != STOPPED)]
    meant = [lab for lab in there if lab.name == target.name]
    if not meant and not named:
        meant = [lab for lab in there if lab.state != STOPPED]
    if not meant:
        return None
    place = str(meant[0].directory)
    return LabNotFoundError(
        f"There is no lab {target.name!r} here.",
        why=tuple(f"{lab.name!r} {_verb(lab)} in {lab.directory}" for lab in meant[:_NAMED]),
        hint=f"{shell_line(['cd', place])}, or {shell_line(['--dir', place])}. All labs: mtlslab list",
    )


def directory_of(name: str, current: Target) -> Path | None:
    """The one directory in which a lab of that name is, wherever it is; None if there is none that may be used.

    A directory in which it runs comes before one that only holds the files.

    Raises:
        LabNotFoundError: there are several.
    """
    named = [lab for lab in known_labs(current) if lab.name == name and lab.directory]
    # A container's label may name any directory: what counts is the lab.json in it.
    found = [lab for lab in named if name_in(Workspace(lab.directory or Path())) == name]
    found = [lab for lab in found if lab.state != STOPPED] or found
    if len({lab.directory for lab in found}) > 1:
        raise LabNotFoundError(
            f"There are {len(found)} labs called {name!r}.",
            why=tuple(f"one {_verb(lab)} in {lab.directory}" for lab in found),
            hint=f"Name one of them: {shell_line(['--dir', str(found[0].directory)])}",
        )
    return found[0].directory if found else None


def _verb(lab: KnownLab) -> str:
    return "lies" if lab.state == STOPPED else "runs"


def _running(runtime: Runtime) -> tuple[KnownLab, ...]:
    found = []
    try:
        for name in runtime.labs():
            services = () if is_twin(name) else runtime.status(name)
            if services:
                directory = next((item.directory for item in services if item.directory), None)
                found.append(KnownLab(name, directory, runtime.name, _ports(directory), _state(directory, services)))
    except MachineError:  # the engine has gone meanwhile
        return ()
    return tuple(found)


def _idle(directory: Path) -> KnownLab | None:
    workspace = Workspace(directory)
    name = name_in(workspace)
    return KnownLab(name, directory, "", _ports(directory), STOPPED) if name else None


def _ports(directory: Path | None) -> tuple[int, ...]:
    if directory is None:
        return ()
    try:
        record = Workspace(directory).record()
        spec: LabSpec | None = make_spec(record.spec) if record else None
    except LabError:
        spec = None
    return (spec.tls_port, spec.mtls_port) if spec else ()


def _state(directory: Path | None, services: tuple[ServiceStatus, ...]) -> str:
    if directory is None or not Workspace(directory).exists():
        return GONE
    states = {item.service: item.state for item in services}
    odd = [f"{name} {states.get(name, 'missing')}" for name in SERVICES if states.get(name) is not State.RUNNING]
    return ", ".join(odd) or str(State.RUNNING)

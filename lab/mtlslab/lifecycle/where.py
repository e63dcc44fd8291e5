"""Finds the runtime in which a lab runs; shared by all commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mtlslab.errors import LabNotFoundError, MachineError
from mtlslab.plan.shell import shell_line
from mtlslab.runtime.base import Runtime, ServiceStatus
from mtlslab.runtime.choose import Runtimes
from mtlslab.runtime.table import RUNTIMES
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.target import Target

Say = Callable[[str], None]


def recorded_runtime(target: Target) -> str:
    """The name of the runtime in lab.json; empty when there is none."""
    return target.record.runtime if target.record else ""


def runtimes_of(target: Target, say: Say = lambda _: None) -> Runtimes:
    """The runtimes for a lab; a workspace that another user owns or may change is not used."""
    return Runtimes(None if target.not_ours else target.workspace.directory, say=say)


def unreached_runtimes(target: Target, runtimes: Runtimes) -> tuple[str, ...]:
    """The runtimes in which a lab was started, by lab.json, and that cannot be reached now."""
    if target.record is None:
        return ()
    known = [name for name in (target.record.runtime, *target.record.unreached) if name in RUNTIMES]
    reachable = {runtime.name for runtime in runtimes.reachable()} if known else set()
    return tuple(name for name in dict.fromkeys(known) if name not in reachable)


def may_remain(unreached: tuple[str, ...]) -> str:
    """The sentence that something of a lab may run where nobody can look."""
    where = " and ".join(unreached)
    return f"Something of this lab may still be there in the runtime {where}, which cannot be reached now."


def other_port(service: str, elsewhere: str, listen: str, port: int) -> str:
    """The sentence that a service answers somewhere else than the lab's settings say."""
    return f"{service} answers on {elsewhere}; the lab's settings say {listen}, port {port}."


def find_running(target: Target, runtimes: Runtimes) -> Runtime | None:
    """The runtime in which services of a lab exist; None when there is none.

    Raises:
        SpecError, MachineError: see :meth:`mtlslab.runtime.choose.Runtimes.all`.
    """
    everywhere = runtimes.all(recorded_runtime(target))
    return next((runtime for runtime in everywhere if runtime.status(target.name)), None)


def running_runtime(target: Target) -> Runtime:
    """The runtime in which services of a lab exist.

    Raises:
        LabNotFoundError: there is none.
        SpecError, MachineError: see :meth:`mtlslab.runtime.choose.Runtimes.all`.
    """
    found = find_running(target, runtimes_of(target))
    if found is None:
        raise nothing_runs(target.name)
    return found


def nothing_runs(lab: str) -> LabNotFoundError:
    """The error of a command that needs a running lab."""
    return LabNotFoundError(
        f"Nothing runs of the lab {lab!r}.", hint="Start it with: mtlslab up. All labs: mtlslab list"
    )


def refuse_foreign(name: str, directory: Path, running: tuple[ServiceStatus, ...]) -> None:
    """Check that the running services do not belong to a lab of the same name in another directory.

    Two labs of one name would share container names and labels. A directory that holds no lab any more is ignored.

    Args:
        name: the lab's name.
        directory: the lab's workspace.
        running: the services with that name.

    Raises:
        MachineError: they belong to another directory.
    """
    for item in running:
        other = item.directory
        if other is None or other == directory or not Workspace(other).exists():
            continue
        raise MachineError(
            f"A lab called {name!r} already runs in {other}.",
            why="a name belongs to one lab on this machine",
            hint=f"If it is meant: {shell_line(['cd', other])}, or {shell_line(['--dir', other])}. "
            "For another one choose another --name, or take that one down: "
            + shell_line(["mtlslab", "down", "--dir", other]),
        )

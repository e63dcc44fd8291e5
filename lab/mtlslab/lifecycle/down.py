"""The use case ``down``: stop all services of a lab."""

from __future__ import annotations

import contextlib
import dataclasses

from mtlslab.errors import LabError, MachineError
from mtlslab.lifecycle.leftovers import end_twins, remove_twin_directories
from mtlslab.lifecycle.where import Say, may_remain, recorded_runtime, refuse_foreign, runtimes_of, unreached_runtimes
from mtlslab.plan.shell import shell_line
from mtlslab.runtime.table import RUNTIMES
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.not_issued import only_here
from mtlslab.workspace.refusals import at_work
from mtlslab.workspace.target import Target
from mtlslab.workspace.trust import forget


def down(target: Target, *, purge: bool, say: Say) -> tuple[str, ...]:
    """Stop and remove the services of a lab and of its sabotaged twins, in every runtime, also without a workspace.

    Args:
        target: the lab.
        purge: also remove the workspace.
        say: told in a sentence what was kept or removed of the workspace.

    Returns:
        Names of what was removed: containers, volumes and networks, services that ran as processes, and twins.

    Raises:
        SpecError: lab.json names a runtime that is unknown; nothing is removed. With ``purge`` it counts as none.
        MachineError: lab.json names a runtime that cannot be reached: nothing is removed if the lab was last started
            in it, and otherwise all that can be reached; the workspace stays.
        NotOursError: only with ``purge``: another user owns the workspace or may change it. The services are stopped.
    """
    workspace = target.workspace
    if target.not_ours:
        removed = _stop_everywhere(target, say, locked=True)
        if purge:
            raise target.not_ours
        say(f"{target.not_ours.what} It is left alone, and not asked for the lab's name: that is {target.name!r}.")
        return removed
    if not workspace.exists():
        return _stop_everywhere(target, say, locked=False)
    with workspace.lock():
        removed = _stop_everywhere(_without_unknown_runtime(target, say) if purge else target, say, locked=True)
        remove_twin_directories(workspace, say)
        unreached = unreached_runtimes(target, runtimes_of(target))
        if unreached:
            _forget_runtime(workspace, unreached)
            raise _remains(target, removed, unreached, purge=purge)
        if purge:
            if target.record:
                forget(workspace, target.record)
            brought = only_here(workspace, target.record)
            stayed = workspace.purge(brought)
            say(f"Removed {workspace.directory}." if not stayed else f"Kept {workspace.directory}: {', '.join(stayed)}")
            if brought:
                say(f"Somebody brought these, and nobody else may have them: {', '.join(brought)}.")
        else:
            _forget_runtime(workspace)
        return removed


def _without_unknown_runtime(target: Target, say: Say) -> Target:
    """The target without the name of a runtime that is unknown, so that a damaged lab.json can be purged."""
    recorded = recorded_runtime(target)
    if target.record is None or not recorded or recorded in RUNTIMES:
        return target
    say(f"lab.json names the runtime {recorded!r}, which is not known: what may run there is left alone.")
    return dataclasses.replace(target, record=dataclasses.replace(target.record, runtime=""))


def _stop_everywhere(target: Target, say: Say, *, locked: bool) -> tuple[str, ...]:
    removed: tuple[str, ...] = ()
    runtimes = tuple(runtimes_of(target, say).all(recorded_runtime(target)))
    for runtime in runtimes:
        refuse_foreign(target.name, target.workspace.directory, runtime.status(target.name))
        # Without a workspace there was no lock: an `up` may have started meanwhile, and what runs may belong to it.
        if not locked and target.workspace.exists():
            raise at_work(f"{target.workspace.directory} has just been made")
        removed += runtime.stop(target.name)
    return removed + end_twins(target.workspace, runtimes)


def _remains(target: Target, removed: tuple[str, ...], unreached: tuple[str, ...], *, purge: bool) -> MachineError:
    again = ["mtlslab", "down", *(["--purge"] if purge else []), "--dir", str(target.workspace.directory)]
    kept = [f"{target.workspace.directory} stays: it remembers that"] if purge else []
    return MachineError(
        may_remain(unreached),
        why=(f"removed: {', '.join(removed) or 'nothing'}", *kept),
        hint=f"When that can be reached again: {shell_line(again)}",
    )


def _forget_runtime(workspace: Workspace, unreached: tuple[str, ...] = ()) -> None:
    """Record in lab.json that nothing runs; ignored on a full or read-only disk, because all is stopped by now."""
    with contextlib.suppress(LabError):
        record = workspace.record()
        if record and (record.runtime or record.unreached != unreached):
            workspace.save(dataclasses.replace(record, runtime="", unreached=unreached))

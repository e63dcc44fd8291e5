"""The use case ``down``: nothing of a lab runs any more."""

from __future__ import annotations

import contextlib
import dataclasses

from mtlslab.errors import LabError
from mtlslab.lifecycle.leftovers import end_twins, remove_twin_directories
from mtlslab.lifecycle.where import Say, recorded_runtime, refuse_foreign, runtimes_of
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.refusals import at_work
from mtlslab.workspace.target import Target
from mtlslab.workspace.trust import forget


def down(target: Target, *, purge: bool, say: Say) -> tuple[str, ...]:
    """Take away all that runs of a lab and of its sabotaged twins, whatever runs it, also when the workspace is gone.

    With ``purge`` the workspace goes too. Returns the names of what was removed.

    Raises:
        SpecError, MachineError: the runtime that lab.json names is not known, or out of reach; nothing is removed.
        NotOursError: with ``purge``: somebody else made the lab, or may change it; what ran is stopped.
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
        removed = _stop_everywhere(target, say, locked=True)
        remove_twin_directories(workspace, say)
        if purge:
            if target.record:
                forget(workspace, target.record)
            stayed = workspace.purge()
            say(f"Removed {workspace.directory}." if not stayed else f"Kept {workspace.directory}: {', '.join(stayed)}")
        else:
            _forget_runtime(workspace)
        return removed


def _stop_everywhere(target: Target, say: Say, *, locked: bool) -> tuple[str, ...]:
    removed: tuple[str, ...] = ()
    runtimes = tuple(runtimes_of(target, say).all(recorded_runtime(target)))
    for runtime in runtimes:
        refuse_foreign(target.name, target.workspace.directory, runtime.status(target.name))
        # Where there was no lab there was no lock: what runs may be that of an `up` that began a moment ago.
        if not locked and target.workspace.exists():
            raise at_work(f"{target.workspace.directory} has just been made")
        removed += runtime.stop(target.name)
    return removed + end_twins(target.workspace, runtimes)


def _forget_runtime(workspace: Workspace) -> None:
    """Note that nothing runs any more; a disk that is full or read-only is no reason to fail after that."""
    with contextlib.suppress(LabError):
        record = workspace.record()
        if record and record.runtime:
            workspace.save(dataclasses.replace(record, runtime=""))

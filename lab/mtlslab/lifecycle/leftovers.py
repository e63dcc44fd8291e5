"""Finds and stops the sabotaged twins of a lab, also those of a killed ``verify --prove`` or without a directory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from mtlslab.errors import LabError
from mtlslab.runtime.base import Runtime, ServiceStatus
from mtlslab.workspace.directory import TWINS_DIRECTORY, Workspace

_TWIN = re.compile(r"twin-[0-9a-f]{6}-[a-z0-9_-]+")


def twin_name(lab: Workspace, name: str) -> str:
    """The lab name of the twin ``name``, at most 40 characters; it contains a hash of the lab's directory."""
    return f"{_prefix(lab)}{name}"[:40].rstrip("-_")


def is_twin(name: str) -> bool:
    """Whether a lab name is that of a twin, of whatever lab."""
    return _TWIN.fullmatch(name) is not None


def find_twins(lab: Workspace, runtime: Runtime) -> Mapping[str, tuple[ServiceStatus, ...]]:
    """The twins that exist in a runtime: lab name -> its services, which are none if only a network or volume is left.

    Args:
        lab: the workspace of the lab; need not exist any more.
        runtime: where to look.

    Raises:
        MachineError: the runtime cannot be reached.
    """
    # Twins that were started before the workspace was moved have names with the hash of the old directory.
    recorded = set(_recorded(lab))
    names = [name for name in runtime.labs() if name.startswith(_prefix(lab)) or name in recorded]
    found = {name: runtime.status(name) for name in names}
    return {name: items for name, items in found.items() if all(_belongs(lab, item.directory) for item in items)}


def list_twins(lab: Workspace, runtimes: Iterable[Runtime]) -> tuple[tuple[str, str, ServiceStatus], ...]:
    """The services of all twins of a lab, as tuples (lab name of the twin, name of the runtime, service status).

    Raises:
        MachineError: a runtime cannot be reached.
    """
    return tuple(
        (name, runtime.name, item)
        for runtime in runtimes
        for name, items in find_twins(lab, runtime).items()
        for item in items
    )


def end_twins(lab: Workspace, runtimes: Iterable[Runtime]) -> tuple[str, ...]:
    """Stop and remove all twins of a lab in these runtimes; returns their lab names.

    Raises:
        MachineError: a runtime cannot be reached, or refuses.
    """
    return tuple(name for runtime in runtimes for name in find_twins(lab, runtime) if runtime.stop(name))


def remove_twin_directories(lab: Workspace, say: Callable[[str], None]) -> None:
    """Remove the files of twins from the workspace; if that fails, ``say`` is told and no error is raised."""
    if not os.path.lexists(lab.directory / TWINS_DIRECTORY):
        return
    try:
        lab.remove([TWINS_DIRECTORY])
    except LabError as error:
        say(f"{error.what} ({error.why})")


def _prefix(lab: Workspace) -> str:
    return f"twin-{hashlib.sha256(str(lab.directory).encode()).hexdigest()[:6]}-"


def _recorded(lab: Workspace) -> Iterator[str]:
    """The lab names in the lab.json of each twin in the workspace."""
    with contextlib.suppress(OSError):
        for directory in (lab.directory / TWINS_DIRECTORY).iterdir():
            with contextlib.suppress(LabError, OSError):
                record = Workspace(directory).record()
                name = record.spec.get("name") if record else None
                if isinstance(name, str) and is_twin(name):
                    yield name


def _belongs(lab: Workspace, directory: Path | None) -> bool:
    """Whether a twin started from ``directory`` is the lab's: its directory is below the workspace, or is gone."""
    if directory is None or not os.path.lexists(directory):
        return True
    return lab.directory in (directory, *directory.parents)

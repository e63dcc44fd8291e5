"""Which lab does a command mean: from ``--name``, ``--dir`` and the current directory."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from lab.errors import SpecError
from lab.spec import DEFAULT_NAME, check_name
from lab.workspace import LabRecord, Workspace


@dataclasses.dataclass(frozen=True)
class Target:
    """The lab that a command works on: its name, its workspace, and what lab.json says (None when there is none)."""

    name: str
    workspace: Workspace
    record: LabRecord | None


def locate(name: str | None, directory: Path | None, *, here: Path) -> Target:
    """The lab that is meant.

    A named lab lies in ``./NAME``, an unnamed one in ``./mtls-lab``, or in the current directory when that is a lab.
    A lab in a given directory is called what its lab.json says, else after the directory.

    Raises:
        SpecError: the name is not one, or contradicts lab.json.
    """
    problem = check_name(name) if name is not None else None
    if problem:
        raise SpecError("That is no name for a lab.", problems=(problem,), hint="Example: mtlslab up --name class-7b")
    workspace = Workspace(here / _directory(name, directory, here))
    record = workspace.record()
    recorded = str(record.spec.get("name", "")) if record else None
    if name and recorded and name != recorded:
        raise SpecError(
            f"The lab in {workspace.directory} is called {recorded!r}, not {name!r}.",
            hint=f"Leave --name away, or choose another directory: --dir ./{name}",
        )
    return Target(recorded or name or _name_from(workspace.directory), workspace, record)


def _directory(name: str | None, directory: Path | None, here: Path) -> Path:
    if directory is not None:
        return directory
    if name is None and Workspace(here).exists():
        return Path()
    return Path(name or DEFAULT_NAME)


def _name_from(directory: Path) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", directory.name.lower()).strip("-_")[:40]
    return name if check_name(name) is None else DEFAULT_NAME

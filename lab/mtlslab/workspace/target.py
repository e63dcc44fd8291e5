"""Which lab does a command mean: from ``--name``, ``--dir`` and the current directory."""

from __future__ import annotations

import dataclasses
import re
import stat
from pathlib import Path

from mtlslab.errors import LabError, NotOursError, SpecError
from mtlslab.plan.shell import shell_line
from mtlslab.plan.spec import DEFAULT_NAME, check_name
from mtlslab.workspace.directory import LAB_FILE, LabRecord, Workspace
from mtlslab.workspace.ownership import check_links


@dataclasses.dataclass(frozen=True)
class Target:
    """The lab that a command works on.

    Attributes:
        name: of the lab.
        workspace: its own.
        record: what lab.json says; None when there is none.
        not_ours: why nothing of the workspace may be used; None when it may. Only for who takes a lab away.
    """

    name: str
    workspace: Workspace
    record: LabRecord | None
    not_ours: NotOursError | None = None


def locate(name: str | None, directory: Path | None, *, here: Path, forgive: bool = False) -> Target:
    """The lab that is meant.

    A named lab lies in ``./NAME``, an unnamed one in ``./mtls-lab``, or in the current directory when that is a lab.
    A lab in a given directory is called what its lab.json says, else after the directory. With ``forgive`` a damaged
    lab.json counts as none, and so does the lab of somebody else: whoever wants to take away what runs must be able to.

    Raises:
        SpecError: the name is not one, or contradicts lab.json, or that is damaged.
        NotOursError: somebody else made the lab, or may change it.
    """
    problem = check_name(name) if name is not None else None
    if problem:
        raise SpecError("That is no name for a lab.", problems=(problem,), hint="Example: mtlslab up --name class-7b")
    path = here / _directory(name, directory, here)
    check_links(path)
    workspace = Workspace(path)
    record, recorded, not_ours = None, "", None
    try:
        record = _read(workspace)
        recorded = _recorded_name(workspace, record)
    except NotOursError as error:
        if not forgive:
            raise
        record, not_ours = None, error
    except LabError as error:
        if not forgive or isinstance(error.__cause__, PermissionError):
            raise
    if name and recorded and name != recorded:
        raise _called_otherwise(workspace, recorded, name)
    return Target(recorded or name or _name_from(workspace.directory), workspace, record, not_ours)


def look_again(target: Target) -> Target:
    """The same lab with what lab.json says now; to be called under the lock, before which others may have been at work.

    Raises:
        SpecError: another lab has been made there meanwhile.
        NotOursError: somebody else made something of it, or may change it.
    """
    record = _read(target.workspace)
    recorded = _recorded_name(target.workspace, record)
    if recorded and recorded != target.name:
        raise _called_otherwise(target.workspace, recorded, target.name)
    return dataclasses.replace(target, record=record)


def _read(workspace: Workspace) -> LabRecord | None:
    record = workspace.record()
    if record is not None:
        workspace.check()
    return record


def _recorded_name(workspace: Workspace, record: LabRecord | None) -> str:
    """The name in lab.json; empty where there is none. It becomes part of labels and paths, so it must be a name."""
    recorded = record.spec.get("name", "") if record else ""
    problem = check_name(recorded) if recorded else None
    if problem:
        raise SpecError(f"{workspace.directory / LAB_FILE} is damaged.", problems=(problem,), hint="Mend it.")
    return str(recorded)


def _called_otherwise(workspace: Workspace, recorded: str, name: str) -> SpecError:
    return SpecError(
        f"The lab in {workspace.directory} is called {recorded!r}, not {name!r}.",
        hint=f"Leave --name away, or choose another directory: {shell_line(['--dir', f'./{name}'])}",
    )


def _directory(name: str | None, directory: Path | None, here: Path) -> Path:
    if directory is not None:
        return directory
    # A lab.json that somebody put into /tmp makes that no lab.
    if name is None and Workspace(here).exists() and not here.stat().st_mode & stat.S_ISVTX:
        return Path()
    return Path(name or DEFAULT_NAME)


def _name_from(directory: Path) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", directory.name.lower()).strip("-_")[:40]
    return name if check_name(name) is None else DEFAULT_NAME

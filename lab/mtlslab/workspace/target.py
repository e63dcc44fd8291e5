"""Finds the lab of a command, by ``--name``, ``--dir`` and the current directory."""

from __future__ import annotations

import dataclasses
import re
import stat
from pathlib import Path

from mtlslab.errors import LabError, NotOursError, SpecError
from mtlslab.plan.shell import shell_line
from mtlslab.plan.spec import DEFAULT_NAME, check_name
from mtlslab.workspace.directory import LAB_FILE, LabRecord, Workspace
from mtlslab.workspace.ownership import check_links, check_ours


@dataclasses.dataclass(frozen=True)
class Target:
    """The lab that a command works on.

    Attributes:
        name: of the lab.
        workspace: of the lab.
        record: content of lab.json; None if there is none.
        not_ours: why the workspace must not be used; None if it may be. Set for `down` only (``forgive``).
    """

    name: str
    workspace: Workspace
    record: LabRecord | None
    not_ours: NotOursError | None = None


def locate(name: str | None, directory: Path | None, *, here: Path, forgive: bool = False) -> Target:
    """Find the lab of a command.

    Without a directory it is, as with git, the lab in the current directory or in the nearest one above it; a lab in
    ``./NAME`` (``./mtls-lab``) comes before those above. A name, if one is given, must be that of the lab. If there is
    none, a new one would lie in ``./NAME``. A lab in a given directory has the name in its lab.json, else that of the
    directory.

    Args:
        name: value of ``--name``.
        directory: value of ``--dir``; relative to ``here``.
        here: the current directory.
        forgive: treat a damaged lab.json, and a lab of another user, as no lab: `down` must be able to stop what runs.

    Raises:
        SpecError: the name is not valid or differs from that in lab.json, or lab.json is damaged.
        NotOursError: another user owns the lab or may write it.
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
    """Read lab.json again. The caller holds the lock: before it, another program may have changed the lab.

    Raises:
        SpecError: the directory holds a lab of another name now, or lab.json is damaged.
        NotOursError: another user owns a part of the lab or may write it.
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
    """The name in lab.json, empty if there is none. It is checked, because it becomes part of labels and paths."""
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
    if _is_lab(here, name):
        return Path()
    beside = Path(name or DEFAULT_NAME)
    if Workspace(here / beside).exists():
        return beside
    return next((path for path in here.parents if _is_lab(path, name) and _is_ours(path)), beside)


def _is_lab(path: Path, name: str | None) -> bool:
    """Whether a directory is a lab, and the one of that name if a name is given."""
    workspace = Workspace(path)
    # A directory such as /tmp is no lab, even if another user put a lab.json there.
    if not workspace.exists() or path.stat().st_mode & stat.S_ISVTX:
        return False
    return name is None or name_in(workspace) == name


def _is_ours(path: Path) -> bool:
    """Whether no other user made the lab: whoever works below a stranger's directory did not choose that lab."""
    try:
        check_ours((path / LAB_FILE).lstat(), path / LAB_FILE)
        check_ours(path.stat(), path)
    except (LabError, OSError):
        return False
    return True


def name_in(workspace: Workspace) -> str:
    """The name in a directory's lab.json; empty if there is none, or it cannot be used."""
    try:
        return _recorded_name(workspace, workspace.record())
    except LabError:
        return ""


def _name_from(directory: Path) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", directory.name.lower()).strip("-_")[:40]
    return name if check_name(name) is None else DEFAULT_NAME

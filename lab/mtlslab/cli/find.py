"""Helpers of the commands: find the lab, check a choice, show a directory."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from mtlslab.errors import SpecError

if TYPE_CHECKING:
    from mtlslab.workspace.target import Target


def find(name: str | None, directory: Path | None, *, new: bool = False) -> Target:
    """Find the lab of a command; see ``workspace.target.locate`` for arguments and errors.

    Args:
        name: value of ``--name``.
        directory: value of ``--dir``.
        new: whether the command can do without a lab, or makes one.

    Raises:
        LabNotFoundError: there is none here, and the error names where it is.
    """
    from mtlslab.workspace.target import locate

    target = locate(name, directory, here=here())
    if new or directory is not None or target.workspace.exists():
        return target
    from mtlslab.lifecycle.known import elsewhere

    problem = elsewhere(target, named=name is not None)
    if problem:
        raise problem
    return target


def find_to_end(name: str | None, directory: Path | None) -> Target:
    """Find the lab that `down` ends: also a damaged one or one without a directory; by its name, wherever it is.

    Raises:
        LabNotFoundError: it runs elsewhere, and nobody named it; or several have that name.
    """
    from mtlslab.workspace.target import locate

    target = locate(name, directory, here=here(), forgive=True)
    if directory is not None or target.workspace.exists():
        return target
    from mtlslab.lifecycle.known import directory_of, elsewhere

    if name is None:
        problem = elsewhere(target, named=True, idle=False)
        if problem:
            raise problem
        return target
    place = directory_of(name, target)
    return locate(name, place, here=here(), forgive=True) if place else target


def here() -> Path:
    """The current directory.

    Raises:
        SpecError: it was removed.
    """
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise SpecError("The current directory is gone.", hint="Go to one that is there: cd") from error


def require_choice(option: str, value: str, choices: Collection[str]) -> None:
    """Check that the value of an option is one of its choices.

    Raises:
        SpecError: it is not.
    """
    if value not in choices:
        raise SpecError(f"{option} {value!r} is not known.", hint=f"Use one of: {', '.join(choices)}")


def shown(directory: Path) -> str:
    """A directory relative to the current one if it is below it, else its absolute path."""
    current = here()
    if directory == current:
        return "."
    return f"./{directory.relative_to(current)}" if directory.is_relative_to(current) else str(directory)

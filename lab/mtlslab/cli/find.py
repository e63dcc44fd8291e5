"""Helpers of the commands: find the lab, check a choice, show a directory."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from mtlslab.errors import SpecError

if TYPE_CHECKING:
    from mtlslab.workspace.target import Target


def find(name: str | None, directory: Path | None, *, forgive: bool = False) -> Target:
    """Find the lab of a command; see ``workspace.target.locate`` for arguments and errors."""
    from mtlslab.workspace.target import locate

    return locate(name, directory, here=here(), forgive=forgive)


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

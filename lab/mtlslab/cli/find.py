"""Small helpers of the commands: which lab is meant, is that a choice, how is a directory shown."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from mtlslab.errors import SpecError

if TYPE_CHECKING:
    from mtlslab.workspace.target import Target


def find(name: str | None, directory: Path | None, *, forgive: bool = False) -> Target:
    """The lab that the options of a command mean; with ``forgive`` also one whose lab.json is damaged."""
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
    """Refuse a value that is none of the choices."""
    if value not in choices:
        raise SpecError(f"{option} {value!r} is not known.", hint=f"Use one of: {', '.join(choices)}")


def shown(directory: Path) -> str:
    """A directory as a person would type it from here."""
    current = here()
    if directory == current:
        return "."
    return f"./{directory.relative_to(current)}" if directory.is_relative_to(current) else str(directory)

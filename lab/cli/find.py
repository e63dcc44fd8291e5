"""Small helpers of the commands: which lab is meant, is that a choice, how is a directory shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import SpecError

if TYPE_CHECKING:
    from lab.locate import Target


def find(name: str | None, directory: Path | None) -> Target:
    """The lab that the options of a command mean."""
    from lab.locate import locate

    return locate(name, directory, here=Path.cwd())


def require_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is none of the choices."""
    if value not in choices:
        raise SpecError(f"{option} {value!r} is not known.", hint=f"Use one of: {', '.join(choices)}")


def shown(directory: Path) -> str:
    """A directory as a person would type it from here."""
    here = Path.cwd()
    if directory == here:
        return "."
    return f"./{directory.relative_to(here)}" if directory.is_relative_to(here) else str(directory)

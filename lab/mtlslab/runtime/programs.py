"""Finds programs on PATH, in the directories that the user named in full."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable


def find_program(name: str, more: Iterable[str] = ()) -> str | None:
    """The absolute path of a program; None when there is none.

    An empty or relative entry of PATH stands for wherever one happens to be: a program there is not run.

    Args:
        name: of the program, without a path.
        more: directories to look in after those of PATH.
    """
    entries = (*os.environ.get("PATH", os.defpath).split(os.pathsep), *more)
    directories = [entry for entry in entries if os.path.isabs(entry)]
    # An empty path would make `which` look at PATH again.
    return shutil.which(name, path=os.pathsep.join(directories)) if directories else None

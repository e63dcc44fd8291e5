"""Finds programs on PATH; only absolute entries of PATH count."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable


def find_program(name: str, more: Iterable[str] = ()) -> str | None:
    """The absolute path of a program; None when there is none.

    An empty or relative entry of PATH depends on the working directory, where another user may have put a program. Such
    entries are ignored.

    Args:
        name: name of the program, without a directory.
        more: directories to search after those of PATH.
    """
    entries = (*os.environ.get("PATH", os.defpath).split(os.pathsep), *more)
    directories = [entry for entry in entries if os.path.isabs(entry)]
    # With an empty path, shutil.which would search PATH again.
    return shutil.which(name, path=os.pathsep.join(directories)) if directories else None

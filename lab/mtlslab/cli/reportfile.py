"""Writes a report to the file of ``--output-file``."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mtlslab.errors import MachineError, SpecError
from mtlslab.workspace.folder import open_folder


def write_report(path: Path, text: str) -> None:
    """Write a report atomically: if the disk is full, the report of an earlier run stays as it was.

    A device or FIFO (``/dev/stdout``) is written directly.

    Raises:
        SpecError: the path cannot be written.
        MachineError: the disk is full.
    """
    content = text.encode("utf-8", errors="backslashreplace")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        place = path.resolve()  # a symbolic link is followed, not replaced
        with open_folder(place.parent) as folder:
            folder.write(place.name, content)
    except (OSError, RuntimeError, ValueError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = MachineError if full else SpecError
        raise kind(f"Cannot write {path}.", why=why, hint="Name another --output-file.") from error

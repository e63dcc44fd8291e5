"""Writes a report where ``--output-file`` says."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mtlslab.errors import MachineError, SpecError
from mtlslab.workspace.folder import open_folder


def write_report(path: Path, text: str) -> None:
    """Write all of a report, or nothing: a disk that is full leaves the report of an earlier run as it was.

    A device or FIFO (``/dev/stdout``) is written to as it is.

    Raises:
        SpecError: it cannot be written there.
        MachineError: the disk is full.
    """
    content = text.encode("utf-8", errors="backslashreplace")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        place = path.resolve()  # a link stays a link
        with open_folder(place.parent) as folder:
            folder.write(place.name, content)
    except (OSError, RuntimeError, ValueError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = MachineError if full else SpecError
        raise kind(f"Cannot write {path}.", why=why, hint="Name another --output-file.") from error

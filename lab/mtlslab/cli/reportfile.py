"""Writes a report to the file of ``--output-file``."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mtlslab.errors import MachineError, NotOursError, SpecError
from mtlslab.workspace.folder import open_folder

_ANOTHER = "Name another --output-file."


def write_report(path: Path, text: str) -> None:
    """Write a report atomically: if the disk is full, the report of an earlier run stays as it was.

    A device or FIFO (``/dev/stdout``) is written directly. A symbolic link is followed, unless somebody else made it.

    Raises:
        SpecError: the path cannot be written.
        MachineError: the disk is full.
    """
    content = text.encode("utf-8", errors="backslashreplace")
    try:
        _require_no_foreign_link(path)
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        place = path.resolve() if path.is_symlink() else path.parent.resolve() / path.name  # a link stays a link
        with open_folder(place.parent) as folder:
            folder.write(place.name, content)
    except (OSError, RuntimeError, ValueError) as error:
        why = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind = MachineError if full else SpecError
        raise kind(f"Cannot write {path}.", why=why, hint=_ANOTHER) from error


def _require_no_foreign_link(path: Path) -> None:
    """Refuse a link that was put there by somebody who waits for a report in a directory like ``/tmp``.

    Linux does so by itself (proc(5), protected_symlinks), but not everywhere, and not for a link that we read.

    Raises:
        NotOursError: the link is of somebody else.
        OSError: the directory is not there.
    """
    if path.is_symlink():
        owner, trusted = path.lstat().st_uid, (0, os.geteuid(), path.parent.stat().st_uid)
        if owner not in trusted:
            raise NotOursError(f"Cannot write {path}.", why="somebody else put a link there", hint=_ANOTHER)

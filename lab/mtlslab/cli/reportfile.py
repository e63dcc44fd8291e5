"""Writes a report to the file of ``--output-file``."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from mtlslab.errors import MachineError, NotOursError, SpecError
from mtlslab.output.look import Attachment
from mtlslab.workspace.folder import open_folder

_ANOTHER = "Name another --output-file."
_START = 64  # bytes of a document in which its schema is named


def write_report(path: Path, text: str) -> None:
    """Write a report atomically: if the disk is full, the report of an earlier run stays as it was.

    A device or FIFO (``/dev/stdout``) is written directly. A symbolic link is followed, unless somebody else made it.

    Raises:
        SpecError: the path cannot be written.
        MachineError: the disk is full.
    """
    content = _content(text)
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


def attachment_of(path: Path | None) -> Path | None:
    """The file for the JSON beside a page: named after it, with ``.json`` added. None beside a stream or a device.

    Raises:
        SpecError: another file of that name lies there, which is no report of ours.
    """
    if path is None or (path.exists() and not path.is_file()):
        return None
    beside = path.with_name(f"{path.name}.json")
    if os.path.lexists(beside) and not _is_report(beside):
        why = "it holds something else, and is not overwritten"
        raise SpecError(f"The report as JSON belongs into {beside}.", why=why, hint=_ANOTHER)
    return beside


def _is_report(path: Path) -> bool:
    """Whether a file is an earlier report of ours."""
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError:
        return False
    return path.is_file() and b'"schema": "mtlslab.' in start


def write_attachment(path: Path, text: str) -> Attachment:
    """Write the JSON beside a page; returns how the page is to name it.

    Raises:
        SpecError, MachineError: as :func:`write_report`.
    """
    write_report(path, text)
    return Attachment(path.name, hashlib.sha256(_content(text)).hexdigest())


def _content(text: str) -> bytes:
    return text.encode("utf-8", errors="backslashreplace")


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

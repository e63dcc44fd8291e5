"""Locks the lock file of a workspace (flock(2))."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from mtlslab.workspace.ownership import check_ours
from mtlslab.workspace.refusals import at_work, not_locked


def take_lock(descriptor: int, path: Path) -> bool:
    """Lock an opened lock file, without waiting.

    Returns False if the previous holder removed the file together with its directory. The descriptor is closed then,
    and when an error is raised.

    Raises:
        MachineError: another program holds the lock, or the file system supports no locks.
        NotOursError: another user owns the file or may write it, and could hold the lock forever.
    """
    taken = False
    try:
        check_ours(os.fstat(descriptor), path)
        _flock(descriptor, path)
        with contextlib.suppress(OSError):
            taken = os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    finally:
        if not taken:
            os.close(descriptor)
    return taken


def _flock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise at_work(f"{path} is locked") from error
    except OSError as error:
        raise not_locked(path, error) from error

"""Turns an OSError about a file into an error that says what the user can do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mtlslab.errors import LabError, MachineError, SpecError
from mtlslab.plan.shell import shell_line

# Exit status 2, not 3, if the user must choose another path or change the rights on it.
_USER_ERRNOS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTSUP)
_ELSEWHERE = "Choose a directory on another disk: --dir ~/mtls-lab"


def refused(verb: str, path: Path, error: OSError) -> LabError:
    """The error for a path that the system refused to ``verb``, such as "read" or "write into"."""
    if error.errno in (errno.ELOOP, errno.EISDIR):
        return not_a_file(path)
    if error.errno == errno.ENOTSUP:
        return no_modes(path)
    see = f"See who owns it: {shell_line(['ls', '-ld', path.parent, path])}"
    hints = {
        errno.ENOSPC: "Make room on that disk, or choose another one with --dir.",
        errno.EDQUOT: "Make room in your quota, or choose another disk with --dir.",
        errno.EACCES: see,
        errno.EPERM: see,
        errno.EROFS: "That disk is read-only: choose another directory with --dir.",
    }
    kind: type[LabError] = SpecError if error.errno in _USER_ERRNOS else MachineError
    hint = hints.get(error.errno or 0, "Choose another directory with --dir.")
    return kind(f"Cannot {verb} {path}.", why=os.strerror(error.errno or 0), hint=hint)


def not_a_file(path: Path) -> MachineError:
    """The error for a path that must be a regular file and is not."""
    return MachineError(
        f"{path} is not a file that mtlslab can use.",
        why="it is a link, a directory, a FIFO, or larger than 4 MiB",
        hint=f"Move it away: {_move(path)}",
    )


def not_a_directory(path: Path) -> MachineError:
    """The error for a path that must be a directory and is not."""
    return MachineError(
        f"{path} is not a directory of its own.",
        why="a link or a file stands in its place, and nothing is written through it",
        hint=f"Move it away: {_move(path)}",
    )


def no_modes(path: Path) -> SpecError:
    """The error for a file system without owners and modes, on which other users could read private keys."""
    return SpecError(
        f"The disk of {path} does not keep owners and modes of files.",
        why="others could read the private keys there (a Windows disk, a memory stick, a network share?)",
        hint=_ELSEWHERE,
    )


def not_locked(path: Path, error: OSError) -> MachineError:
    """The error for a file system that does not support locks."""
    return MachineError(f"Cannot lock {path}.", why=os.strerror(error.errno or 0), hint=_ELSEWHERE)


def at_work(why: str) -> MachineError:
    """The error for a lab that another program is changing; ``why`` says how that was noticed."""
    return MachineError(
        "Another mtlslab is at work on this lab.",
        why=why,
        hint="Wait until it has ended, then type the command again.",
    )


def _move(path: Path) -> str:
    return shell_line(["mv", path, path.with_name(f"{path.name}.old")])

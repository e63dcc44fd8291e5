"""Opens files and directories inside a workspace: each directory relative to its parent's descriptor.

Owner and mode are checked on the opened descriptor, so nothing can be exchanged between check and use.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from mtlslab.errors import MachineError, NotOursError
from mtlslab.plan.paths import COMPOSE_FILE, CRL_DIRECTORY, RUN_DIRECTORY, SERVER_KEY
from mtlslab.plan.services import SERVICES
from mtlslab.runtime.sudo import UNPRIVILEGED_ID, sudo_user
from mtlslab.workspace.folder import Folder, open_folder
from mtlslab.workspace.ownership import check_key, check_ours, check_owner
from mtlslab.workspace.refusals import no_modes, not_a_directory, not_a_file, refused

MAX_FILE_BYTES = 4 * 1024 * 1024
LOG_DIRECTORY = "logs"
# Owner and mode of these directories are checked before the lab is used.
_DIRECTORIES = ("certs", "certs/faults", CRL_DIRECTORY, RUN_DIRECTORY, LOG_DIRECTORY, *SERVICES)
# And of these files in them, which nginx or the engine reads itself: named files, or all files of a directory.
_ROLES = ("server-ca", "client-ca", "server", "client")
_FILES = {"": (COMPOSE_FILE,), "certs": tuple(f"{role}.{kind}" for role in _ROLES for kind in ("crt", "key"))}
_READ_BY_NGINX = (CRL_DIRECTORY, *SERVICES)


@contextlib.contextmanager
def open_inside(directory: Path, parts: Sequence[str] = (), *, make: bool = False) -> Iterator[Folder]:
    """Open a directory of a workspace; it and its parents in the workspace must be real directories of ours.

    Args:
        directory: the workspace.
        parts: parts of the path in it; empty for the workspace itself.
        make: create missing directories.

    Raises:
        NotOursError: another user owns one of the directories or may write it.
        MachineError: one is a link or a file.
        OSError: one is missing (without ``make``) or cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(open_folder(directory))
        check_root(folder)
        for depth, part in enumerate(parts, start=1):
            try:
                folder = stack.enter_context(folder.inner(part, make=make))
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):
                    raise not_a_directory(folder.path / part) from error
                raise
            check_ours(folder.info(), folder.path, also=_also("/".join(parts[:depth])))
        yield folder


def check_root(folder: Folder, *, made: bool = False) -> None:
    """Check that no other user owns or may write a workspace; ``made``: this program created it just now.

    Raises:
        NotOursError: another user does.
        SpecError: the file system does not support owners or modes, so a chmod would not help.
    """
    info = folder.info()
    try:
        check_ours(info, folder.path)
    except NotOursError as error:
        if made or (info.st_uid == os.geteuid() and not _keeps_modes(folder)):
            raise no_modes(folder.path) from error
        raise


def _keeps_modes(folder: Folder) -> bool:
    try:
        folder.check_modes()
    except OSError as error:
        return error.errno != errno.ENOTSUP
    return True


def read_file(directory: Path, path: str, *, key: bool = False) -> bytes | None:
    """Content of a regular file of a workspace, None if it does not exist; see ``Workspace.read`` and ``read_key``."""
    *above, name = parts_of(path)
    target = directory / path
    try:
        with open_inside(directory, above) as folder, folder.reading(name) as descriptor:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_FILE_BYTES:
                raise not_a_file(target)
            check = check_key if key else check_ours
            check(info, target, also=_also(path))
            with open(descriptor, "rb", closefd=False) as file:
                return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refused("read", target, error) from error


def check_lab(directory: Path) -> None:
    """Check that no other user owns or may write a part of a lab.

    All directories are checked, and the files that nginx or the engine reads itself. A link or a file in place of a
    directory is refused where the directory is used.

    Raises:
        NotOursError: another user does; the error names the file and its owner.
    """
    for path in ("", *_DIRECTORIES):
        with contextlib.suppress(OSError, MachineError), open_inside(directory, parts_of(path)) as folder:
            _check_below(folder, _FILES.get(path) or (folder.names() if path in _READ_BY_NGINX else ()))


def _check_below(folder: Folder, names: Sequence[str]) -> None:
    for name in names:
        try:
            info = folder.info_of(name)  # by name: nobody else can write this directory
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(info.st_mode):  # ours, because nobody else can write here; a link has no mode of its own
            continue
        if name.endswith(".key"):  # its mode is checked when it is read
            check_owner(info, folder.path / name, also=_also(SERVER_KEY))
            continue
        check_ours(info, folder.path / name)
        if stat.S_ISDIR(info.st_mode):
            with folder.inner(name) as inner:
                _check_below(inner, inner.names())


def parts_of(path: str) -> tuple[str, ...]:
    """The parts of a path inside a workspace.

    Raises:
        ValueError: the path is absolute or contains "..".
    """
    parts = Path(path).parts
    if Path(path).is_absolute() or ".." in parts:
        raise ValueError(f"not a path inside the workspace: {path!r}")
    return parts


def _also(path: str) -> Collection[int]:
    """Further uids that may own a path of the workspace: for root, those that nginx may run as."""
    if path not in (SERVER_KEY, RUN_DIRECTORY, LOG_DIRECTORY):
        return ()
    user = sudo_user() if os.geteuid() == 0 else None
    return (UNPRIVILEGED_ID, *(user or ())[:1])

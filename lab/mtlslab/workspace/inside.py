"""Opens what lies inside a workspace: directories one below the other, each looked at by its descriptor.

So nobody can put another thing in its place between the look and the use.
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
# Directories of which owner and mode are asked before anything of the lab is used.
_DIRECTORIES = ("certs", "certs/faults", CRL_DIRECTORY, RUN_DIRECTORY, LOG_DIRECTORY, *SERVICES)
# And the files in them that nginx or an engine reads without us: some, or all.
_ROLES = ("server-ca", "client-ca", "server", "client")
_FILES = {"": (COMPOSE_FILE,), "certs": tuple(f"{role}.{kind}" for role in _ROLES for kind in ("crt", "key"))}
_READ_BY_NGINX = (CRL_DIRECTORY, *SERVICES)


@contextlib.contextmanager
def open_inside(directory: Path, parts: Sequence[str] = (), *, make: bool = False) -> Iterator[Folder]:
    """A directory of a workspace, by the parts of its path; all on the way to it must be real directories of ours.

    Raises:
        NotOursError: one is somebody else's.
        MachineError: a link or a file stands in place of one.
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
    """Refuse a workspace that is somebody else's; ``made`` says that it was made just now.

    Raises:
        NotOursError: it is.
        SpecError: its disk keeps no owners or modes, so that no chmod would help.
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
    """Content of a regular file of a workspace, None when there is none; see ``Workspace.read`` and ``read_key``."""
    *way, name = parts_of(path)
    target = directory / path
    try:
        with open_inside(directory, way) as folder, folder.reading(name) as descriptor:
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
    """Refuse a lab of which somebody else made something, or may change it.

    Asked are all directories, and the files that nginx reads without us. A link or a file in place of a directory is
    refused where it would be used.

    Raises:
        NotOursError: says what it is, whose, and what to do.
    """
    for path in ("", *_DIRECTORIES):
        with contextlib.suppress(OSError, MachineError), open_inside(directory, parts_of(path)) as folder:
            _check_below(folder, _FILES.get(path) or (folder.names() if path in _READ_BY_NGINX else ()))


def _check_below(folder: Folder, names: Sequence[str]) -> None:
    for name in names:
        try:
            info = folder.info_of(name)  # by name: nobody else can put another thing there
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(info.st_mode):  # ours, as nobody else writes here; its mode says nothing
            continue
        if name.endswith(".key"):  # its mode is for who reads it
            check_owner(info, folder.path / name, also=_also(SERVER_KEY))
            continue
        check_ours(info, folder.path / name)
        if stat.S_ISDIR(info.st_mode):
            with folder.inner(name) as inner:
                _check_below(inner, inner.names())


def parts_of(path: str) -> tuple[str, ...]:
    """The parts of a path inside a workspace.

    Raises:
        ValueError: it leads out of it.
    """
    parts = Path(path).parts
    if Path(path).is_absolute() or ".." in parts:
        raise ValueError(f"not a path inside the workspace: {path!r}")
    return parts


def _also(path: str) -> Collection[int]:
    """Who beside us may own a part of the workspace: where root made the lab, nginx runs as somebody else."""
    if path not in (SERVER_KEY, RUN_DIRECTORY, LOG_DIRECTORY):
        return ()
    user = sudo_user() if os.geteuid() == 0 else None
    return (UNPRIVILEGED_ID, *(user or ())[:1])

"""Puts a new directory in the place of an old one in one step: whoever is killed leaves the old one or the new one."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable

from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.folder import TEMPORARY, Folder
from mtlslab.workspace.inside import open_inside
from mtlslab.workspace.refusals import refused

_PREFIX = f"{TEMPORARY}swap-"


def replace_directory(workspace: Workspace, name: str, fill: Callable[[Folder, Folder | None], None]) -> None:
    """Make a directory anew and put it in the place of the old one, which is removed.

    Args:
        workspace: the caller holds its lock.
        name: of the directory, right below the workspace.
        fill: writes the files of the new directory; also gets the old one, None if there is none. Directories in the
            old one come over by themselves; files do not.

    Raises:
        LabError: the disk refuses it; the old directory is in its place.
    """
    new = f"{_PREFIX}{secrets.token_hex(8)}"
    try:
        with open_inside(workspace.directory) as top:
            _sweep(top, name)
            try:
                with contextlib.ExitStack() as stack:
                    folder = stack.enter_context(top.inner(new, make=True))
                    old = stack.enter_context(top.inner(name)) if name in top.names() else None
                    fill(folder, old)
                    top.exchange(new, name) if old else top.rename(new, name)
                    if old:
                        old.move_directories(folder)
            finally:
                top.remove(new)
    except OSError as error:
        raise refused("write", workspace.directory / name, error) from error


def sweep(workspace: Workspace, name: str) -> None:
    """Remove what a killed :func:`replace_directory` left. The caller holds the workspace's lock.

    Raises:
        LabError: the disk refuses it.
    """
    try:
        with open_inside(workspace.directory) as top:
            _sweep(top, name)
    except OSError as error:
        raise refused("clean up", workspace.directory, error) from error


def _sweep(top: Folder, name: str) -> None:
    for left in (one for one in top.names() if one.startswith(_PREFIX)):
        with contextlib.suppress(FileNotFoundError), top.inner(left) as old, top.inner(name) as folder:
            old.move_directories(folder)
        top.remove(left)

"""Whose is it, and who else may change it? Asked of everything in a workspace before it is used.

Whoever prepared a lab knows its private keys, and its nginx.conf can load any code. So what is used belongs to the
user who runs the program, or to root, and nobody else may write it.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Collection
from pathlib import Path

from mtlslab.errors import NotOursError, SpecError
from mtlslab.plan.shell import shell_line
from mtlslab.runtime.owners import others_may_write
from mtlslab.runtime.sudo import sudo_user


def check_ours(info: os.stat_result, path: Path, *, also: Collection[int] = ()) -> None:
    """Refuse what belongs to somebody else, or what others may write.

    Args:
        info: of the opened file or directory.
        path: its absolute path, for the message.
        also: further uids that may own it.

    Raises:
        NotOursError: says whose it is, and what to type to use it all the same.
    """
    check_owner(info, path, also=also)
    if others_may_write(info):
        raise _open_to_others(info, path)


def check_owner(info: os.stat_result, path: Path, *, also: Collection[int] = ()) -> None:
    """Refuse what belongs to somebody else; see :func:`check_ours`."""
    # Root is no stranger: it can change everything anyway.
    if info.st_uid in (os.geteuid(), 0, *also):
        return
    sudo = "" if os.geteuid() == 0 else "sudo "
    take = shell_line(["chown", "-hR", str(os.geteuid()), path])
    raise NotOursError(
        f"{path} is not yours: it belongs to {user_name(info.st_uid)}.",
        why="whoever made a lab knows its private keys, and what stands in its nginx.conf runs as you",
        hint=f"Choose another directory with --dir. Or look at what is in it, then make it yours: {sudo}{take}",
    )


def check_key(info: os.stat_result, path: Path, *, also: Collection[int] = ()) -> None:
    """Refuse a private key that belongs to somebody else, or that others may read or write.

    Raises:
        NotOursError, SpecError: see :func:`check_ours`.
    """
    check_owner(info, path, also=also)
    mode = stat.S_IMODE(info.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        close = shell_line(["chmod", "600", path])
        raise SpecError(
            f"The private key {path} is open to others.",
            why=f"its mode is {mode:04o}, it must be 0600",
            hint=f"Close it: {close} (or issue new ones: mtlslab up --rotate-certs)",
        )


def check_links(path: Path) -> None:
    """Refuse a path with a link that somebody else put where others may write, such as into /tmp.

    The kernel follows none of these either, where ``fs.protected_symlinks`` is on, but whoever resolves a path by hand
    does.

    Raises:
        NotOursError: names the link.
    """
    user = sudo_user() if os.geteuid() == 0 else None
    for part in (*reversed(path.parents), path):
        try:
            link, above = part.lstat(), part.parent.stat()
        except (OSError, ValueError):  # there is nothing to follow
            return
        trusted = (os.geteuid(), 0, above.st_uid, *(user or ())[:1])
        if stat.S_ISLNK(link.st_mode) and others_may_write(above) and link.st_uid not in trusted:
            raise NotOursError(
                f"{part} is a link that is not yours: it belongs to {user_name(link.st_uid)}.",
                why=f"others may put links into {part.parent}, and lead you wherever they like",
                hint="Choose another directory with --dir.",
            )


def user_name(uid: int) -> str:
    """A user in words, such as ``mallory (uid 1001)``."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _open_to_others(info: os.stat_result, path: Path) -> NotOursError:
    mode = stat.S_IMODE(info.st_mode)
    who = "everybody" if mode & stat.S_IWOTH else "its group"
    close = shell_line(["chmod", *(["-R"] if stat.S_ISDIR(info.st_mode) else []), "go-w", path])
    hint = f"Look at what is in it, then close it: {close}"
    # Such as /tmp: meant for everybody. Or of somebody else, such as a disk that is mounted into a container.
    if info.st_mode & stat.S_ISVTX or os.geteuid() not in (0, info.st_uid):
        hint = "Choose a directory of your own: --dir DIRECTORY (one that is made below it will do)"
    return NotOursError(
        f"{path} is open to others: {who} may write there (mode {mode:04o}).",
        why="whoever puts a file of theirs into a lab has it run as you",
        hint=hint,
    )

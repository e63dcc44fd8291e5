"""Checks owner and mode of every file and directory of a workspace before it is used.

The creator of a lab knows its private keys, and its nginx.conf can load any code. So a file is used only if the user
who runs the program, or root, owns it, and no other user may write it.
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
    """Check that no other user owns or may write a file or directory.

    Args:
        info: stat of the opened file or directory.
        path: its absolute path, for the message.
        also: further uids that may own it.

    Raises:
        NotOursError: another user does; the error names the owner and the command that changes it.
    """
    check_owner(info, path, also=also)
    if others_may_write(info):
        raise _open_to_others(info, path)


def check_owner(info: os.stat_result, path: Path, *, also: Collection[int] = ()) -> None:
    """Check that no other user owns a file or directory; arguments and errors as for :func:`check_ours`."""
    # Root may own it: root can change everything anyway.
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
    """Check a private key; arguments as for :func:`check_ours`.

    Raises:
        NotOursError: another user owns it.
        SpecError: users other than its owner have rights on it.
    """
    check_owner(info, path, also=also)
    mode = stat.S_IMODE(info.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        close = shell_line(["chmod", "600", path])
        raise SpecError(
            f"The private key {path} is open to others.",
            why=f"its mode is {mode:04o}, it must be 0600",
            hint=f"Close it: {close} (or new ones: mtlslab up --rotate-certs; of your own: mtlslab certs import)",
        )


def check_links(path: Path) -> None:
    """Check that no part of a path is another user's symbolic link in a directory that others may write, such as /tmp.

    With ``fs.protected_symlinks`` the Linux kernel refuses such links, but ``Path.resolve`` follows them.

    Args:
        path: absolute path, not resolved.

    Raises:
        NotOursError: there is such a link; the error names it.
    """
    user = sudo_user() if os.geteuid() == 0 else None
    for part in (*reversed(path.parents), path):
        try:
            link, above = part.lstat(), part.parent.stat()
        except (OSError, ValueError):  # the rest of the path does not exist
            return
        trusted = (os.geteuid(), 0, above.st_uid, *(user or ())[:1])
        if stat.S_ISLNK(link.st_mode) and others_may_write(above) and link.st_uid not in trusted:
            raise NotOursError(
                f"{part} is a link that is not yours: it belongs to {user_name(link.st_uid)}.",
                why=f"others may put links into {part.parent}, and lead you wherever they like",
                hint="Choose another directory with --dir.",
            )


def user_name(uid: int) -> str:
    """A user for messages, such as ``mallory (uid 1001)``."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _open_to_others(info: os.stat_result, path: Path) -> NotOursError:
    mode = stat.S_IMODE(info.st_mode)
    who = "everybody" if mode & stat.S_IWOTH else "its group"
    close = shell_line(["chmod", *(["-R"] if stat.S_ISDIR(info.st_mode) else []), "go-w", path])
    hint = f"Look at what is in it, then close it: {close}"
    # A directory such as /tmp is meant for everybody. Another user's, such as a volume of a container, we cannot chmod.
    if info.st_mode & stat.S_ISVTX or os.geteuid() not in (0, info.st_uid):
        hint = "Choose a directory of your own: --dir DIRECTORY (one that is made below it will do)"
    return NotOursError(
        f"{path} is open to others: {who} may write there (mode {mode:04o}).",
        why="whoever puts a file of theirs into a lab has it run as you",
        hint=hint,
    )

"""Which users may write to a file or directory, by its owner, group and mode."""

from __future__ import annotations

import functools
import os
import stat

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def others_may_write(info: os.stat_result) -> bool:
    """Whether the mode lets users write who are neither the owner nor the current user."""
    if info.st_mode & stat.S_IWOTH:
        return True
    return bool(info.st_mode & stat.S_IWGRP) and not _is_our_private_group(info.st_gid)


@functools.cache
def _is_our_private_group(gid: int) -> bool:
    """Whether a group is the user private group of the current user, as distributions with the umask 002 create it.

    It has the user's name, is the user's primary group, and has no other member. The group of root is never private:
    system users may be in it.
    """
    import grp
    import pwd

    uid = os.geteuid()
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    if uid == 0 or user.pw_gid != gid or group.gr_name != user.pw_name or set(group.gr_mem) - {user.pw_name}:
        return False
    return all(other.pw_uid == uid for other in pwd.getpwall() if other.pw_gid == gid)

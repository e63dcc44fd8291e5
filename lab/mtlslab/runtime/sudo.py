"""The user behind root: the one who typed ``sudo`` (SUDO_UID, SUDO_GID), and the uid to use when there is none."""

from __future__ import annotations

import os

# Uid and gid of "nonroot" in the widely used minimal images; no distribution assigns it to a user. When root creates a
# lab, its containers run as this user, and the server's key belongs to it.
UNPRIVILEGED_ID = 65532
_LARGEST_ID = 2**32 - 2  # chown(2): 2**32 - 1 (-1) means "do not change"


def sudo_user() -> tuple[int, int] | None:
    """Uid and gid of the user who became root with ``sudo``; None without ``sudo``, or when root typed it."""
    uid, gid = _identifier("SUDO_UID"), _identifier("SUDO_GID")
    return (uid, gid) if uid and gid else None


def group_of(uid: int) -> int:
    """The gid for a file that is given to ``uid``: SUDO_GID if ``uid`` is SUDO_UID, else the same number as ``uid``."""
    user = sudo_user()
    return user[1] if user and user[0] == uid else uid


def _identifier(variable: str) -> int:
    """A uid or gid from an environment variable; 0 when the variable is not set or is not a valid id."""
    text = os.environ.get(variable, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_ID)) else 0
    return number if number <= _LARGEST_ID else 0

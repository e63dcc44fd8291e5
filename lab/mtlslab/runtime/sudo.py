"""For whom root acts: the user who typed ``sudo``, as SUDO_UID and SUDO_GID tell, else one without rights."""

from __future__ import annotations

import os

# "nonroot" of the widely used minimal images: a uid that no distribution hands out. Containers of a lab that root made
# run as this user, and the server's key belongs to it.
UNPRIVILEGED_ID = 65532
_LARGEST_ID = 2**32 - 2  # the one above means "leave it as it is"


def sudo_user() -> tuple[int, int] | None:
    """Uid and gid of the user who became root with ``sudo``; None when there is none, or when it is root itself."""
    uid, gid = _identifier("SUDO_UID"), _identifier("SUDO_GID")
    return (uid, gid) if uid and gid else None


def group_of(uid: int) -> int:
    """The gid that goes with a uid which is given a file: that of the user of ``sudo``, else the same number."""
    user = sudo_user()
    return user[1] if user and user[0] == uid else uid


def _identifier(variable: str) -> int:
    """A uid or gid from the environment; 0 when there is none, or what is there is none."""
    text = os.environ.get(variable, "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_ID)) else 0
    return number if number <= _LARGEST_ID else 0

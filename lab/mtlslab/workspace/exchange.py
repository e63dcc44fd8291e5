"""Lets two entries of a directory change their names in one step, which Python has no function for."""

from __future__ import annotations

import ctypes
import os
import secrets
import sys

# renameat2(2) of Linux with RENAME_EXCHANGE; renameatx_np(2) of macOS with RENAME_SWAP.
_FUNCTIONS = {"linux": "renameat2", "darwin": "renameatx_np"}
_AT_ONCE = 2


def exchange(directory: int, one: str, other: str) -> None:
    """Let two entries of an open directory change their names; where the system cannot do both at once, in two steps.

    Args:
        directory: its descriptor.
        one: name of an entry.
        other: name of another one.

    Raises:
        OSError: one cannot be renamed; then both have their old names.
    """
    function = getattr(ctypes.CDLL(None), _FUNCTIONS.get(sys.platform, "-"), None)
    if function and not function(directory, os.fsencode(one), directory, os.fsencode(other), _AT_ONCE):
        return
    between = f"{other}.old-{secrets.token_hex(4)}"  # whoever is killed now leaves it under this name
    os.rename(other, between, src_dir_fd=directory, dst_dir_fd=directory)
    try:
        os.rename(one, other, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.rename(between, other, src_dir_fd=directory, dst_dir_fd=directory)
        raise
    os.rename(between, one, src_dir_fd=directory, dst_dir_fd=directory)

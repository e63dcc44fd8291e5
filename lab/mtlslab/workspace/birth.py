"""Birth time of a file. No user can set it, and a change of owner, mode or name does not change it."""

from __future__ import annotations

import ctypes
import os
import struct

_BIRTH = 0x800  # STATX_BTIME
_NO_FOLLOW = 0x100  # AT_SYMLINK_NOFOLLOW
_SIZE = 256  # bytes of a struct statx
_MASK, _SECONDS = struct.Struct("=I"), struct.Struct("=qI")
_BIRTH_OFFSET = 80  # of stx_btime, see statx(2)


def moment_of_birth(name: str, directory: int) -> int | None:
    """Birth time of a file, in nanoseconds since 1970; None if the system or the file system does not report one.

    Calls statx(2) of the C library: Python before 3.15 has no wrapper for it on Linux.

    Args:
        name: of the file, without a path; a symbolic link is not followed.
        directory: descriptor of its directory.
    """
    buffer = ctypes.create_string_buffer(_SIZE)
    try:
        failed = ctypes.CDLL(None).statx(directory, os.fsencode(name), _NO_FOLLOW, _BIRTH, buffer)
    except (OSError, AttributeError):  # another system, or a C library without statx
        return None
    if failed or not _MASK.unpack_from(buffer)[0] & _BIRTH:
        return None
    seconds, nanoseconds = _SECONDS.unpack_from(buffer, _BIRTH_OFFSET)
    return int(seconds) * 10**9 + int(nanoseconds)

"""When a file was made: a moment that nobody can set, and that no later change of owner, mode or name moves."""

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
    """When a file in an open directory was made, in ns since 1970; None where the system or the disk does not tell.

    Python has this of Linux from 3.15 on.
    """
    buffer = ctypes.create_string_buffer(_SIZE)
    try:
        failed = ctypes.CDLL(None).statx(directory, os.fsencode(name), _NO_FOLLOW, _BIRTH, buffer)
    except (OSError, AttributeError):  # another system, or a C library without it
        return None
    if failed or not _MASK.unpack_from(buffer)[0] & _BIRTH:
        return None
    seconds, nanoseconds = _SECONDS.unpack_from(buffer, _BIRTH_OFFSET)
    return int(seconds) * 10**9 + int(nanoseconds)

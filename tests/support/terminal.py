"""The reading end of a pseudo-terminal."""

from __future__ import annotations

import contextlib
import os


def everything_from(screen: int) -> bytes:
    """What a terminal is sent until nothing is open at its other end."""
    shown = b""
    with contextlib.suppress(OSError):  # EIO on Linux: the last program has left the terminal
        while block := os.read(screen, 65536):
            shown += block
    return shown

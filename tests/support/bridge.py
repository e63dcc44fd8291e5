"""A network bridge for a Docker Engine of a test's own.

With docker0, or with none, such an engine would disturb that of the machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import uuid
from collections.abc import Iterator


@contextlib.contextmanager
def own_bridge() -> Iterator[str]:
    """A network bridge for as long as it is needed, made with the calls of linux/sockios.h."""
    add, remove, set_flags = 0x89A0, 0x89A1, 0x8914  # SIOCBRADDBR, SIOCBRDELBR, SIOCSIFFLAGS
    name = f"mtls{uuid.uuid4().hex[:8]}"
    with socket.socket() as control:
        fcntl.ioctl(control, add, name.encode() + b"\0")
        try:
            yield name
        finally:
            fcntl.ioctl(control, set_flags, struct.pack("16sh14x", name.encode(), 0))  # down
            fcntl.ioctl(control, remove, name.encode() + b"\0")

"""Go's net/http: its five ways to ask, and callbacks that replace what it would check."""

from __future__ import annotations

import subprocess

from tests.servers.launch import PROGRAMS, program
from tests.servers.model import Cell, Place, Truth


def _build(place: Place) -> None:
    """Half a second, once the compiler has seen the same program."""
    command = ["go", "build", "-o", str(place.directory / "server"), str(PROGRAMS / "server.go")]
    subprocess.run(command, check=True, capture_output=True, timeout=300, cwd=place.directory)


_MODES = {
    "none": Truth.NONE,
    "request": Truth.REQUESTED,
    "any": Truth.ANY,
    "given": Truth.REQUESTED,
    "required": Truth.REQUIRED,
    "required-http1": Truth.REQUIRED,
    "callback-name": Truth.NAME,
    "callback-any-purpose": Truth.HOLES,
    "handler-name": Truth.NAME,
}
CELLS = [
    Cell(
        "Go net/http",
        mode,
        truth,
        program("@DIR@/server", mode, "@PORT@", "@CERTS@", prepare=_build),
        needs=("go",),
        hidden=mode == "callback-name",
    )
    for mode, truth in _MODES.items()
]

"""Java's own HttpsServer and Jetty, with the platform's trust and with what developers write instead of it."""

from __future__ import annotations

import subprocess

from tests.servers.launch import PROGRAMS, program
from tests.servers.model import Cell, Place, Truth

_JETTY = ":".join(
    f"/usr/share/java/{name}.jar" for name in ("jetty9-server", "jetty9-util", "jetty9-http", "jetty9-io")
)
_CLASSES = f"{_JETTY}:/usr/share/java/servlet-api.jar"
_MODES = {
    "none": Truth.NONE,
    "want": Truth.REQUESTED,
    "need": Truth.REQUIRED,
    "trusting": Truth.ANY,
    "name": Truth.NAME,
}


def _build(place: Place, *names: str) -> None:
    command = ["javac", "-d", str(place.directory), "-cp", _CLASSES, *(str(PROGRAMS / name) for name in names)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def _build_own(place: Place) -> None:
    _build(place, "Server.java")


def _build_jetty(place: Place) -> None:
    _build(place, "Server.java", "Jetty.java")


def _run(main: str) -> tuple[str, ...]:
    return ("java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", f"@DIR@:{_CLASSES}", main)


CELLS = [
    *(
        Cell(
            "Java HttpsServer",
            mode,
            truth,
            program(*_run("Server"), mode, "@PORT@", "@CERTS@", prepare=_build_own),
            needs=("java", "javac"),
            hidden=truth is Truth.NAME,
        )
        for mode, truth in _MODES.items()
    ),
    *(
        Cell(
            "Jetty",
            mode,
            truth,
            program(*_run("Jetty"), mode, "@PORT@", "@CERTS@", prepare=_build_jetty),
            needs=("java", "javac", "/usr/share/java/jetty9-server.jar"),
            hidden=truth is Truth.NAME,
        )
        for mode, truth in _MODES.items()
    ),
]

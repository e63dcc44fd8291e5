"""Records what a terminal of 80 columns shows, from real runs.

``python -m tests.support.screens`` writes ``docs/screens.cast``, which can be played (asciinema, version 2), and
``docs/screens.md``, which shows the same as text.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import pty
import re
import secrets
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.cli import ROOT, command, environment, mtlslab
from tests.support.projector import COLUMNS, LINES, plain

TEXT, CAST = ROOT / "docs/screens.md", ROOT / "docs/screens.cast"
NAME = "mtls-lab"
UP = ("up", "--runtime", "embedded", "--tls-port", "0", "--mtls-port", "0")
_PASSING = re.compile(r"\r[^\n\r]*\x1b\[K|\r\x1b\[K")
_SECONDS = 60
_INTRODUCTION = f"""# Screens

What a terminal of {COLUMNS} columns and {LINES} lines shows, recorded from real runs by
`python -m tests.support.screens`. The recording itself: `asciinema play docs/screens.cast`.
"""


@dataclasses.dataclass(frozen=True)
class Scene:
    """One command on the terminal: what was typed, and what was shown when (seconds from its beginning)."""

    title: str
    typed: str
    shown: tuple[tuple[float, str], ...]

    @property
    def text(self) -> str:
        """All that was shown, without the progress lines that replace each other."""
        return _PASSING.sub("", "".join(data for _, data in self.shown).replace("\r\n", "\n"))


def record(place: Path) -> Iterator[Scene]:
    """Start a lab in an empty directory, and show it in order, its log, and broken."""
    yield _scene("The help", ("--help",), place)
    name = f"t-{secrets.token_hex(3)}"  # as long as the usual one, and nobody else's
    up = mtlslab(*UP, "--name", name, cwd=place)
    assert up.code == 0, up.err
    lab = place / name
    try:
        page = f"https://localhost:{_spec(lab)['mtls_port']}/hello-world.txt"
        _curl(lab, page)
        _curl(lab, page, "--cert", "certs/client.crt", "--key", "certs/client.key")
        _curl(lab, f"{page}x", "--cert", "certs/client.crt", "--key", "certs/client.key")
        yield _scene("The log of the mTLS service, followed", ("logs", "-f", "nginx-mtls"), lab, until=r" 404 SUCCESS ")
        yield _scene("A lab in order", ("verify",), lab)
        conf = lab / "nginx-mtls/nginx.conf"
        conf.write_text(conf.read_text().replace("ssl_verify_client on;", "ssl_verify_client optional;"))
        assert mtlslab("reload", cwd=lab).code == 0
        yield _scene("The same with `ssl_verify_client optional;`", ("verify",), lab)
    finally:
        mtlslab("down", "--purge", "--dir", lab, cwd=place)


def settled(scene: Scene, instead: dict[str, str]) -> str:
    """The text of a scene as every machine shows it: the usual ports, one time of day, no seconds."""
    text = "\n".join(plain(scene.text))
    for recorded, shown in instead.items():
        text = text.replace(recorded, shown)
    return re.sub(r"\b\d\d:\d\d:\d\d\b", "00:37:16", text)


def usual(scenes: Sequence[Scene]) -> dict[str, str]:
    """Port and name of the recorded lab -> those that a lab usually has."""
    text = "".join(scene.text for scene in scenes)
    ports = dict.fromkeys(re.findall(r"localhost:(\d+)", text), "8889")
    return ports | dict.fromkeys(re.findall(r"\bt-[0-9a-f]{6}\b", text), NAME)


def as_text(scenes: Sequence[Scene]) -> str:
    """The page for docs/."""
    instead = usual(scenes)
    parts = [_INTRODUCTION]
    for scene in scenes:
        shown = "\n".join(f"    {line}".rstrip() for line in settled(scene, instead).split("\n"))
        parts.append(f"## {scene.title}\n\n    $ {scene.typed}\n{shown}\n")
    return "\n".join(parts)


def as_cast(scenes: Sequence[Scene]) -> str:
    """The recording: a header, and a line for each moment at which something was shown."""
    instead, clock = usual(scenes), 0.0
    lines = [json.dumps({"version": 2, "width": COLUMNS, "height": LINES, "title": "mtlslab"})]
    for scene in scenes:
        lines.append(json.dumps([round(clock, 3), "o", f"$ {scene.typed}\r\n"]))
        for when, data in scene.shown:
            for recorded, told in instead.items():
                data = data.replace(recorded, told)  # noqa: PLW2901  the same text, with the usual port
            lines.append(json.dumps([round(clock + when, 3), "o", data]))
        clock += (scene.shown[-1][0] if scene.shown else 0.0) + 3.0
    return "\n".join(lines) + "\n"


def _scene(title: str, words: tuple[str, ...], cwd: Path, *, until: str = "") -> Scene:
    """Run a command; with ``until``, interrupt it (Ctrl-C) when that was shown."""
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    env = environment(TERM="xterm-256color", LANG="C.UTF-8", TZ="UTC", COLUMNS="", NO_COLOR="")
    running = subprocess.Popen(command(*words), cwd=cwd, env=env, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown, begin = list[tuple[float, str]](), time.monotonic()
    for data in _read(screen):
        shown.append((time.monotonic() - begin, data))
        if until and re.search(until, "".join(text for _, text in shown)):
            running.send_signal(signal.SIGINT)
            until = ""
    os.close(screen)
    running.wait(_SECONDS)
    return Scene(title, " ".join(("mtlslab", *words)), tuple(shown))


def _read(screen: int) -> Iterator[str]:
    """What a terminal is sent, piece by piece, until nothing is open at its other end."""
    kept = b""
    while select.select([screen], [], [], _SECONDS)[0]:
        try:
            piece = os.read(screen, 65536)
        except OSError:  # the terminal has no other end any more
            return
        if not piece:
            return
        kept += piece
        text = kept.decode(errors="ignore")
        if text.encode() == kept:  # no character is cut in two
            yield text.replace("python -m mtlslab", "mtlslab")  # as it is installed
            kept = b""


def _curl(lab: Path, *words: str) -> None:
    subprocess.run(["curl", "-s", "--cacert", "certs/server-ca.crt", *words], cwd=lab, check=True, capture_output=True)


def _spec(lab: Path) -> dict[str, int]:
    spec: dict[str, int] = json.loads((lab / "lab.json").read_text())["spec"]
    return spec


def main() -> None:
    """Write both files."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["XDG_STATE_HOME"] = f"{place}/state"
        scenes = list(record(Path(place)))
    TEXT.write_text(as_text(scenes))
    CAST.write_text(as_cast(scenes))


if __name__ == "__main__":
    main()

"""A lab as a newcomer has it, and a shell in its directory, where commands are typed as they are printed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.support.cli import SOURCE, Run, environment, mtlslab

UP = ("up", "--runtime", "embedded", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")


@dataclasses.dataclass(frozen=True)
class NewcomersLab:
    """A running lab, and where the program is found by its name."""

    directory: Path
    programs: Path
    tls_port: int
    mtls_port: int

    def type(self, line: str, **more: str) -> Run:
        """Type a line into a shell that stands in the lab's directory; default ports in it become the lab's."""
        usual = {key: value for key, value in environment().items() if not key.lower().endswith("_proxy")}
        path = os.pathsep.join([str(self.programs), os.environ["PATH"]])
        done = subprocess.run(
            ["sh", "-c", self.with_ports(line)],
            cwd=self.directory,
            env={**usual, "PATH": path, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def with_ports(self, text: str) -> str:
        """The text with the lab's ports in place of the default ones."""
        text = re.sub(r"\b8888\b", str(self.tls_port), text)
        return re.sub(r"\b8889\b", str(self.mtls_port), text)


def stand_in(directory: Path) -> Path:
    """A directory for PATH that holds `mtlslab`, the program of this checkout."""
    directory.mkdir()
    program = directory / "mtlslab"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(SOURCE))} exec {shlex.quote(sys.executable)} -m mtlslab "$@"\n'
    )
    program.chmod(0o755)
    return directory


@contextlib.contextmanager
def newcomers_lab(place: Path) -> Iterator[NewcomersLab]:
    """Start a lab below a directory; it is gone at the end."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    try:
        up = mtlslab(*UP, "--name", name, cwd=place)
        assert up.code == 0, up.err
        ports = [int(port) for port in re.findall(r"https://localhost:(\d+)/hello-world.txt$", up.out, re.MULTILINE)]
        yield NewcomersLab(place / name, stand_in(place / "bin"), *ports[:2])
    finally:
        mtlslab("down", "--name", name, cwd=place)

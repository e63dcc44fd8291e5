"""Runs the program as a user does: another process, its own directory, both streams and the exit status kept apart."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Where the package is found; no other package of the checkout lies there.
SOURCE = ROOT / "lab"


@dataclasses.dataclass(frozen=True)
class Run:
    """What a finished command left: exit status and both streams."""

    code: int
    out: str
    err: str


def command(*arguments: str | Path) -> list[str]:
    """The argument list of a command of the program under test."""
    return [sys.executable, "-m", "mtlslab", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """The environment with this checkout in front of everything that is installed."""
    return {**os.environ, "PYTHONPATH": str(SOURCE), **more}


def mtlslab(*arguments: str | Path, cwd: Path, **more: str) -> Run:
    """Run a command to its end."""
    done = finished(command(*arguments), cwd=cwd, env=environment(**more))
    assert "Traceback" not in done.err, done.err
    return done


def python(program: str, *words: str, cwd: Path, seconds: int = 120, **more: str) -> Run:
    """Run the text of a Python program to its end, such as one that watches what a command does."""
    return finished([sys.executable, "-c", program, *words], cwd=cwd, env=environment(**more), seconds=seconds)


def finished(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], seconds: int = 120, text: str | None = None
) -> Run:
    """Run any program to its end, which comes within so many seconds; ``text`` is what it reads from stdin."""
    done = subprocess.run(
        arguments, cwd=cwd, env=env, capture_output=True, text=True, timeout=seconds, check=False, input=text
    )
    return Run(done.returncode, done.stdout, done.stderr)

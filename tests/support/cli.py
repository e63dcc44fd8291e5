"""Runs the program as a user does: another process, its own directory, both streams and the exit status kept apart."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
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
    done = subprocess.run(
        command(*arguments), cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Run(done.returncode, done.stdout, done.stderr)

"""Measuring: processes by the clock on the wall, two sides in turns, medians."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 600  # seconds for one process

Side = Callable[[], float]
"""Does the work of one side once, and returns the seconds that count; what it makes and removes around it does not."""


class NotMeasuredError(Exception):
    """A figure cannot be had on this machine; says why."""


@dataclasses.dataclass(frozen=True)
class Samples:
    """Seconds of each run of both sides, in the order in which they were made."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def our_median(self) -> float:
        """Median of our side in seconds."""
        return statistics.median(self.ours)

    @property
    def their_median(self) -> float:
        """Median of the other side in seconds."""
        return statistics.median(self.theirs)

    @property
    def ratio(self) -> float:
        """Our median divided by theirs."""
        return self.our_median / self.their_median


def alternate(ours: Side, theirs: Side, runs: int) -> Samples:
    """Run both sides in turns, so that whatever else the machine does meets both alike."""
    pairs = [(ours(), theirs()) for _ in range(runs)]
    return Samples(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))


def seconds_of(command: Sequence[str | Path], *, cwd: Path | None = None) -> float:
    """How long a command takes from start to end.

    Raises:
        NotMeasuredError: it is not there, takes too long, or fails; with its last words.
    """
    begin = time.perf_counter()
    run(command, cwd=cwd)
    return time.perf_counter() - begin


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    data: bytes | None = None,
    variables: Mapping[str, str] | None = None,
) -> str:
    """Run a command to its end and return what it wrote to stdout.

    Args:
        command: program and arguments.
        cwd: where.
        data: what it reads from stdin; nothing without.
        variables: added to its environment.

    Raises:
        NotMeasuredError: it is not there, takes too long, or fails; with its last words.
    """
    try:
        done = subprocess.run(
            list(map(str, command)),
            cwd=cwd,
            env=environment(variables or {}),
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        words = (error.stderr or error.stdout).decode(errors="replace").strip().splitlines()[-3:]
        raise NotMeasuredError(f"{command[0]} ended with {error.returncode}: {' / '.join(words)}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotMeasuredError(str(error)) from error
    return done.stdout.decode(errors="replace")


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of both sides: no setting of the person who measures, and this checkout before any other."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MTLSLAB_", "COMPOSE_"))}
    return {**kept, "PYTHONPATH": str(ROOT / "lab"), **variables}


def mtlslab(*arguments: str | Path) -> list[str]:
    """The command line of our side: the installed program if there is one beside this Python."""
    script = Path(sys.executable).with_name("mtlslab")
    start = [str(script)] if script.exists() else [sys.executable, "-m", "mtlslab"]
    return [*start, *map(str, arguments)]


def machine() -> list[str]:
    """What this was measured on, in lines: processor, memory, system, versions, load."""
    engine = _version("docker", "version", "--format", "{{.Server.Version}}")
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return [
        f"{os.cpu_count()} x {_processor()}, {_memory()}, {platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, {_version('openssl', 'version')}, {_version('curl', '--version')}",
        f"Docker Engine {engine}, Compose {_version('docker', 'compose', 'version', '--short')}",
        f"load (1, 5, 15 minutes) when it began: {load}",
    ]


def _version(*command: str) -> str:
    try:
        words = run(command).split()
    except NotMeasuredError:
        return f"{command[0]}: none"
    return " ".join(words[:2])


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (OSError, ValueError):
        return "memory unknown"

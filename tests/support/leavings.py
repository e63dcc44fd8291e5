"""What a program that was killed has left: searched for without the code under test."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.support.cli import Run, command, environment

PATIENCE = 60
SECRETS = (b"PRIVATE KEY-----", b"CLIENT_RANDOM ", b"_TRAFFIC_SECRET_0 ")


def secrets_in(place: Path) -> list[Path]:
    """Files anywhere below a directory that hold a private key or the secrets of a TLS session."""
    found = []
    for directory, _, files in os.walk(place):
        for path in (Path(directory, name) for name in files):
            with contextlib.suppress(FileNotFoundError):
                if any(word in path.read_bytes() for word in SECRETS):
                    found.append(path)
    return found


def twin_masters(lab: Path) -> list[psutil.Process]:
    """The master processes of nginx that were started from below ``twins/`` of a lab's directory."""
    return list(_masters(f" -p {lab}/twins/"))


def _masters(words: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            title = " ".join(process.cmdline())
            if words in title and "MTLSLAB_LAB=twin-" in title:
                yield process


def wait_for(condition: Callable[[], object]) -> None:
    """Return when the condition holds; fail after a minute."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)


def remove_under_use(place: Path) -> None:
    """Remove a directory in which a process may just make files: it is emptied until it can go."""

    def gone() -> bool:
        shutil.rmtree(place, ignore_errors=True)
        return not place.exists()

    wait_for(gone)


def start(*arguments: str | Path, cwd: Path, **more: str) -> subprocess.Popen[str]:
    """Start a command; the caller ends it."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(*arguments), cwd=cwd, env=environment(**more), text=True, **streams)  # type: ignore[call-overload,no-any-return]


def ended(process: subprocess.Popen[str]) -> Run:
    """Wait for a command's end."""
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return Run(process.returncode, out, err)

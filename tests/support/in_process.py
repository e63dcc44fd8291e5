"""Runs the program inside the test's own process, for tests that run it hundreds of times."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtlslab.cli.main import app
from mtlslab.errors import ExitCode
from mtlslab.lifecycle.interrupts import SIGNALS
from typer.testing import CliRunner

from tests.support.cli import Run

# No engine answers there: what is tested is not asked of one.
NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
SECONDS = 60
CODES = {int(code) for code in ExitCode}


def invoke(*arguments: str | Path, **more: str) -> Run:
    """Run a command to its end; fails where it ends with a traceback, as a bug, or not within a minute."""
    with _limited(), _signals_kept():
        result = CliRunner().invoke(app, [str(item) for item in arguments], env={**NO_ENGINE, **more})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"{arguments} ended with {result.exception!r}") from result.exception
    assert result.exit_code in CODES, f"{arguments}: exit {result.exit_code}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    return Run(result.exit_code, result.stdout, result.stderr)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """A command that waits forever (for the other end of a FIFO, say) fails instead."""

    def too_long(*_: Any) -> None:
        raise AssertionError(f"it did not end within {SECONDS} seconds")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)

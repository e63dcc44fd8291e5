"""Turns every signal that ends the program into KeyboardInterrupt, as Ctrl-C does, so that clean-up code runs."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,  # the terminal was closed, or the connection to it was lost
    # By default SIGQUIT and SIGXCPU write a core dump, which may contain a private key.
    signal.SIGQUIT,
    signal.SIGXCPU,
    # Job schedulers send one of these as a warning before SIGKILL.
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# Longer than any clean-up takes, unless something hangs.
PATIENCE = 15.0  # seconds


class _State:
    """The interrupts of this process so far."""

    first: float | None = None  # time.monotonic() of the last interrupt that was not ignored
    depth: int = 0  # number of nested undisturbed() blocks
    waiting: bool = False  # whether an interrupt is raised at the end of the outermost block


def listen() -> None:
    """Have SIGNALS raise KeyboardInterrupt in the main thread, except those that are ignored at the start (nohup).

    One request to end often comes as several signals: a closed terminal sends SIGHUP, and so does its shell; users
    press Ctrl-C twice. So further signals are ignored for 15 seconds, which is enough for the clean-up. A signal after
    that interrupts again: the clean-up hangs, or some code has caught the first KeyboardInterrupt.
    """
    _State.first, _State.depth, _State.waiting = None, 0, False
    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _interrupt)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Run a clean-up block to its end: an interrupt that arrives inside the block is raised after it.

    Raises:
        KeyboardInterrupt: at the end of the outermost block.
    """
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main thread only
        yield
        return
    _State.depth += 1
    try:
        yield
    finally:
        _State.depth -= 1
        if _State.waiting and not _State.depth:
            _State.waiting = False
            raise KeyboardInterrupt


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of ``workers`` threads. If the block fails or is interrupted, tasks that have not begun are cancelled."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _interrupt(_signum: int, _frame: object) -> None:
    now, before = time.monotonic(), _State.first
    if before is not None and now - before < PATIENCE:
        return
    _State.first = now
    if _State.depth and before is None:
        _State.waiting = True
        return
    raise KeyboardInterrupt

"""The signals that end the program: all of them take the way out of Ctrl-C, so that what was begun is cleaned up."""

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
    signal.SIGHUP,  # the terminal was closed, the connection to it was lost
    # By default these two leave a core dump, and a private key may be in it.
    signal.SIGQUIT,
    signal.SIGXCPU,
    # A job scheduler's warning before SIGKILL.
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# Nobody's clean-up takes longer, unless something hangs.
PATIENCE = 15.0  # seconds


class _State:
    """What this process has been told so far."""

    first: float | None = None  # when the last interrupt that counted came (monotonic clock)
    depth: int = 0  # how many blocks are not to be disturbed
    waiting: bool = False  # whether an interrupt waits for the end of them


def listen() -> None:
    """Have the signals raise KeyboardInterrupt in the main thread, except those that were ignored at the start (nohup).

    One wish to end often comes as several signals: a closed terminal sends SIGHUP, and so does its shell; people press
    Ctrl-C twice. So more signals change nothing for 15 seconds, which is enough to clean up. After that another one
    interrupts again: the clean-up hangs, or something has swallowed the first one.
    """
    _State.first, _State.depth, _State.waiting = None, 0, False
    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _interrupt)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """A block for cleaning up: an interrupt that comes in it is raised at its end.

    Raises:
        KeyboardInterrupt: at the end of the outermost block.
    """
    if threading.current_thread() is not threading.main_thread():  # no other thread is ever interrupted
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
    """Threads for a block of work. Where it is interrupted or fails, what has not begun is dropped, not done first."""
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

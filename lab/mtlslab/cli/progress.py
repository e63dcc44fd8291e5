"""Shows the progress of a long task, on a terminal only."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from mtlslab.cli.terminal import clear_passing, is_watched, show_passing

_REDRAW_SECONDS = 0.1
_ESTIMATE_AFTER = 1.0  # seconds


@contextlib.contextmanager
def counting(done: str) -> Iterator[Callable[[int, int], None]]:
    """Yield progress(number, of), which shows "DONE 120 of 1000" on stderr; the line is removed at the end.

    Where it takes longer, the line says how long it will, too.
    """
    if not is_watched():
        yield lambda _number, _of: None
        return
    begin = time.monotonic()
    due = begin + _REDRAW_SECONDS

    def show(number: int, of: int) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due or not number:
            show_passing(f"{done} {number} of {of}{_left(now - begin, number, of)}")
            due = now + _REDRAW_SECONDS

    try:
        yield show
    finally:
        clear_passing()


def _left(seconds: float, number: int, of: int) -> str:
    """How long it will take, once that can be told and is worth telling."""
    if not number or seconds < _ESTIMATE_AFTER:
        return ""
    return f", about {max(1, round(seconds / number * (of - number)))} s left"

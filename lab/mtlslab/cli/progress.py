"""Shows the progress of a long task, on a terminal only."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from mtlslab.cli.terminal import clear_passing, is_watched, show_passing

_REDRAW_SECONDS = 0.1


@contextlib.contextmanager
def counting(done: str) -> Iterator[Callable[[int, int], None]]:
    """Yield progress(number, of), which shows "DONE 120 of 1000" on stderr; the line is removed at the end."""
    if not is_watched():
        yield lambda _number, _of: None
        return
    due = time.monotonic() + _REDRAW_SECONDS

    def show(number: int, of: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            show_passing(f"{done} {number} of {of}")
            due = time.monotonic() + _REDRAW_SECONDS

    try:
        yield show
    finally:
        clear_passing()

"""How far a long work has come, shown on a terminal only."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

_REDRAW_SECONDS = 0.1
_CLEAR_LINE = "\r\x1b[K"


@contextlib.contextmanager
def counting(done: str) -> Iterator[Callable[[int, int], None]]:
    """Show "DONE 120 of 1000" on stderr while the body tells how far it is; the line is gone when the body ends."""
    if not sys.stderr.isatty():
        yield lambda _number, _of: None
        return
    due = time.monotonic() + _REDRAW_SECONDS

    def show(number: int, of: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            sys.stderr.write(f"\r{done} {number} of {of}")
            sys.stderr.flush()
            due = time.monotonic() + _REDRAW_SECONDS

    try:
        yield show
    finally:
        sys.stderr.write(_CLEAR_LINE)

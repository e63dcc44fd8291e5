"""Who wants to know how an audit gets on."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Watch:
    """Is told how an audit gets on; this one does nothing."""

    def surveyed(self) -> None:
        """An address was asked for each TLS version; everything else comes now. Called in the audit's own thread."""

    def planned(self, attempts: int) -> None:
        """About so many attempts more will be made."""

    def tried(self) -> None:
        """An attempt is over; called in any thread."""


class Count(Watch):
    """Counts the attempts.

    Args:
        progress: is told how many are over, of about how many.
    """

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._tried = self._planned = 0

    def planned(self, attempts: int) -> None:
        """See the base class."""
        with self._lock:
            self._planned += attempts
            self._tell()

    def tried(self) -> None:
        """See the base class."""
        with self._lock:
            self._tried += 1
            self._tell()

    def _tell(self) -> None:
        self._progress(self._tried, max(self._planned, self._tried))

"""Lets many audits share a machine: whoever takes longest goes first, so that the others are done meanwhile.

How long a server takes is known after its survey. So all surveys are begun first, and what follows is for the slowest
of those that have been surveyed. Few go on at a time: where too many do, good servers seem to answer too late.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator

from mtlslab.audit.watch import Watch

SURVEYS = 32  # at a time
AUDITS = 12  # that go on at a time


class BrokenOffError(Exception):
    """The audits were broken off while one waited for its turn; nobody is told."""


class Turns:
    """The turns of many audits, each in a thread of its own."""

    def __init__(self, surveys: int = SURVEYS, audits: int = AUDITS) -> None:
        self._changed = threading.Condition()
        self._surveys = surveys
        self._audits = audits
        self._waiting_for_survey = 0
        self._waiting: list[tuple[float, int]] = []
        self._numbers = itertools.count()
        self._stopped = False

    @contextlib.contextmanager
    def taken(self) -> Iterator[Watch]:
        """For the length of one audit: yields its watch, which waits for its turn after the survey.

        Raises:
            BrokenOffError: the audits were broken off; the watch raises it, too.
        """
        self._begin_survey()
        turn = _Turn(self._go_on)
        try:
            yield turn
        finally:
            with self._changed:
                if turn.goes_on:
                    self._audits += 1
                else:
                    self._surveys += 1
                self._changed.notify_all()

    def stop(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _begin_survey(self) -> None:
        with self._changed:
            self._waiting_for_survey += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._surveys > 0 or self._stopped)
            self._waiting_for_survey -= 1
            self._require_going()
            self._surveys -= 1
            self._changed.notify_all()

    def _go_on(self, seconds: float) -> None:
        """Give the room for a survey back, and wait until this audit is the slowest of those that wait."""
        me = (-seconds, next(self._numbers))
        with self._changed:
            self._surveys += 1
            heapq.heappush(self._waiting, me)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopped or self._is_next(me))
            self._audits -= 1
            if not self._stopped:
                heapq.heappop(self._waiting)
                self._changed.notify_all()
            self._require_going()

    def _is_next(self, me: tuple[float, int]) -> bool:
        return self._audits > 0 and not self._waiting_for_survey and self._waiting[0] == me

    def _require_going(self) -> None:
        if self._stopped:
            raise BrokenOffError


class _Turn(Watch):
    def __init__(self, go_on: Callable[[float], None]) -> None:
        self._go_on = go_on
        self._begin = time.monotonic()
        self.goes_on = False

    def surveyed(self) -> None:
        if not self.goes_on:  # a host with several addresses is surveyed several times
            self.goes_on = True
            self._go_on(time.monotonic() - self._begin)

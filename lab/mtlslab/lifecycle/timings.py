"""Where the time goes: named steps with their duration, for ``up --timings``."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator


@dataclasses.dataclass
class Timings:
    """Collects (step, seconds); steps may overlap, because some work is done side by side."""

    steps: list[tuple[str, float]] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the body of a ``with`` statement, also when it fails."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.steps.append((name, time.perf_counter() - begin))

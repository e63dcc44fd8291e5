"""Measures named steps, for ``up --timings``."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator


@dataclasses.dataclass
class Timings:
    """Collects pairs (step, seconds). Steps may overlap, because some run in parallel."""

    steps: list[tuple[str, float]] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the body of a ``with`` statement, also when it fails."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.steps.append((name, time.perf_counter() - begin))

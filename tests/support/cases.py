"""Cases that are alike and slow: a usual run takes some of them, `.ci/heavy` takes all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

Case = TypeVar("Case")

ALL_CASES = os.environ.get("MTLSLAB_ALL_CASES") == "1"


def some(cases: Iterable[Case], every: int) -> list[Case]:
    """The first of the cases, and then each after as many; all of them with MTLSLAB_ALL_CASES=1."""
    return list(cases)[:: 1 if ALL_CASES else every]

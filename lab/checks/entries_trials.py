"""Checks that take more than one attempt of the usual kind: each names its procedure in ``lab.trials``."""

from __future__ import annotations

from lab.checks.model import Check

ENTRIES: tuple[Check, ...] = ()

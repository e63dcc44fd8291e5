"""Procedures that show whether a check holds. Most checks need one attempt only: the trial ``probe``."""

from __future__ import annotations

from lab.checks.model import CRL_TRIAL, PROBE, Check
from lab.context import Probe, VerifyContext
from lab.probe import Attempt
from lab.trials.model import Trial, TrialResult
from lab.trials.revocation_list import look_at_list

__all__ = ["TRIALS", "Trial", "TrialResult"]


def probe_once(_context: VerifyContext, _check: Check, attempt: Attempt, probe: Probe) -> TrialResult:
    """The usual case: one attempt."""
    return TrialResult(attempt, probe(attempt))


TRIALS: dict[str, Trial] = {PROBE: probe_once, CRL_TRIAL: look_at_list}

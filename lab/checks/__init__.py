"""The checks: what must hold in a lab, and the verdict on what was observed."""

from lab.checks.catalogue import catalogue, families
from lab.checks.judge import ServerSaid, Verdict, judge, observed_mapping, outcome_of, short_answer
from lab.checks.model import Check, Expectation, Outcome, Result, Severity, Trust
from lab.checks.select import select, with_controls

__all__ = [
    "Check",
    "Expectation",
    "Outcome",
    "Result",
    "ServerSaid",
    "Severity",
    "Trust",
    "Verdict",
    "catalogue",
    "families",
    "judge",
    "observed_mapping",
    "outcome_of",
    "select",
    "short_answer",
    "with_controls",
]

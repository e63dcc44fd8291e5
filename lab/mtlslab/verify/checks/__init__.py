"""The checks: what must hold in a lab, and the verdict on what was observed."""

from mtlslab.pki.faults import Outcome, Severity
from mtlslab.verify.checks.catalogue import catalogue, families
from mtlslab.verify.checks.judge import ServerSaid, Verdict, judge, observed_mapping, outcome_of, short_answer
from mtlslab.verify.checks.model import Check, Entry, Expectation, Result, Trust
from mtlslab.verify.checks.select import select, with_controls

__all__ = [
    "Check",
    "Entry",
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

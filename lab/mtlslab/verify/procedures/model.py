"""What a procedure is: a procedure that shows whether a check holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from mtlslab.pki.faults import Severity
from mtlslab.probe.model import Attempt, Observation
from mtlslab.verify.checks.judge import ServerSaid, Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext


@dataclasses.dataclass(frozen=True)
class ProcedureResult:
    """What a procedure came to.

    Attributes:
        attempt: the attempt that decided; the printed command is made from it.
        seen: what was observed there; None for a procedure that looks elsewhere, and then has a verdict of its own.
        command: the command that shows the same, as arguments; None for the curl command of ``attempt``.
        facts: what else was seen, for the finding's ``observed``.
        verdict: the procedure's own verdict; None to compare ``seen`` with the check's expectation.
        nonces: of the attempts whose lines in the server's log the procedure wants to see.
        asked: from when to when the attempt was made, seconds since the epoch: the log knows one without a nonce by it.
        verdict_by_log: the procedure's verdict with these lines, by nonce; what the log lacks is missing.
    """

    attempt: Attempt
    seen: Observation | None
    command: list[str] | None = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    verdict: Verdict | None = None
    nonces: tuple[str, ...] = ()
    asked: tuple[float, float] | None = None
    verdict_by_log: Callable[[Mapping[str, ServerSaid]], Verdict] | None = None


Procedure = Callable[[VerifyContext, Check, Attempt, Probe], ProcedureResult]
"""From the lab, the check, the attempt that the check describes and the way to make one, to what came of it."""

Command = Callable[[VerifyContext, Attempt], list[str]]
"""From the lab and the attempt that the check describes to the command that shows the same, as arguments."""


def failed(check: Check, reason: str) -> Verdict:
    """The verdict that ``check`` does not hold: a failure, or a warning where the check is advisory."""
    return Verdict(Result.WARN if check.severity is Severity.ADVISORY else Result.FAIL, reason)

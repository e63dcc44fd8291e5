"""The procedure that looks at the revocation list itself, as it lies in the workspace."""

from __future__ import annotations

import datetime

from mtlslab.errors import LabError
from mtlslab.plan.paths import CRL
from mtlslab.probe.model import Attempt
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.model import ProcedureResult
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.revocation import crl_state


def look_at_list(context: VerifyContext, _check: Check, attempt: Attempt, _probe: Probe) -> ProcedureResult:
    """Read the list and its dates; no connection is made."""
    try:
        state = crl_state(Workspace(context.directory), datetime.datetime.now(datetime.UTC))
    except LabError as error:
        verdict = Verdict(Result.FAIL, f"{error.what} {error.why}")
        return ProcedureResult(attempt, None, facts={"condition": "damaged"}, verdict=verdict)
    end = state.info.next_update if state.info else None
    facts = {"answer": state.condition.value, "condition": state.condition.value}
    if end is not None:
        facts["next_update"] = end.isoformat(timespec="seconds")
    verdict = _verdict(state.condition.value, end)
    return ProcedureResult(attempt, None, facts=facts, verdict=verdict)


def list_command(_context: VerifyContext, _attempt: Attempt) -> list[str]:
    """What openssl says about the dates of the list."""
    return ["openssl", "crl", "-in", f"./{CRL}", "-noout", "-lastupdate", "-nextupdate"]


def _verdict(condition: str, end: datetime.datetime | None) -> Verdict:
    moment = f"{end:%Y-%m-%d %H:%M} UTC" if end else "never"
    return {
        "absent": Verdict(Result.FAIL, f"The server is set up to check {CRL}, and there is no such file."),
        "expired": Verdict(Result.FAIL, f"The list expired at {moment}: nginx refuses every client."),
        "expires soon": Verdict(Result.WARN, f"The list expires at {moment}; then nginx refuses every client."),
        "good": Verdict(Result.PASS, f"The list is valid; its next update is due at {moment}."),
    }[condition]

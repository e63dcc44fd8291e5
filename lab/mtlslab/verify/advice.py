"""The hint of a finding, where what was seen tells more than the check knows by itself."""

from __future__ import annotations

from mtlslab.lifecycle.where import other_port
from mtlslab.plan.services import SERVICES, TLS_SERVICE
from mtlslab.probe.model import Observation
from mtlslab.runtime.base import meets
from mtlslab.verify.checks import Check, Outcome, Result, ServerSaid, Verdict
from mtlslab.verify.checks.hints import hint_for, nobody_there
from mtlslab.verify.checks.judge import outcome_of
from mtlslab.verify.context import VerifyContext


def advice(
    context: VerifyContext, check: Check, verdict: Verdict, seen: Observation | None, said: ServerSaid | None
) -> str:
    """Where to look, by what was said; empty where the check's own hint is the right one."""
    if seen is None or check.service not in SERVICES:
        return ""
    if outcome_of(seen) is Outcome.UNREACHABLE:
        return _answers_elsewhere(context, check.service) or nobody_there(check.service)
    wanted = check.expect.outcome is Outcome.SERVED and verdict.result is not Result.PASS
    if not wanted or outcome_of(seen) is Outcome.SERVED:
        return ""
    return hint_for(seen, said.verify if said else "", service=check.service)


def _answers_elsewhere(context: VerifyContext, service: str) -> str:
    """Where an engine publishes a service, if that is another port than the plan's; empty otherwise."""
    facts = context.configuration().facts if context.configuration else None
    port = context.tls_port if service == TLS_SERVICE else context.mtls_port
    for one in facts.surroundings if facts else ():
        if facts and one.service == service and one.contained and not meets(one.doors, facts.spec.listen, port):
            where = " and ".join(f"{address}, port {number}" for address, number in one.doors) or "no port"
            return f"{other_port(service, where, facts.spec.listen, port)} mtlslab up puts it back."
    return ""

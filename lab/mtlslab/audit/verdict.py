"""From the findings of an audit to what is said about the server's client authentication."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from mtlslab.audit.findings import FAULTY, refuses
from mtlslab.audit.report import ASKS, SAME_EVERY_TIME, AuditFinding, ClientAuth
from mtlslab.audit.unauthorised import BASIC, COPIES, NO_CERTIFICATE
from mtlslab.pki.faults import FAULTS, Outcome
from mtlslab.verify.checks.model import Result

# Of an unknown CA that has nothing of the client CA but its name.
_SAME_NAME = "other-ca-same-name"


def worst(attempts: Sequence[AuditFinding]) -> AuditFinding:
    """One finding for several attempts of one client: whoever got in once has got in; what is unsure once is unsure.

    Args:
        attempts: at least one.
    """
    results = {one.result for one in attempts}
    for result in (Result.FAIL, Result.WARN, Result.INCONCLUSIVE):
        found = next((one for one in attempts if one.result is result), None)
        if found is None:
            continue
        if result is Result.INCONCLUSIVE and (alert := _refused_by_alert(attempts)):
            return alert
        if result is Result.FAIL and Result.PASS in results:
            why = f"{found.reason} It was refused another time: the server does not do the same every time."
            return dataclasses.replace(found, reason=why)
        return found
    return attempts[0]


def _refused_by_alert(attempts: Sequence[AuditFinding]) -> AuditFinding | None:
    """The attempt that the server's own alert decided: what became of the other one takes nothing from that."""
    refused = (one for one in attempts if one.result is Result.PASS)
    return next((one for one in refused if one.observed.get("outcome") == Outcome.REFUSED_BY_ALERT.value), None)


def client_auth(findings: Sequence[AuditFinding], faults: Sequence[AuditFinding]) -> ClientAuth:
    """What the verdicts come to; on several TLS versions, the most lenient counts.

    Args:
        findings: all but those on the faults.
        faults: those on odd and broken certificates of the client CA.
    """
    without = _results(findings, (NO_CERTIFICATE,))
    strangers = _results(findings, [name for name in BASIC if name not in (NO_CERTIFICATE, _SAME_NAME)])
    named = _results(findings, (*COPIES, _SAME_NAME))
    told = {
        ClientAuth.NOT_THE_SAME: any(one.family == SAME_EVERY_TIME for one in findings),
        ClientAuth.NONE: any(one.family == ASKS and one.result is Result.FAIL for one in findings),
        ClientAuth.REQUESTED: Result.FAIL in without,
        ClientAuth.ANY_CERTIFICATE: Result.FAIL in strangers,
        ClientAuth.ONLY_A_NAME: Result.FAIL in named,
    }
    if any(told.values()):
        return next(auth for auth, is_so in told.items() if is_so)
    if without != {Result.PASS} or Result.INCONCLUSIVE in strangers | named:
        return ClientAuth.UNKNOWN
    return ClientAuth.WITH_HOLES if any(_is_hole(one) for one in faults) else ClientAuth.REQUIRED


def _results(findings: Iterable[AuditFinding], names: Iterable[str]) -> set[Result]:
    families = {refuses(name) for name in names}
    return {one.result for one in findings if one.family in families}


def _is_hole(finding: AuditFinding) -> bool:
    """Whether a fault that nginx refuses was let in."""
    fault = FAULTS.get(finding.family.removeprefix("refuses-"))
    let_in = finding.category == FAULTY and finding.wants_refusal and finding.result in (Result.FAIL, Result.WARN)
    return let_in and fault is not None and fault.outcome is not Outcome.SERVED

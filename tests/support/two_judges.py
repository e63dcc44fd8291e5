"""One server before two judges: ``verify``, which knows the lab, and ``audit``, to which it is somebody else's."""

from __future__ import annotations

import dataclasses
import datetime
import threading
from collections.abc import Iterator

from mtlslab.audit import AuditReport, audit, make_request
from mtlslab.errors import ExitCode
from mtlslab.pki.faults import FAULTS
from mtlslab.plan.paths import CLIENT_CA, CLIENT_CA_KEY, CLIENT_CERT, CLIENT_KEY, SERVER_CA
from mtlslab.plan.spec import make_spec
from mtlslab.runtime.base import Runtime
from mtlslab.verify.checks import Result
from mtlslab.verify.proof.mutants import Mutant
from mtlslab.verify.proof.prove import checked
from mtlslab.verify.proof.twins import make_twin, running
from mtlslab.verify.report import Finding, VerifyReport
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.fault_cache import issued

CONTROLS = ("mtls-serves-client-certificate", "serves-authorised-client")


@dataclasses.dataclass(frozen=True)
class Judged:
    """What both say about one twin."""

    name: str
    verify: VerifyReport
    audit: AuditReport


def judge_twin(workspace: Workspace, runtime: Runtime, mutant: Mutant) -> Judged:
    """Start the twin of a lab, and have both judge it with the same client and the same client CA."""
    record, stop = workspace.require(), threading.Event()
    twin = make_twin(
        workspace, make_spec(record.spec), mutant.name, crl=mutant.crl, now=datetime.datetime.now(datetime.UTC)
    )
    mutant.sabotage(twin)
    place = workspace.directory
    request = make_request(
        f"https://localhost:{twin.spec.mtls_port}/hello-world.txt",
        cacert=place / SERVER_CA,
        cert=place / CLIENT_CERT,
        key=place / CLIENT_KEY,
        client_ca_cert=place / CLIENT_CA,
        client_ca_key=place / CLIENT_CA_KEY,
    )
    with running(twin, runtime, "", stop):
        return Judged(mutant.name, checked(twin, runtime, (), stop), audit(request))


def issue_faults(workspace: Workspace) -> None:
    """What twins take from their lab."""
    with issued(workspace) as issue:
        issue(list(FAULTS))


def contradictions(judged: Judged) -> Iterator[str]:
    """What the two say that cannot both be true."""
    verify, audit_ = judged.verify, judged.audit
    theirs = {_name(finding.id): finding for finding in audit_.findings}
    for finding in verify.findings:
        other = theirs.get(_name(finding.id))
        if other is not None and {_served(finding), _served(other)} == {True, False}:
            yield f"{finding.id}: {finding.reason} / {other.reason}"
    hole = next((one for one in audit_.findings if one.result is Result.FAIL and one.wants_refusal), None)
    if hole is not None and not any(finding.lets_in for finding in verify.findings):
        yield f"only audit has seen a hole: {hole.id}: {hole.reason}"
    codes = {verify.exit_code, audit_.exit_code}
    if verify.exit_code is ExitCode.OK and codes != {ExitCode.OK}:
        yield f"verify: {verify.closing_sentence} / audit: {audit_.closing_sentence}"


def _name(check: str) -> str:
    """The name that a check has in common with that of the other judge."""
    family, _, version = check.partition(".")
    if family in CONTROLS:
        return f"control.{version}"
    return f"{family.removeprefix('mtls-').removeprefix('refuses-').removeprefix('serves-')}.{version}"


def _served(finding: Finding) -> bool | None:
    """Whether the client was served; None if nobody could tell, or it was not tried."""
    if finding.result in (Result.SKIP, Result.INCONCLUSIVE):
        return None
    outcome = str(finding.observed.get("outcome", ""))
    if outcome == "served":
        return True
    refused = outcome.startswith("refused-") or outcome in ("closed", "other-status")
    return False if refused else None

"""The use case ``verify``: issue the faulty credentials that the checks need, then run the checks against a lab."""

from __future__ import annotations

from collections.abc import Sequence

from lab.issuing import issue_faults
from lab.locate import Target
from lab.ready import reachable_address
from lab.report import Report
from lab.spec import make_spec
from lab.verification import Observer, VerifyContext, run_checks


def verify(target: Target, only: Sequence[str] = (), *, observer: Observer | None = None) -> Report:
    """Run the checks that ``only`` means against a lab, and the positive controls that they depend on.

    Args:
        target: the lab.
        only: ids of checks, beginnings of ids or patterns; empty for all.
        observer: is told of each finding as it comes.

    Raises:
        LabNotFoundError: there is no such lab.
        SpecError: ``only`` means no check, or a file of the lab is damaged.
    """
    workspace = target.workspace
    record = workspace.require()
    spec = make_spec(record.spec)
    context = VerifyContext(
        directory=workspace.directory,
        lab=spec.name,
        runtime=record.runtime or "started by hand",
        tls_port=spec.tls_port,
        mtls_port=spec.mtls_port,
        address=reachable_address(spec.listen),
    )

    def issue(names: Sequence[str]) -> None:
        issue_faults(workspace, names)

    with workspace.lock():
        return run_checks(context, only, issue=issue, observer=observer)

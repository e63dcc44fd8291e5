"""Audits of many servers, side by side: one that is slow or dead delays nobody."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Self

from mtlslab.audit.report import AuditReport
from mtlslab.audit.request import AuditRequest
from mtlslab.audit.run import audit
from mtlslab.audit.turns import Turns
from mtlslab.errors import ExitCode
from mtlslab.lifecycle.interrupts import worker_pool
from mtlslab.verify.report import Change

SCHEMA = "mtlslab.audits/1"
MOST_THREADS = 128  # most of them wait for their turn
# What could not be told outweighs what is well, and what is wrong outweighs both.
_WORST_FIRST = (ExitCode.CHECK_FAILED, ExitCode.INCONCLUSIVE, ExitCode.OK)


@dataclasses.dataclass(frozen=True)
class AuditReports:
    """The reports on many servers, in the order of the targets; at least one."""

    reports: tuple[AuditReport, ...]

    @property
    def exit_code(self) -> ExitCode:
        """The worst of theirs."""
        codes = {report.exit_code for report in self.reports}
        return next(code for code in _WORST_FIRST if code in codes)

    def asked_by(self, command: tuple[str, ...]) -> Self:
        """The reports with the command line that asked for them."""
        return dataclasses.replace(self, reports=tuple(one.asked_by(command) for one in self.reports))

    def with_texts(self, change: Change) -> Self:
        """The reports with ``change`` made to all their texts."""
        return dataclasses.replace(self, reports=tuple(one.with_texts(change) for one in self.reports))

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready values: each report is as that of a single audit."""
        reports = [report.to_mapping() for report in self.reports]
        return {"schema": SCHEMA, "exit_code": int(self.exit_code), "reports": reports}


def audit_all(
    requests: Sequence[AuditRequest], progress: Callable[[int, int], None] = lambda _done, _of: None
) -> AuditReports:
    """Audit many servers.

    Args:
        requests: what to audit; at least one.
        progress: is told how many are done, of how many.

    Raises:
        OSError, MachineError: as :func:`audit`.
    """
    from concurrent.futures import as_completed

    turns = Turns()

    def audited(request: AuditRequest) -> AuditReport:
        with turns.taken() as watch:
            return audit(request, watch=watch)

    with worker_pool(min(len(requests), MOST_THREADS)) as pool:
        try:
            pending = [pool.submit(audited, request) for request in requests]
            progress(0, len(pending))
            for number, _ in enumerate(as_completed(pending), start=1):
                progress(number, len(pending))
            return AuditReports(tuple(one.result() for one in pending))
        except BaseException:
            turns.stop()
            raise

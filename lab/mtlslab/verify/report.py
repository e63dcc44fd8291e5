"""The outcome of a run of checks as one value. Every output format and the exit status are derived from it."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mtlslab.errors import ExitCode
from mtlslab.verify.checks import Result

SCHEMA = "mtlslab.verify/1"


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one check came to.

    Attributes:
        id, title, category, service, severity, why, hint, tls_version: as in the check.
        result: the verdict.
        expected: what had to be seen.
        observed: what was seen; empty when the check was skipped.
        reason: one sentence that tells why this is the result.
        command: the curl command that shows the same, as arguments, to be run inside the workspace.
        dependency: the check was not asked for; it ran because one that was asked for depends on it.
        because: id of the positive control that does not hold, which is why this check was skipped.
        duration_ms: milliseconds that the attempt took.
    """

    id: str
    title: str
    category: str
    service: str
    severity: str
    result: Result
    expected: Mapping[str, Any]
    observed: Mapping[str, Any]
    reason: str
    command: tuple[str, ...]
    why: str
    hint: str
    tls_version: str = ""
    dependency: bool = False
    because: str = ""
    duration_ms: float = 0.0

    @property
    def by_design(self) -> bool:
        """Whether the check is about what nginx does by design, to many people's surprise."""
        return bool(self.expected.get("by_design"))

    @property
    def family(self) -> str:
        """The id without the TLS version."""
        return self.id.partition(".")[0]

    def to_mapping(self) -> dict[str, Any]:
        """The finding as JSON-ready values."""
        mapping = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            **mapping,
            "result": self.result.value,
            "expected": dict(self.expected),
            "observed": dict(self.observed),
            "command": list(self.command),
            "duration_ms": round(self.duration_ms, 1),
        }


@dataclasses.dataclass(frozen=True)
class Report:
    """One run.

    Attributes:
        lab: the lab's name.
        runtime: what runs it.
        started: when the run began, with its time zone.
        findings: one for each check, in the order of the catalogue; at least one.
        complete: the whole catalogue was run, not a selection.
        duration_ms: milliseconds from beginning to end.
        server_log: whether the services' logs could be read, so that the server's view stands beside the client's.
        strict: whether a warning is as bad as a failure.
    """

    lab: str
    runtime: str
    started: datetime.datetime
    findings: tuple[Finding, ...]
    complete: bool = True
    duration_ms: float = 0.0
    server_log: bool = False
    strict: bool = False

    @property
    def summary(self) -> dict[str, int]:
        """How many checks came to each result."""
        counts = Counter(finding.result for finding in self.findings)
        return {result.value: counts[result] for result in Result}

    @property
    def exit_code(self) -> ExitCode:
        """The exit status: a failed check outweighs one that could not tell; no finding at all proves nothing."""
        results = {finding.result for finding in self.findings}
        if Result.FAIL in results or (self.strict and Result.WARN in results):
            return ExitCode.CHECK_FAILED
        # A skipped check has lost its positive control: it proves nothing.
        if not results or results & {Result.INCONCLUSIVE, Result.SKIP}:
            return ExitCode.INCONCLUSIVE
        return ExitCode.OK

    @property
    def success(self) -> bool:
        """Whether all checks hold."""
        return self.exit_code is ExitCode.OK

    def to_mapping(self) -> dict[str, Any]:
        """The report as JSON-ready values, schema ``mtlslab.verify/1``."""
        return {
            "schema": SCHEMA,
            "lab": self.lab,
            "runtime": self.runtime,
            "started": self.started.isoformat(timespec="seconds"),
            "duration_ms": round(self.duration_ms, 1),
            "complete": self.complete,
            "strict": self.strict,
            "server_log": self.server_log,
            "success": self.success,
            "exit_code": int(self.exit_code),
            "summary": self.summary,
            "checks": [finding.to_mapping() for finding in self.findings],
        }

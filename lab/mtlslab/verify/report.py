"""The outcome of a run of checks as one value. Every output format and the exit status are derived from it.

``Finding`` and ``Report`` are what all runs have in common; an audit extends them in ``mtlslab.audit.report``.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Self

from mtlslab.errors import ExitCode
from mtlslab.pki.faults import Outcome, Severity
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.verify.checks import Result
from mtlslab.verify.checks.model import CONFIGURATION, MISSING, REFUSED_BY_SERVER, VERSION_ALERT
from mtlslab.verify.sentence import sentence_of

SCHEMA = "mtlslab.verify/1"
# A client to whom one of these must happen is one that must not get the page.
_KEPT_OUT = frozenset(outcome.value for outcome in (*REFUSED_BY_SERVER, Outcome.OTHER_STATUS))

Change = Callable[[Any], Any]
"""From a text, or a value with texts in it, to what stands in its place."""


@dataclasses.dataclass(frozen=True)
class Cause:
    """What several findings have in common.

    Attributes:
        what: the directive.
        place: its file and line.
        explains: ids of the findings that it explains.
    """

    what: str
    place: str
    explains: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what} {self.place}"

    def with_texts(self, change: Change) -> Cause:
        """The cause with ``change`` made to its texts: they come from a file."""
        return dataclasses.replace(self, what=change(self.what), place=change(self.place))

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"what": self.what, "place": self.place, "explains": list(self.explains)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check came to.

    Attributes:
        id: stable name, with ``.tls12`` and the like where it holds per TLS version.
        title: the fact, as a sentence in the indicative without its full stop.
        category: heading of its group.
        severity: required or advisory.
        result: the verdict.
        expected: what had to be seen.
        observed: what was seen; empty when nothing was tried.
        reason: one sentence that tells why this is the result.
        command: the command that shows the same, as arguments; empty if there is none.
        why: what there is to learn; empty if there is nothing to say.
        hint: where to look when it does not hold.
        tls_version: the only one that was offered; empty where it does not matter.
        dependency: the check was not asked for; it ran because one that was asked for depends on it.
        because: id of the positive control that does not hold, which is why this check was skipped.
        duration_ms: milliseconds that the attempt took.
    """

    KEYS: ClassVar[tuple[str, ...]]
    """The keys of a finding in the JSON document, in their order; each is an attribute."""

    id: str
    title: str
    category: str
    severity: Severity
    result: Result
    expected: Mapping[str, Any]
    observed: Mapping[str, Any]
    reason: str
    command: tuple[str, ...] = ()
    why: str = ""
    hint: str = ""
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

    def with_texts(self, change: Change) -> Self:
        """The finding with ``change`` made to all its texts: any of them may hold words of a server or of a file."""
        names = ("title", "category", "expected", "observed", "reason", "command", "why", "hint")
        return dataclasses.replace(self, **{name: change(getattr(self, name)) for name in names})

    def to_mapping(self) -> dict[str, Any]:
        """The finding as JSON-ready values."""
        return {key: _plain(getattr(self, key)) for key in self.KEYS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """One run.

    Attributes:
        started: when the run began, with its time zone.
        findings: one for each check, in the order in which they are told; at least one.
        strict: whether a warning is as bad as a failure.
        duration_ms: milliseconds from beginning to end.
        causes: what failures have in common, if that is known.
    """

    SCHEMA: ClassVar[str]
    KEYS: ClassVar[tuple[str, ...]]
    """The keys of the JSON document between ``schema`` and ``checks``, in their order; each is an attribute."""
    PROGRAM: ClassVar[str]
    """The command that makes such reports."""
    CONCISE: ClassVar[bool]
    """Whether people are told no more than they need: no facts beside the reason, each hint once, and what was not
    tried at the end."""

    started: datetime.datetime
    findings: Sequence[Finding]
    strict: bool = False
    duration_ms: float = 0.0
    causes: tuple[Cause, ...] = ()

    @property
    def subject(self) -> Mapping[str, str]:
        """What was looked at: name -> value."""
        raise NotImplementedError

    @property
    def facts(self) -> Mapping[str, str]:
        """What else is to be told of it: label -> text."""
        return {}

    @property
    def heading(self) -> str:
        """The same as one line for people."""
        raise NotImplementedError

    @property
    def closing_sentence(self) -> str:
        """The one sentence that everything comes down to."""
        raise NotImplementedError

    @property
    def uncertain(self) -> bool:
        """Whether too much could not be told for a verdict, if nothing has failed."""
        raise NotImplementedError

    @property
    def whole(self) -> bool:
        """Whether all that can be checked was to be checked."""
        return True

    @property
    def package(self) -> str:
        """The name, with dots, under which a CI files the run."""
        return f"mtlslab.{self.PROGRAM}"

    def place_of(self, finding: Finding) -> str:
        """The name under which a CI files one finding."""
        raise NotImplementedError

    @property
    def summary(self) -> dict[str, int]:
        """How many checks came to each result."""
        counts = Counter(finding.result for finding in self.findings)
        return {result.value: counts[result] for result in Result}

    def with_result(self, *results: Result) -> tuple[Finding, ...]:
        """The findings that came to one of these results."""
        return tuple(finding for finding in self.findings if finding.result in results)

    def fails(self, finding: Finding) -> bool:
        """Whether the run fails for this finding alone."""
        return finding.result is Result.FAIL or (self.strict and finding.result is Result.WARN)

    @property
    def exit_code(self) -> ExitCode:
        """The exit status: a failed check outweighs one that could not tell."""
        if any(self.fails(finding) for finding in self.findings):
            return ExitCode.CHECK_FAILED
        return ExitCode.INCONCLUSIVE if self.uncertain else ExitCode.OK

    @property
    def success(self) -> bool:
        """Whether all that had to hold holds."""
        return self.exit_code is ExitCode.OK

    def with_texts(self, change: Change) -> Self:
        """The report with ``change`` made to all its texts: any of them may hold words of a server or of a file."""
        return dataclasses.replace(
            self,
            findings=tuple(one.with_texts(change) for one in self.findings),
            causes=tuple(cause.with_texts(change) for cause in self.causes),
        )

    def to_mapping(self) -> dict[str, Any]:
        """The report as JSON-ready values, by the schema that it names."""
        return {
            "schema": self.SCHEMA,
            **{key: _plain(getattr(self, key)) for key in self.KEYS},
            "checks": [finding.to_mapping() for finding in self.findings],
        }


def _plain(value: Any) -> Any:
    """A value as JSON has it; numbers with a fraction, which are milliseconds, are rounded to tenths."""
    if hasattr(value, "to_mapping"):
        return value.to_mapping()
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [one.to_mapping() if hasattr(one, "to_mapping") else one for one in value]
    if isinstance(value, float):
        return round(value, 1)
    return value.value if isinstance(value, Enum) else value


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyFinding(Finding):
    """What one check of a lab came to; its command is to be run inside the workspace.

    Attributes:
        service: the service that was asked.
    """

    KEYS = (
        *("id", "title", "category", "service", "severity", "result", "expected", "observed", "reason", "command"),
        *("why", "hint", "tls_version", "dependency", "because", "duration_ms"),
    )

    service: str

    @property
    def lets_in(self) -> bool:
        """Whether a client that the mTLS server must refuse was served."""
        return (
            self._fails_at_mtls
            and self.expected.get("outcome") in _KEPT_OUT
            and self.observed.get("outcome") == Outcome.SERVED.value
        )

    @property
    def turns_away(self) -> bool:
        """Whether the mTLS server did not serve a client that it must serve.

        A client that does not trust the server has left by itself: that is about the server's identity. One TLS version
        that is missing turns nobody away.
        """
        served = Outcome.SERVED.value
        no_refusal = (served, Outcome.CLIENT_REFUSES_SERVER.value)
        wanted, seen = self.expected.get("outcome"), self.observed.get("outcome", served)
        no_version = self.observed.get("alert") == VERSION_ALERT
        return self._fails_at_mtls and wanted == served and seen not in no_refusal and not no_version

    @property
    def accepted(self) -> bool:
        """Whether the authorised client was let in by its certificate, and then got something else than its page."""
        seen = self.observed
        server = seen.get("server", {})
        said = (seen.get("client_verify"), server.get("verify") if isinstance(server, Mapping) else None)
        return self.turns_away and seen.get("outcome") == Outcome.OTHER_STATUS.value and "SUCCESS" in said

    @property
    def differs(self) -> bool:
        """Whether a warning tells of a server that is stricter, or simply another, than the one that was rendered."""
        if self.result is not Result.WARN or self.by_design:
            return False
        wanted = {self.expected.get("outcome"), *self.expected.get("also", ())}
        return self.category == CONFIGURATION or self.observed.get("outcome", next(iter(wanted))) not in wanted

    @property
    def lacks_version(self) -> bool:
        """Whether a server lacks the TLS version of the check, which makes it stricter, and nothing worse."""
        return self.result is Result.WARN and self.observed.get("alert") == VERSION_ALERT

    @property
    def _fails_at_mtls(self) -> bool:
        return self.service == MTLS_SERVICE and self.result is Result.FAIL


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyReport(Report):
    """One run of a lab's checks, in the order of the catalogue.

    Attributes:
        lab: the lab's name.
        runtime: what runs it.
        nginx: product and version of the nginx that serves; empty where it does not tell.
        complete: the whole catalogue was run, not a selection.
        server_log: whether the services' logs could be read, so that the server's view stands beside the client's.
    """

    SCHEMA = SCHEMA
    KEYS = (
        *("lab", "runtime", "nginx", "started", "duration_ms", "complete", "strict", "server_log"),
        *("success", "exit_code", "closing_sentence", "causes", "summary"),
    )
    PROGRAM = "verify"
    CONCISE = False

    lab: str
    runtime: str
    nginx: str = ""
    findings: tuple[VerifyFinding, ...]
    complete: bool = True
    server_log: bool = False

    @property
    def subject(self) -> Mapping[str, str]:
        """The lab and what runs it."""
        return {"lab": self.lab, "runtime": self.runtime}

    @property
    def heading(self) -> str:
        """The same as one line for people."""
        return f'lab "{self.lab}" ({self.runtime})'

    @property
    def whole(self) -> bool:
        """Whether the whole catalogue was run."""
        return self.complete

    @property
    def package(self) -> str:
        """The lab, for a CI."""
        return f"mtlslab.{self.lab}"

    def place_of(self, finding: Finding) -> str:
        """The service, for a CI."""
        return f"mtlslab.{finding.service}" if isinstance(finding, VerifyFinding) else self.package

    @property
    def uncertain(self) -> bool:
        """Whether anything could not be told: no finding at all proves nothing."""
        # A check that has lost its positive control proves nothing, unless the server does not speak the TLS version at
        # all: then nobody gets in by it. One that takes a key which is kept elsewhere is told in the last sentence, and
        # takes nothing away from the others, unless somebody asked for it.
        by_id = {finding.id: finding for finding in self.findings}
        skipped = (one for one in self.with_result(Result.SKIP) if not _lacks_version(one, by_id))
        lost = any(not self.complete or MISSING not in one.observed for one in skipped)
        return not self.findings or lost or bool(self.with_result(Result.INCONCLUSIVE))

    def with_texts(self, change: Change) -> Self:
        """The report with ``change`` made to all its texts: any of them may hold words of a server or of a file."""
        changed = super().with_texts(change)
        return dataclasses.replace(
            changed, lab=change(self.lab), runtime=change(self.runtime), nginx=change(self.nginx)
        )

    @property
    def closing_sentence(self) -> str:
        """The one sentence that everything comes down to."""
        return sentence_of(self)


def _lacks_version(skipped: Finding, by_id: Mapping[str, VerifyFinding]) -> bool:
    """Whether a check was skipped because the server does not speak its TLS version."""
    control = by_id.get(skipped.because)
    while control is not None and control.result is Result.SKIP:
        control = by_id.get(control.because)
    return control is not None and control.lacks_version

"""The outcome of an audit as one value. Every output format and the exit status are derived from it."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from mtlslab.errors import ExitCode
from mtlslab.pki.faults import Severity
from mtlslab.verify.checks.model import Result

SCHEMA = "mtlslab.audit/1"


class ClientAuth(StrEnum):
    """What the server does about client certificates, as its answers show."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    OPTIONAL_UNVERIFIED = "optional-unverified"
    ANY_CERTIFICATE = "any-certificate"
    NONE = "none"
    UNKNOWN = "unknown"


CLIENT_AUTH_WORDS = {
    ClientAuth.REQUIRED: "a certificate of the right CA is required",
    ClientAuth.OPTIONAL: "a certificate is asked for and checked, but a client without one is served, too "
    "(nginx: optional, Python: CERT_OPTIONAL, Go: VerifyClientCertIfGiven)",
    ClientAuth.OPTIONAL_UNVERIFIED: "a certificate is asked for, but neither insisted on nor checked "
    "(nginx: optional_no_ca, Go: RequestClientCert)",
    ClientAuth.ANY_CERTIFICATE: "some certificate is required, but nobody checks who issued it "
    "(Go: RequireAnyClientCert)",
    ClientAuth.NONE: "no certificate is asked for, and clients without one are served",
    ClientAuth.UNKNOWN: "could not be told",
}


class Offer(StrEnum):
    """What became of a TLS version that was offered alone."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNTRIED = "could not be tried"
    UNKNOWN = "could not be told"


@dataclasses.dataclass(frozen=True)
class ServerFacts:
    """What the server shows of itself.

    Attributes:
        tls_versions: version -> what became of it.
        certificate_requested: whether it asks for a client certificate; None if it cannot be told.
        ca_names: the CA names that it announces, as RFC 4514 text.
        client_auth: what it does about client certificates.
    """

    tls_versions: Mapping[str, Offer]
    certificate_requested: bool | None = None
    ca_names: tuple[str, ...] = ()
    client_auth: ClientAuth = ClientAuth.UNKNOWN

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "tls_versions": {version: offer.value for version, offer in self.tls_versions.items()},
            "certificate_requested": self.certificate_requested,
            "ca_names": list(self.ca_names),
            "client_auth": self.client_auth.value,
        }


@dataclasses.dataclass(frozen=True)
class AuditFinding:
    """What one check came to.

    Attributes:
        id: stable name, with ``.tls12`` and the like where it holds per TLS version.
        title: the fact, as a sentence in the indicative without its full stop and without its subject.
        category: heading of its group.
        severity: required or advisory.
        result: the verdict.
        expected: what had to be seen.
        observed: what was seen; empty when nothing was tried.
        reason: the sentence that tells why this is the result.
        command: a curl command that shows the same; empty if its files were minted for the audit.
        hint: where to look when it does not hold.
        tls_version: the only one that was offered; empty where it does not matter.
        duration_ms: milliseconds that the attempt took.
    """

    id: str
    title: str
    category: str
    severity: Severity
    result: Result
    expected: str
    observed: Mapping[str, Any]
    reason: str
    command: tuple[str, ...] = ()
    hint: str = ""
    tls_version: str = ""
    duration_ms: float = 0.0

    @property
    def family(self) -> str:
        """The id without the TLS version."""
        return self.id.partition(".")[0]

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "id": self.id,
            "title": self.title,
            "category": self.category,
            "severity": self.severity.value,
            "result": self.result.value,
            "expected": {"outcome": self.expected},
            "observed": dict(self.observed),
            "reason": self.reason,
            "command": list(self.command),
            "hint": self.hint,
            "tls_version": self.tls_version,
            "duration_ms": round(self.duration_ms, 1),
        }


@dataclasses.dataclass(frozen=True)
class AuditReport:
    """One audit.

    Attributes:
        url: what was audited.
        started: when it began, with its time zone.
        server: what the server shows of itself.
        findings: at least one.
        strict: whether warnings count as failures.
        duration_ms: milliseconds from beginning to end.
    """

    url: str
    started: datetime.datetime
    server: ServerFacts
    findings: tuple[AuditFinding, ...]
    strict: bool = False
    duration_ms: float = 0.0

    @property
    def summary(self) -> dict[str, int]:
        """How many checks came to each result."""
        counts = Counter(finding.result for finding in self.findings)
        return {result.value: counts[result] for result in Result}

    def with_result(self, *results: Result) -> tuple[AuditFinding, ...]:
        """The findings that came to one of these results."""
        return tuple(finding for finding in self.findings if finding.result in results)

    @property
    def unknown(self) -> tuple[AuditFinding, ...]:
        """The required checks that could not tell."""
        return tuple(one for one in self.with_result(Result.INCONCLUSIVE) if one.severity is Severity.REQUIRED)

    @property
    def exit_code(self) -> ExitCode:
        """The exit status: a hole outweighs what could not be told; what was never asked for does not count.

        ``CHECK_FAILED`` if a client gets in that must not, or the right one does not; ``INCONCLUSIVE`` if nobody can
        tell whether a stranger gets in.
        """
        if self.with_result(Result.FAIL):
            return ExitCode.CHECK_FAILED
        if self.unknown or not self.with_result(Result.PASS):
            return ExitCode.INCONCLUSIVE
        if self.strict and self.with_result(Result.WARN):
            return ExitCode.CHECK_FAILED
        return ExitCode.OK

    @property
    def success(self) -> bool:
        """Whether the server enforces mutual TLS, as far as it was asked."""
        return self.exit_code is ExitCode.OK

    def to_mapping(self) -> dict[str, Any]:
        """The report as JSON-ready values, schema ``mtlslab.audit/1``."""
        return {
            "schema": SCHEMA,
            "url": self.url,
            "started": self.started.isoformat(timespec="seconds"),
            "duration_ms": round(self.duration_ms, 1),
            "strict": self.strict,
            "success": self.success,
            "exit_code": int(self.exit_code),
            "summary": self.summary,
            "server": self.server.to_mapping(),
            "checks": [finding.to_mapping() for finding in self.findings],
        }

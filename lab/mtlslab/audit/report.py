"""The outcome of an audit as one value: what ``verify.report`` has, and what the server shows of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Self

from mtlslab.errors import ExitCode
from mtlslab.pki.faults import Outcome, Severity
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Change, Finding, Report
from mtlslab.verify.sentence import without_page

SCHEMA = "mtlslab.audit/2"
REFUSES_OLD_TLS = "refuses-old-tls"
SERVES_AUTHORISED_CLIENT = "serves-authorised-client"
REFUSED = {"outcome": "refused"}
"""What has to be seen of a client that must not get in."""


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditFinding(Finding):
    """What one check of a foreign server came to; the title does without its subject.

    The command is empty if its files were minted for the audit, and gone since.
    """

    KEYS = (
        *("id", "title", "category", "severity", "result", "expected", "observed", "reason", "command"),
        *("hint", "tls_version", "duration_ms"),
    )

    @property
    def wants_refusal(self) -> bool:
        """Whether a client, or an old TLS version, had to be refused."""
        return self.expected == REFUSED


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditReport(Report):
    """One audit.

    Attributes:
        url: what was audited.
        server: what the server shows of itself.
    """

    SCHEMA = SCHEMA
    KEYS = ("url", "started", "duration_ms", "strict", "success", "exit_code", "summary", "server")
    PROGRAM = "audit"
    CONCISE = True

    url: str
    server: ServerFacts
    findings: tuple[AuditFinding, ...]

    @property
    def subject(self) -> Mapping[str, str]:
        """The URL."""
        return {"url": self.url}

    @property
    def heading(self) -> str:
        """The same for people."""
        return self.url

    def place_of(self, finding: Finding) -> str:  # noqa: ARG002  it is the same for all
        """The URL, for a CI."""
        return self.url

    @property
    def unknown(self) -> tuple[Finding, ...]:
        """The required checks that could not tell."""
        return tuple(one for one in self.with_result(Result.INCONCLUSIVE) if one.severity is Severity.REQUIRED)

    @property
    def uncertain(self) -> bool:
        """Whether nobody can tell if an unauthorised client gets in; what was never asked for does not count."""
        return bool(self.unknown) or not self.with_result(Result.PASS)

    @property
    def exit_code(self) -> ExitCode:
        """The exit status: as for every report, but a warning never outweighs what could not be told.

        ``CHECK_FAILED`` if a client gets in that must not, or the right one does not; ``INCONCLUSIVE`` if nobody can
        tell whether an unauthorised client gets in.
        """
        if self.uncertain and not self.with_result(Result.FAIL):
            return ExitCode.INCONCLUSIVE
        return super().exit_code

    def with_texts(self, change: Change) -> Self:
        """The report with ``change`` made to all its texts: any of them may hold words of a server or of a file."""
        server = dataclasses.replace(self.server, ca_names=change(self.server.ca_names))
        return dataclasses.replace(super().with_texts(change), url=change(self.url), server=server)

    @property
    def closing_sentence(self) -> str:
        """The one sentence that everything comes down to."""
        failed = [finding for finding in self.findings if finding.result is Result.FAIL]
        if failed:
            return self._failed_sentence(failed)
        if self.exit_code is ExitCode.INCONCLUSIVE:
            return f"could not tell whether {self.url} enforces mTLS: {self._first_reason()}"
        skipped = {finding.family for finding in self.with_result(Result.SKIP)}
        refused = {one.family for one in self.findings if one.result is Result.PASS and one.wants_refusal}
        kinds = len(refused - {REFUSES_OLD_TLS})
        warned = self.summary["warn"]
        warnings = f" {warned} with a warning{' (--strict)' if self.strict else ''}." if warned else ""
        if SERVES_AUTHORISED_CLIENT in skipped:
            sentence = f"lets no unauthorised client in: {kinds} kinds refused; nobody tried the authorised client."
            return f"{self.url} {sentence}{warnings}"
        missing = self._missing_page
        if missing is not None:
            sentence = f"refuses unauthorised clients ({kinds} kinds), but {without_page(missing)}."
            return f"{self.url} {sentence}{warnings}"
        how = "served" if self._serves_page else "let in, but gets no page"
        sentence = f"enforces mTLS: the authorised client is {how}, {kinds} kinds of others are refused."
        return f"{self.url} {sentence}{warnings}"

    @property
    def _missing_page(self) -> object:
        """The status of the answer to an authorised client for whom there is no page; None where there is one."""
        controls = (one for one in self.with_result(Result.WARN) if one.family == SERVES_AUTHORISED_CLIENT)
        return next((one.observed.get("status") for one in controls), None)

    @property
    def _serves_page(self) -> bool:
        controls = [one for one in self.with_result(Result.PASS) if one.family == SERVES_AUTHORISED_CLIENT]
        return all(one.observed.get("outcome") == Outcome.SERVED.value for one in controls)

    def _failed_sentence(self, failed: Sequence[AuditFinding]) -> str:
        holes = [finding for finding in failed if finding.wants_refusal]
        if not holes and all(finding.observed.get("client_verify") == "SUCCESS" for finding in failed):
            others = [one for one in self.findings if one.wants_refusal and one.result is Result.PASS]
            first = "refuses unauthorised clients, but" if others else "lets the authorised client in, and"
            return f"{self.url} {first} {without_page(failed[0].observed.get('status'))}."
        if not holes:
            return f"{self.url} refuses the authorised client: {failed[0].reason}"
        versions = ", ".join(dict.fromkeys(finding.tls_version for finding in holes))
        titles = list(dict.fromkeys(finding.title.removeprefix("refuses ") for finding in holes))
        more = f" and {len(titles) - 2} more" if len(titles) > 2 else ""
        return f"{self.url} does NOT enforce mTLS: it serves {', '.join(titles[:2])}{more} (TLS {versions})."

    def _first_reason(self) -> str:
        return next((finding.reason for finding in self.unknown), "no check came to a result.")

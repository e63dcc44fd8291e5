"""The outcome of an audit as one value: what ``verify.report`` has, and what the server shows of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Self

from mtlslab import __version__
from mtlslab.audit.evidence import AddressFacts, CertificateFacts, ClientFacts
from mtlslab.errors import ExitCode
from mtlslab.pki.faults import Outcome, Severity
from mtlslab.plan.shell import shell_line
from mtlslab.verify.checks import Result
from mtlslab.verify.report import Change, Finding, Report
from mtlslab.verify.sentence import without_page

SCHEMA = "mtlslab.audit/3"
REFUSES_OLD_TLS = "refuses-old-tls"
ASKS = "asks-for-certificate"
SAME_AT_EVERY_ADDRESS = "is-the-same-at-every-address"
SAME_EVERY_TIME = "is-the-same-every-time"
SERVES_AUTHORISED_CLIENT = "serves-authorised-client"
REFUSED = {"outcome": "refused"}
"""What has to be seen of a client that must not get in."""


class ClientAuth(StrEnum):
    """What the server does about client certificates, as its answers show."""

    NONE = "none"
    REQUESTED = "requested-not-enforced"
    ANY_CERTIFICATE = "any-certificate"
    ONLY_A_NAME = "only-a-name"
    REQUIRED = "required"
    WITH_HOLES = "required-with-holes"
    NOT_THE_SAME = "not-the-same"
    UNKNOWN = "could-not-tell"


CLIENT_AUTH_WORDS = {
    ClientAuth.NONE: "no certificate is asked for",
    ClientAuth.REQUESTED: "a certificate is requested, not enforced: a client without one is served, too (nginx: "
    "optional or optional_no_ca, Python: CERT_OPTIONAL, Go: VerifyClientCertIfGiven)",
    ClientAuth.ANY_CERTIFICATE: "any certificate will do: nobody checks who issued it (Go: RequireAnyClientCert)",
    ClientAuth.ONLY_A_NAME: "only a name is compared: whoever writes it into a certificate of his own is served",
    ClientAuth.REQUIRED: "required: strangers are refused",
    ClientAuth.WITH_HOLES: "required, with holes: strangers are refused, not every odd certificate of the client CA is",
    ClientAuth.NOT_THE_SAME: "not the same every time: some attempts were let in, others like them were not",
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
        certificates: the server's own, as it sent them; several where versions or addresses differ.
        addresses: every address that was tried.
    """

    tls_versions: Mapping[str, Offer]
    certificate_requested: bool | None = None
    ca_names: tuple[str, ...] = ()
    client_auth: ClientAuth = ClientAuth.UNKNOWN
    certificates: tuple[CertificateFacts, ...] = ()
    addresses: tuple[AddressFacts, ...] = ()

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "tls_versions": {version: offer.value for version, offer in self.tls_versions.items()},
            "certificate_requested": self.certificate_requested,
            "ca_names": list(self.ca_names),
            "client_auth": self.client_auth.value,
            "certificates": [one.to_mapping() for one in self.certificates],
            "addresses": [one.to_mapping() for one in self.addresses],
        }

    def with_texts(self, change: Change) -> Self:
        """The facts with ``change`` made to all words of the server."""
        certificates = tuple(_changed(one, change) for one in self.certificates)
        return dataclasses.replace(self, ca_names=change(self.ca_names), certificates=certificates)


def _changed(certificate: CertificateFacts, change: Change) -> CertificateFacts:
    return CertificateFacts(**{name: change(value) for name, value in dataclasses.asdict(certificate).items()})


def _told(address: AddressFacts) -> str:
    return f"{address.address} ({address.client_auth or 'no answer'})"


def _told_certificates(whose: str, certificates: Sequence[CertificateFacts]) -> dict[str, str]:
    """Labels and texts about certificates; the second and third have a number."""
    told = {}
    for number, one in enumerate(certificates, start=1):
        name = f"{whose} certificate{f' {number}' if len(certificates) > 1 else ''}"
        told[name] = one.words
        told[f"{name} valid"] = f"{one.not_before} to {one.not_after}" if one.not_before else ""
        told[f"{name} SHA-256"] = one.fingerprint
    return told


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
        client: the authorised client; None without one.
        settings: what else was asked for: name of the option -> its value.
        command: the command line, as arguments; empty if there was none.
    """

    SCHEMA = SCHEMA
    KEYS = (
        *("url", "started", "duration_ms", "version", "command", "settings", "strict", "success", "exit_code"),
        *("summary", "verdict", "server", "client"),
    )
    PROGRAM = "audit"
    CONCISE = True

    url: str
    server: ServerFacts
    findings: tuple[AuditFinding, ...]
    client: ClientFacts | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    command: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The version of this program."""
        return __version__

    @property
    def subject(self) -> Mapping[str, str]:
        """The URL."""
        return {"url": self.url}

    @property
    def title(self) -> str:
        """The URL and how it was reached otherwise: what tells it apart from others in a table."""
        more = [f"{name} {self.settings[name] or '(none)'}" for name in ("connect-to", "sni") if name in self.settings]
        return f"{self.url} ({', '.join(more)})" if more else self.url

    @property
    def facts(self) -> Mapping[str, str]:
        """What an auditor asks for beside the verdict: label -> text."""
        server, client = self.server, self.client
        versions = "; ".join(f"TLS {version} {offer.value}" for version, offer in server.tls_versions.items())
        asked = {True: "yes", False: "no", None: "could not be told"}[server.certificate_requested]
        whose = "minted for this audit" if client and client.minted else "given" if client else "none"
        return {
            "target": self.url,
            "addresses": "; ".join(_told(one) for one in server.addresses) or "none known",
            "started": self.started.isoformat(sep=" ", timespec="seconds"),
            "duration": f"{self.duration_ms / 1000:.1f} s",
            "program": f"mtlslab {__version__}",
            "command line": shell_line(self.command),
            "settings": "; ".join(f"{name}: {value}" for name, value in self.settings.items()),
            "client authentication": CLIENT_AUTH_WORDS[server.client_auth],
            "verdict rests on": {"http": "HTTP", "": "nothing"}.get(self.rests_on, f"the {self.rests_on}"),
            "TLS versions": versions,
            "asks for a certificate": asked,
            "announced CA names": "; ".join(server.ca_names),
            **_told_certificates("server", server.certificates),
            "authorised client": whose,
            **(_told_certificates("client", (client.certificate,)) if client else {}),
        }

    @property
    def rests_on(self) -> str:
        """Which witness the verdict rests on: ``handshake`` or ``http``; empty where there is none."""
        told = [one for one in self.with_result(Result.PASS, Result.FAIL) if one.family.startswith("refuses-")]
        told = [one for one in told if one.family != REFUSES_OLD_TLS and one.observed]
        if not told:
            return ""
        return "http" if any("status" in one.observed for one in told) else "handshake"

    @property
    def refusals(self) -> tuple[str, ...]:
        """How unauthorised clients were refused, in a few words; each way once."""
        refused = [one for one in self.with_result(Result.PASS) if one.family.startswith("refuses-")]
        ways = (str(one.observed.get("answer", "")) for one in refused if one.family != REFUSES_OLD_TLS)
        return tuple(dict.fromkeys(filter(None, ways)))

    @property
    def verdict(self) -> Mapping[str, Any]:
        """What is said about client authentication, and on what it rests."""
        auth = self.server.client_auth
        return {
            "client_auth": auth.value,
            "words": CLIENT_AUTH_WORDS[auth],
            "rests_on": self.rests_on,
            "sentence": self.closing_sentence,
        }

    @property
    def heading(self) -> str:
        """The same for people."""
        return self.title

    def place_of(self, finding: Finding) -> str:  # noqa: ARG002  it is the same for all
        """The URL, for a CI."""
        return self.title

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

    def asked_by(self, command: tuple[str, ...]) -> Self:
        """The report with the command line that asked for it."""
        return dataclasses.replace(self, command=command)

    def with_texts(self, change: Change) -> Self:
        """The report with ``change`` made to all its texts: any of them may hold words of a server or of a file."""
        client = self.client
        if client is not None:
            client = dataclasses.replace(client, certificate=_changed(client.certificate, change))
        return dataclasses.replace(
            super().with_texts(change),
            url=change(self.url),
            server=self.server.with_texts(change),
            client=client,
            settings=change(self.settings),
            command=change(self.command),
        )

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
            untried = "nobody tried the authorised client, or others with its names (--cert, --key)."
            sentence = f"refuses strangers: {kinds} kinds were tried; {untried}"
            return f"{self.url} {sentence}{warnings}"
        if self.server.client_auth is ClientAuth.WITH_HOLES:
            sentence = f"enforces mTLS, with holes: {kinds} kinds of others are refused, some that the CA made are not."
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
        if any(finding.family == SAME_EVERY_TIME for finding in failed):
            return f"{self.url} does NOT enforce mTLS: it is not the same every time, and lets some in."
        elsewhere = [finding for finding in failed if finding.family == SAME_AT_EVERY_ADDRESS]
        if elsewhere and len(elsewhere) == len(failed):
            return f"{self.url} does NOT enforce mTLS at every address: {elsewhere[0].reason}"
        if not holes and any(finding.family == ASKS for finding in failed):
            return f"{self.url} does NOT enforce mTLS: it asks nobody for a certificate."
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

"""What a check is: a fact that must hold, the attempt that shows it, and what to learn from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from mtlslab.pki.faults import Outcome, Severity

TLS_VERSIONS = ("1.2", "1.3")
CLIENT = "client"
"""The credential of the lab's own client; every other name is a fault."""

SERVER_IDENTITY = "TLS: the server proves who it is"
CLIENT_IDENTITY = "mTLS: the client proves who it is, too"
REFUSED_CLIENTS = "mTLS: everyone else is refused"
ODD_CERTIFICATES = "mTLS: certificates that are wrong or odd"
REVOCATION = "mTLS: certificates that were taken back"
CONFIGURATION = "The configuration: what nginx reads, whether or not anybody knocks there"
FILES = "The files: keys, certificates, and who may read or change them"
CLIENT_SIDE = "The client's side: which servers a client refuses"
SMALL_SERVER = "mtlslab-serve"
"""The service of checks that ask none of the lab's: a server of verify's own, for one connection."""
MISSING = "missing"
"""In what was observed: the file without which a check cannot be made."""
PROBE = "probe"
CRL_PROCEDURE = "crl"


REFUSED_BY_SERVER = (
    Outcome.REFUSED_NO_CERTIFICATE,
    Outcome.REFUSED_CERTIFICATE,
    Outcome.REFUSED_BY_ALERT,
    Outcome.CLOSED,
)

# nginx's pages for its internal codes 496 and 495; both go out with status 400.
PAGES = {
    Outcome.REFUSED_NO_CERTIFICATE: "No required SSL certificate was sent",
    Outcome.REFUSED_CERTIFICATE: "The SSL certificate error",
}
REFUSED_STATUS = 400
VERIFY_HEADER = "x-ssl-client-verify"
"""The field of an answer in which a lab's server repeats ``$ssl_client_verify``."""
VERSION_ALERT = "protocol_version"
"""The alert of a server that does not speak the TLS version of the client (RFC 8446 section 6.2)."""


class Result(StrEnum):
    """The verdict on a check."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    WARN = "warn"
    SKIP = "skip"
    INCONCLUSIVE = "inconclusive"


class Trust(StrEnum):
    """Whom the client trusts as a server: what the server CA vouches for, nobody, or anyone (``--insecure``)."""

    SERVER_CA = "server-ca"
    NOBODY = "nobody"
    ANYONE = "anyone"


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What must be seen.

    Attributes:
        outcome: how the attempt must end.
        reason: a regular expression for the words of whoever refuses: the server in its header, or the client's
            own OpenSSL. Words differ from release to release: another reason is worth a warning, not a failure.
        identified: a server that serves must say that it verified the client, and have seen the very certificate that
            was sent.
        asked: whether the server must (not) have sent a CertificateRequest; None leaves it open.
        also: other ways to end that are right, too.
        by_design: this is what nginx does, and not what many expect: seeing it is a warning with a lesson, and a
            server that decides the other way is none the worse. For advisory checks.
    """

    outcome: Outcome
    reason: str = ""
    identified: bool = False
    asked: bool | None = None
    also: tuple[Outcome, ...] = ()
    by_design: bool = False

    def to_mapping(self) -> dict[str, Any]:
        """As reports show it; what is left open is left out."""
        mapping: dict[str, Any] = {"outcome": self.outcome.value}
        if self.outcome is Outcome.SERVED:
            mapping["status"] = 200
        if self.outcome in PAGES:
            mapping |= {"status": REFUSED_STATUS, "page": PAGES[self.outcome]}
        if self.reason:
            mapping["reason_pattern"] = self.reason
        if self.identified and self.outcome is Outcome.SERVED:
            mapping["client_verify"] = "SUCCESS"
        if self.asked is not None:
            mapping["certificate_requested"] = self.asked
        if self.also:
            mapping["also"] = [outcome.value for outcome in self.also]
        if self.by_design:
            mapping["by_design"] = True
        return mapping


@dataclasses.dataclass(frozen=True)
class Fact:
    """One fact about the lab, the attempt that shows it, and what there is to say about it.

    Attributes:
        id: stable name in kebab case.
        title: the fact, as a sentence in the indicative without its full stop.
        category: heading of its group.
        service: the service that is asked.
        expect: what must be seen.
        why: two or three sentences for a student: what this shows.
        hint: where to look when it does not hold, with the nginx directive.
        credential: name of the client's credential; None for a client without one.
        weak: whether the credential is too weak for a client that is not told to load it.
        trust: whom the client trusts.
        depends: id of the positive control, without which this would say nothing.
        severity: required or advisory.
        rfc: the sections that say so, for whoever wants to read on.
        directive: the nginx directives that decide it.
        sabotage: what to change in order to see it fail.
        shows: names of further credentials, faults all of them, that the procedure shows.
        regardless: whether it is tried even without its positive control: what fails then does fail.
        procedure: the procedure that is followed, by its name in ``mtlslab.verify.procedures.PROCEDURES``.
    """

    id: str
    title: str
    category: str
    service: str
    expect: Expectation
    why: str
    hint: str
    credential: str | None = None
    weak: bool = False
    trust: Trust = Trust.SERVER_CA
    depends: str | None = None
    severity: Severity = Severity.REQUIRED
    rfc: str = ""
    directive: str = ""
    sabotage: str = ""
    procedure: str = PROBE
    shows: tuple[str, ...] = ()
    regardless: bool = False


@dataclasses.dataclass(frozen=True)
class Check(Fact):
    """A fact on one TLS version, or on whatever version client and server agree on: what is run and reported.

    Attributes:
        id: the entry's, with ``.tls12`` or ``.tls13`` where it holds per TLS version; ``depends`` likewise.
        tls_version: the only version offered; None offers all.
    """

    tls_version: str | None = None

    @property
    def family(self) -> str:
        """The id without the TLS version: the entry's."""
        return self.id.partition(".")[0]


@dataclasses.dataclass(frozen=True)
class Entry(Fact):
    """A fact as it stands in the catalogue, once for all TLS versions.

    Attributes:
        versions: the TLS versions that it becomes a check for; empty for one check that offers all.
    """

    versions: tuple[str, ...] = TLS_VERSIONS

    def per_version(self) -> Iterator[Check]:
        """The checks: one for each TLS version, depending on the control of the same version."""
        for version in self.versions or (None,):
            yield self.check(version)

    def check(self, version: str | None = None) -> Check:
        """The check on one TLS version; None for one that offers all."""
        suffix = f".tls{version.replace('.', '')}" if version else ""
        told = {field.name: getattr(self, field.name) for field in dataclasses.fields(Fact)}
        depends = f"{self.depends}{suffix}" if self.depends else None
        return Check(**{**told, "id": f"{self.id}{suffix}", "depends": depends}, tls_version=version)

"""What a fault is: a client credential that is broken, or odd but valid, on purpose, and what nginx is expected to do.

A fault is a function that issues the credential. Its name is the id, its docstring is what a student reads: the first
paragraph says what is wrong, the second what there is to learn.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Callable
from types import ModuleType

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from mtlslab import pki
from mtlslab.pki.faults.outcome import Outcome, Severity
from mtlslab.plan.docstrings import docstring_of
from mtlslab.plan.spec import KEY_TYPES

DAY = datetime.timedelta(days=1)
LIFETIME = 30 * DAY


# How nginx tells of each outcome that a fault can have: the HTTP status and what is wrong, or no answer at all.
NGINX_ANSWERS = {
    Outcome.SERVED: "200",
    Outcome.REFUSED_NO_CERTIFICATE: "400 no certificate",
    Outcome.REFUSED_CERTIFICATE: "400 certificate error",
    Outcome.REFUSED_BY_ALERT: "alert",
    Outcome.LOCAL: "local",
}


@dataclasses.dataclass(frozen=True)
class FaultFiles:
    """What a client is given.

    Attributes:
        certificate: PEM of the leaf and the chain to send along; None to send no certificate.
        key: PEM of the private key; None with no certificate.
        revoke: serial number that belongs on the client CA's CRL; None for all faults but the revoked one.
        crl: PEM of a further CA's revocation list, to be given to the server by hand; None for most faults.
    """

    certificate: bytes | None
    key: bytes | None = dataclasses.field(repr=False)
    revoke: int | None = None
    crl: bytes | None = None


@dataclasses.dataclass(frozen=True)
class Parts:
    """What faults are made of.

    Attributes:
        client_ca: the CA that the server trusts for clients, with its key.
        server: the server's own credential.
        now: the time (aware UTC).
        name: id of the fault; becomes the common name, so that the server's log tells which one it met.
        lifetime: how long a certificate lives at most.
        client: the certificate of the server's authorised client; None where it is not known.
        leaf_key: of all leaves but those whose key is the fault; None makes a new one (EC P-256, for speed) for each.
    """

    client_ca: pki.Credential
    server: pki.Credential
    now: datetime.datetime
    name: str
    lifetime: datetime.timedelta = LIFETIME
    client: x509.Certificate | None = None
    leaf_key: pki.PrivateKey | None = None

    @property
    def end(self) -> datetime.datetime:
        """The moment after which nothing that is made now is valid."""
        return self.now + self.lifetime

    def period(self, issuer: pki.Credential | None = None) -> tuple[datetime.datetime, datetime.datetime]:
        """First and last moment of a good certificate; never past the end of its issuer's validity."""
        first, last = pki.validity(self.now, LIFETIME.days, issuer)
        return first, min(last, self.end)

    def leaf(
        self,
        *,
        issuer: pki.Credential | None = None,
        key: pki.PrivateKey | None = None,
        subject: x509.Name | None = None,
        extensions: pki.Extensions | None = None,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
    ) -> pki.Credential:
        """A good client leaf of the client CA, but for what is given."""
        first, last = self.period(issuer or self.client_ca)
        return pki.issue(
            self.subject() if subject is None else subject,
            key or self.usual_key(),
            pki.client_extensions([self.name]) if extensions is None else extensions,
            issuer=issuer or self.client_ca,
            not_before=not_before or first,
            not_after=min(not_after or last, self.end),
        )

    def usual_key(self) -> pki.PrivateKey:
        """The key of a leaf whose key is not its fault."""
        return self.leaf_key or pki.new_key("ec-p256")

    def intermediate(
        self,
        *,
        issuer: pki.Credential | None = None,
        path_length: int | None = 0,
        key: pki.PrivateKey | None = None,
        extensions: pki.Extensions | None = None,
    ) -> pki.Credential:
        """A good CA below the client CA (or below ``issuer``), but for what is given."""
        key = key or pki.new_key("ec-p256")
        issuer = issuer or self.client_ca
        name = f"{self.name} intermediate" + (" 2" if issuer is not self.client_ca else "")
        first, last = self.period(issuer)
        extensions = pki.ca_extensions(path_length) if extensions is None else extensions
        subject = pki.distinguished_name(name)
        return pki.issue(subject, key, extensions, issuer=issuer, not_before=first, not_after=last)

    def impostor_key(self) -> pki.PrivateKey:
        """A key of the client CA's type that the server does not know.

        OpenSSL looks at a signature only if its algorithm fits the key of the issuer that was found.
        """
        return _impostor_key(_likeness(self.client_ca.certificate.public_key()))

    def other_ca(self, subject: x509.Name) -> pki.Credential:
        """A CA that the server does not know, with a key of the client CA's type."""
        first, last = self.period()
        key = self.impostor_key()
        return pki.issue(subject, key, pki.ca_extensions(1), issuer=None, not_before=first, not_after=last)

    def subject(self) -> x509.Name:
        """The usual subject of a fault."""
        return pki.distinguished_name(self.name, pki.organization_of(self.client_ca.certificate))

    def extensions(self, replaced: x509.ExtensionType) -> pki.Extensions:
        """The extensions of a good client leaf, with one of them replaced by ``replaced``."""
        usual = pki.client_extensions([self.name])
        return [(replaced if type(one) is type(replaced) else one, critical) for one, critical in usual]

    def extensions_without(self, left_out: type[x509.ExtensionType]) -> pki.Extensions:
        """The extensions of a good client leaf, but for one of them."""
        return [one for one in pki.client_extensions([self.name]) if not isinstance(one[0], left_out)]

    def hashing_ca(self) -> pki.Credential:
        """The client CA, or an EC CA below it where its key (Ed25519) takes no choice of a hash."""
        return self.intermediate() if isinstance(self.client_ca.key, ed25519.Ed25519PrivateKey) else self.client_ca


@functools.lru_cache
def _impostor_key(key_type: str) -> pki.PrivateKey:
    """The same key for all impostors: making an RSA key takes longer than making all other faults."""
    return pki.new_key(key_type)


def _likeness(key: CertificatePublicKeyTypes) -> str:
    """The key type, as ``pki.new_key`` takes it, whose signatures look like those of ``key``.

    OpenSSL compares the algorithm only, so that an unusual RSA key may be met by one that is made in less time.
    """
    if isinstance(key, rsa.RSAPublicKey):
        return f"rsa-{min(max(key.key_size, 2048), 3072)}"
    name = pki.key_type_of(key)
    return name if name in KEY_TYPES else "ec-p256"


def changed(
    credential: pki.Credential,
    signing_key: pki.PrivateKey,
    *,
    serial_number: int | None = None,
    without: type[x509.ExtensionType] | None = None,
) -> pki.Credential:
    """The same credential with another serial number or without one of its extensions, signed anew."""
    old = credential.certificate
    builder = x509.CertificateBuilder(
        issuer_name=old.issuer,
        subject_name=old.subject,
        public_key=old.public_key(),
        serial_number=old.serial_number if serial_number is None else serial_number,
        not_valid_before=old.not_valid_before_utc,
        not_valid_after=old.not_valid_after_utc,
    )
    for extension in old.extensions:
        if without is None or not isinstance(extension.value, without):
            builder = builder.add_extension(extension.value, extension.critical)
    certificate = builder.sign(signing_key, pki.signature_hash(signing_key))
    return dataclasses.replace(credential, certificate=certificate)


def send_along(leaf: pki.Credential, *chain: pki.Credential) -> pki.Credential:
    """The same credential with CA certificates to send along, nearest first."""
    return dataclasses.replace(leaf, chain=tuple(one.certificate for one in chain))


Builder = Callable[[Parts], pki.Credential | FaultFiles]


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: its id.
        title: a few words for a table.
        wrong: what is wrong or odd about it.
        lesson: what there is to learn from the outcome.
        rfc: the section that it violates or makes use of.
        outcome: what nginx does on TLS 1.3 with ``ssl_verify_client on`` and no CRL.
        outcome_tls12: the same on TLS 1.2 if it differs.
        outcome_with_crl: the same with ``ssl_crl`` if it differs.
        reason: regular expression for ``$ssl_client_verify``, loose because the words are OpenSSL's and change.
        reason_with_crl: the same with ``ssl_crl`` if it differs.
        alert: name of the TLS alert where that is the outcome.
        severity: whether another outcome makes a lab wrong.
        weak: only a client at OpenSSL's security level 0 can use it, others refuse to load it.
        also: other outcomes that are right too: releases and security levels of OpenSSL differ, the client's and the
            server's.
        needs_client_ca: whether it needs the client CA's private key.
        build: makes the credential.
    """

    name: str
    title: str
    wrong: str
    lesson: str
    rfc: str
    outcome: Outcome
    reason: str
    severity: Severity
    outcome_tls12: Outcome | None
    outcome_with_crl: Outcome | None
    reason_with_crl: str | None
    alert: str
    weak: bool
    also: tuple[Outcome, ...]
    needs_client_ca: bool
    build: Builder = dataclasses.field(repr=False)

    @property
    def verdict(self) -> str:
        """Whether a client with it gets in: ``served`` or ``refused``, or ``either`` where both are right."""
        if self.may_be_served and self.outcome is not Outcome.SERVED:
            return "either"
        return "served" if self.outcome is Outcome.SERVED else "refused"

    @property
    def may_be_served(self) -> bool:
        """Whether it is right without a CRL that a client with it gets in."""
        return Outcome.SERVED in (self.outcome, *self.also)

    @property
    def load_fails_locally(self) -> bool:
        """Whether the client itself refuses it, so that the server never gives a verdict."""
        return self.outcome is Outcome.LOCAL

    def expected(self, tls_version: str, *, crl: bool = False) -> tuple[Outcome, ...]:
        """The outcomes that are right, the commonest first; ``tls_version`` is "TLSv1.2" or "TLSv1.3"."""
        if crl and self.outcome_with_crl:
            return (self.outcome_with_crl,)
        outcome = self.outcome_tls12 if tls_version == "TLSv1.2" and self.outcome_tls12 else self.outcome
        return (outcome, *(other for other in self.also if other is not outcome))

    def answers(self, tls_version: str, *, crl: bool = False) -> tuple[str, ...]:
        """The same as ``expected``, in the words of ``NGINX_ANSWERS``."""
        return tuple(sorted(NGINX_ANSWERS[outcome] for outcome in self.expected(tls_version, crl=crl)))

    def expected_reason(self, *, crl: bool = False) -> str:
        """Regular expression for ``$ssl_client_verify``."""
        if not crl or (self.outcome in (Outcome.REFUSED_NO_CERTIFICATE, Outcome.SERVED) and not self.reason_with_crl):
            return self.reason
        # nginx keeps the last error, and of every chain that is broken above the leaf a CRL is missing too.
        return self.reason_with_crl or f"{self.reason}|unable to get certificate CRL"


_ENTERED: dict[str, list[Fault]] = {}


def in_order(chapter: ModuleType) -> list[Fault]:
    """The faults of one module, in the order in which they stand there."""
    return _ENTERED[chapter.__name__]


def fault(
    title: str,
    *,
    rfc: str,
    reason: str,
    outcome: Outcome = Outcome.REFUSED_CERTIFICATE,
    severity: Severity = Severity.REQUIRED,
    outcome_tls12: Outcome | None = None,
    outcome_with_crl: Outcome | None = None,
    reason_with_crl: str | None = None,
    alert: str = "",
    weak: bool = False,
    also: tuple[Outcome, ...] = (),
    needs_client_ca: bool = True,
) -> Callable[[Builder], Builder]:
    """Enter a function into the table of faults; what the arguments mean is said at :class:`Fault`."""

    def enter(build: Builder) -> Builder:
        name = build.__name__.replace("_", "-")
        wrong, _, lesson = docstring_of(build).partition("\n\n")
        entry = Fault(
            name=name,
            title=title,
            wrong=" ".join(wrong.split()),
            lesson=" ".join(lesson.split()),
            rfc=rfc,
            outcome=outcome,
            reason=reason,
            severity=severity,
            outcome_tls12=outcome_tls12,
            outcome_with_crl=outcome_with_crl,
            reason_with_crl=reason_with_crl,
            alert=alert,
            weak=weak,
            also=also,
            needs_client_ca=needs_client_ca,
            build=build,
        )
        _ENTERED.setdefault(build.__module__, []).append(entry)
        return build

    return enter

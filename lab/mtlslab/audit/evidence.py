"""What an auditor asks for beside the verdict: certificates with their fingerprints, addresses, and what was set."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mtlslab import pki
from mtlslab.pki.bundle import first_der, read_der
from mtlslab.pki.describe import alternative_names, serial_hex


@dataclasses.dataclass(frozen=True)
class CertificateFacts:
    """A certificate as it was sent, named by its fingerprint.

    Attributes:
        sha256: SHA-256 (lower case hex) of its DER; empty if there is none.
        subject: its name as RFC 4514 text.
        issuer: the same of who signed it.
        serial: hexadecimal, upper case.
        sans: subject alternative names, each as ``DNS:localhost`` or ``IP:127.0.0.1``.
        key_type: ``rsa-2048``, ``ec-p256``...
        not_before: first moment of validity, ISO 8601 with its offset from UTC.
        not_after: last moment of validity.
        problem: why nothing but the fingerprint can be told; empty if all can.
    """

    sha256: str
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    sans: tuple[str, ...] = ()
    key_type: str = ""
    not_before: str = ""
    not_after: str = ""
    problem: str = ""

    @property
    def fingerprint(self) -> str:
        """The SHA-256 as openssl and browsers print it: pairs of digits with colons between them."""
        return ":".join(self.sha256[place : place + 2].upper() for place in range(0, len(self.sha256), 2))

    @property
    def words(self) -> str:
        """The certificate on one line."""
        if self.problem:
            return f"it cannot be read: {self.problem}"
        names = f", for {', '.join(self.sans)}" if self.sans else ""
        return f"{self.subject or '(no subject)'}{names}; issued by {self.issuer or '(nobody)'}; {self.key_type}"

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {**dataclasses.asdict(self), "sans": list(self.sans)}


@dataclasses.dataclass(frozen=True)
class AddressFacts:
    """One address of the host.

    Attributes:
        address: where a connection was tried.
        client_auth: what is done there about client certificates; empty if nobody answered in TLS.
        certificates: SHA-256 of each certificate that the server there has shown.
    """

    address: str
    client_auth: str = ""
    certificates: tuple[str, ...] = ()

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {**dataclasses.asdict(self), "certificates": list(self.certificates)}


@dataclasses.dataclass(frozen=True)
class ClientFacts:
    """The authorised client with which everybody else was compared.

    Attributes:
        minted: whether it was made for this audit with the client CA's key.
        certificate: its certificate.
    """

    minted: bool
    certificate: CertificateFacts

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {"minted": self.minted, "certificate": self.certificate.to_mapping()}


def certificate_facts(der: bytes) -> CertificateFacts:
    """What a certificate says; of one that cannot be read, at least its fingerprint."""
    sha256 = hashlib.sha256(der).hexdigest()
    try:
        certificate = read_der(der)
        return CertificateFacts(
            sha256=sha256,
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            serial=serial_hex(certificate.serial_number),
            sans=tuple(alternative_names(certificate)),
            key_type=pki.key_type_of(certificate.public_key()),
            not_before=certificate.not_valid_before_utc.isoformat(timespec="seconds"),
            not_after=certificate.not_valid_after_utc.isoformat(timespec="seconds"),
        )
    except ValueError as error:
        return CertificateFacts(sha256, problem=str(error))


def leaves_of(chains: Iterable[tuple[bytes, ...]]) -> tuple[CertificateFacts, ...]:
    """The servers' own certificates out of the chains that they sent, each once."""
    return tuple(certificate_facts(der) for der in dict.fromkeys(chain[0] for chain in chains if chain))


def facts_of_client(file: Path, *, minted: bool) -> ClientFacts:
    """The authorised client; its certificate is the first in a PEM file."""
    try:
        der = first_der(file.read_bytes())
    except OSError as error:
        return ClientFacts(minted, CertificateFacts("", problem=error.strerror or "no such file"))
    return ClientFacts(minted, certificate_facts(der) if der else CertificateFacts("", problem="it is no PEM"))

"""What a certificate says, for people and for programs. Read-only."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlslab import pki
from mtlslab.pki.bundle import read_bundle
from mtlslab.plan.visible import visible

__all__ = [
    "CertificateInfo",
    "alternative_names",
    "describe",
    "serial_hex",
]

_PURPOSES = {
    ExtendedKeyUsageOID.SERVER_AUTH: "server",
    ExtendedKeyUsageOID.CLIENT_AUTH: "client",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
    ExtendedKeyUsageOID.CODE_SIGNING: "code signing",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "mail",
}


@dataclasses.dataclass(frozen=True)
class CertificateInfo:
    r"""What a certificate says.

    Attributes:
        subject: its name as RFC 4514 text. nginx prints ``$ssl_client_s_dn`` so too, but ``ü`` as ``\C3\BC``.
        issuer: the same of who signed it.
        sans: subject alternative names, each as ``DNS:localhost`` or ``IP:127.0.0.1``.
        purposes: what it is for: ``CA``, ``server``, ``client``...; ``any`` if it does not say (no EKU).
        key_type: ``rsa-2048``, ``ec-p256``...
        not_before: first moment of validity (aware UTC).
        not_after: last moment of validity (aware UTC).
        days_left: whole days until it expires; negative when it has.
        serial: hexadecimal, upper case, as nginx prints ``$ssl_client_serial``.
        sha256: fingerprint of the DER form, lower case hexadecimal.
        sha1: the same as nginx prints ``$ssl_client_fingerprint``.
        chain_length: how many further certificates lie in the same file.
    """

    subject: str
    issuer: str
    sans: tuple[str, ...]
    purposes: tuple[str, ...]
    key_type: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    days_left: int
    serial: str
    sha256: str
    sha1: str
    chain_length: int

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready values; times as ISO 8601."""
        times = {"not_before": self.not_before.isoformat(), "not_after": self.not_after.isoformat()}
        return {**dataclasses.asdict(self), **times, "sans": list(self.sans), "purposes": list(self.purposes)}

    def to_text(self) -> str:
        """An aligned block of lines that holds nothing which steers a terminal, without a newline at the end."""
        rows = {
            "subject": self.subject or "(empty)",
            "issuer": self.issuer or "(empty)",
            "valid for": ", ".join(self.sans) or "(no names)",
            "purposes": ", ".join(self.purposes),
            "key": self.key_type,
            "valid": f"{self.not_before:%Y-%m-%d %H:%M} to {self.not_after:%Y-%m-%d %H:%M} UTC",
            "days left": str(self.days_left),
            "serial": self.serial,
            "SHA-256": self.sha256,
            "SHA-1": self.sha1,
            **({"chain": f"{self.chain_length} more in the file"} if self.chain_length else {}),
        }
        return "\n".join(f"{label:<10} {visible(value)}" for label, value in rows.items())


def describe(pem: bytes, *, now: datetime.datetime) -> CertificateInfo:
    """What the first certificate of a PEM file says that can be read.

    Raises:
        ValueError: there is no readable certificate in it.
    """
    bundle = read_bundle(pem)
    certificate = (bundle.certificates or pki.load_certificates(pem))[0]
    return CertificateInfo(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        sans=tuple(alternative_names(certificate)),
        purposes=_purposes(certificate),
        key_type=pki.key_type_of(certificate.public_key()),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        days_left=(certificate.not_valid_after_utc - now).days,
        serial=serial_hex(certificate.serial_number),
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        sha1=certificate.fingerprint(hashes.SHA1()).hex(),  # noqa: S303 - an identifier; it is what nginx prints
        chain_length=bundle.count - 1,
    )


def serial_hex(serial: int) -> str:
    """A serial number as nginx and OpenSSL print it: upper case hexadecimal, whole bytes."""
    digits = f"{serial:X}"
    return digits.rjust(len(digits) + len(digits) % 2, "0")


def alternative_names(certificate: x509.Certificate) -> list[str]:
    """The SANs as ``TYPE:value``; none when there is no such extension."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [_name_text(name) for name in names]


def _name_text(name: x509.GeneralName) -> str:
    if isinstance(name, x509.DirectoryName):
        return f"dirName:{name.value.rfc4514_string()}"
    prefixes = {
        x509.DNSName: "DNS",
        x509.IPAddress: "IP",
        x509.RFC822Name: "email",
        x509.UniformResourceIdentifier: "URI",
    }
    return f"{prefixes.get(type(name), 'other')}:{getattr(name, 'value', name)}"


def _purposes(certificate: x509.Certificate) -> tuple[str, ...]:
    found = ("CA",) if pki.is_ca(certificate) else ()
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return found or ("any",)
    return found + tuple(_PURPOSES.get(oid, oid.dotted_string) for oid in usages)

"""The host name check, for connections whose SNI names another host: ``ssl`` compares with the name in SNI only."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator

from cryptography import x509
from cryptography.x509.oid import NameOID

from mtlslab.pki.reading import reading
from mtlslab.plan.spec import is_ip_address

_HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH = 62, 64  # OpenSSL's X509_V_ERR numbers


def require_name(certificate: bytes, host: str, *, strict: bool) -> None:
    """Raise if a certificate does not name a host (RFC 9525 section 6.3), in the words of ``ssl``.

    Args:
        certificate: DER.
        host: a DNS name or an IP address.
        strict: take no name from the common name, as ``ssl`` does where there is no DNS name in the subjectAltName.

    Raises:
        ssl.SSLCertVerificationError: it does not, or cannot be read.
    """
    by_address = is_ip_address(host)
    try:
        named = _names_address(certificate, host) if by_address else _names_host(certificate, host, strict=strict)
    except ValueError:
        named = False
    if named:
        return
    kind = "IP address" if by_address else "Hostname"
    words = f"{kind} mismatch, certificate is not valid for {host!r}."
    error = ssl.SSLCertVerificationError(1, words)
    error.verify_code = _IP_ADDRESS_MISMATCH if by_address else _HOSTNAME_MISMATCH
    error.verify_message = words
    raise error


def _names_address(certificate: bytes, host: str) -> bool:
    wanted = ipaddress.ip_address(host)
    return wanted in _alternative(certificate).get_values_for_type(x509.IPAddress)


def _names_host(certificate: bytes, host: str, *, strict: bool) -> bool:
    names = _alternative(certificate).get_values_for_type(x509.DNSName)
    if not names and not strict:
        names = list(_common_names(certificate))
    return any(_covers(name.lower(), host.lower().rstrip(".")) for name in names)


def _covers(name: str, host: str) -> bool:
    """Whether a name is the host's, or stands with a whole label of ``*`` for it."""
    first, _, rest = host.partition(".")
    return name == host or (bool(first) and "." in rest and name == f"*.{rest}")


def _alternative(certificate: bytes) -> x509.SubjectAlternativeName:
    with reading("no certificate that can be read"):
        found = x509.load_der_x509_certificate(certificate).extensions
        for one in found:
            if isinstance(one.value, x509.SubjectAlternativeName):
                return one.value
        return x509.SubjectAlternativeName([])


def _common_names(certificate: bytes) -> Iterator[str]:
    with reading("no certificate that can be read"):
        subject = x509.load_der_x509_certificate(certificate).subject
    yield from (str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME))

"""What a leaf certificate may be used for, and for what it may not. Facts only; in memory."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlslab.pki.credential import is_ca, organization_of
from mtlslab.pki.describe import alternative_names
from mtlslab.pki.issue import Extensions

_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_OTHER_SIDE = {"server": (_CLIENT, "clientAuth"), "client": (_SERVER, "serverAuth")}


def signs_certificates(certificate: x509.Certificate) -> str:
    """Why its holder may issue certificates, in the words of the extension; empty if he may not."""
    if is_ca(certificate):
        return "basicConstraints CA:TRUE"
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return ""
    return "keyUsage keyCertSign" if usage.key_cert_sign else ""


def other_purposes(certificate: x509.Certificate, side: str) -> tuple[str, ...]:
    """The extended key usages that a ``server`` or ``client`` leaf has beside its own; none if it does not say any."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return ()
    other, word = _OTHER_SIDE[side]
    found = [word] if other in usages else []
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages:
        found.append("anyExtendedKeyUsage")
    return tuple(found)


def for_both_sides(extensions: Extensions) -> Extensions:
    """The extensions of a leaf, with serverAuth and clientAuth."""
    others = [(one, critical) for one, critical in extensions if not isinstance(one, x509.ExtendedKeyUsage)]
    return [*others, (x509.ExtendedKeyUsage([_SERVER, _CLIENT]), False)]


def host_names(certificate: x509.Certificate) -> frozenset[str]:
    """The DNS names and addresses in its subjectAltName, in lower case."""
    names = (name.partition(":") for name in alternative_names(certificate))
    return frozenset(value.lower() for kind, _, value in names if kind in ("DNS", "IP"))


def made_by_lab(certificate: x509.Certificate, side: str) -> bool:
    """Whether it is a CA that a lab made for itself, by its name; anybody else's may be as its owner wants it."""
    organization = organization_of(certificate)
    subject = certificate.subject.rfc4514_string()
    return bool(organization) and subject == f"CN={organization} {side} CA,O={organization}"

"""A certificate with its private key: the value, and reading it back from PEM."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID

from mtlslab.pki.bundle import read_bundle
from mtlslab.pki.formats import format_of
from mtlslab.pki.keys import PrivateKey, key_pem, load_key
from mtlslab.pki.reading import reading


@dataclasses.dataclass(frozen=True)
class Credential:
    """A certificate with its private key.

    Attributes:
        certificate: the certificate itself.
        key: the private key; in a deliberately broken credential it need not belong to the certificate.
        chain: further certificates to send along, each the issuer of the one before; without the root.
    """

    certificate: x509.Certificate
    key: PrivateKey = dataclasses.field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    def certificate_pem(self) -> bytes:
        """PEM of the certificate and, after it, of its chain: the order of RFC 8446 section 4.4.2."""
        return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in (self.certificate, *self.chain))

    def key_pem(self) -> bytes:
        """PEM of the private key, PKCS #8 (RFC 5208) without a password."""
        return key_pem(self.key)


def pem_of(certificate: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def load_credential(cert_pem: bytes, private_key_pem: bytes) -> Credential:
    """A credential from PEM: the leaf first, its chain after it, and the private key.

    Raises:
        ValueError: in words, what is wrong: damaged PEM, a password, an unsupported key, a key of another certificate.
    """
    certificates = load_certificates(cert_pem)
    key = load_key(private_key_pem)
    if certificates[0].public_key() != key.public_key():
        raise ValueError("the private key does not belong to the certificate")
    return Credential(certificates[0], key, tuple(certificates[1:]))


def load_authority(certificates: Sequence[x509.Certificate], key: PrivateKey) -> Credential:
    """The CA of a private key, out of a file of trust anchors that stand in any order.

    Raises:
        ValueError: the key belongs to none of them.
    """
    for certificate in certificates:
        if certificate.public_key() == key.public_key():
            return Credential(certificate, key)
    raise ValueError("the private key does not belong to the certificate")


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """All certificates of a PEM file in which the order matters: a leaf, and its chain after it.

    Raises:
        ValueError: there is none, or one is damaged; it is named by its position.
    """
    bundle = read_bundle(pem)
    if bundle.unread:
        raise ValueError(bundle.unread[0].problem(bundle.count))
    if not bundle.certificates:
        raise ValueError(f"no readable certificate: it is {format_of(pem).words}")
    return list(bundle.certificates)


def load_anchors(pem: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM file of trust anchors, which stand in any order; without those that cannot be read.

    Raises:
        ValueError: none of them can be read.
    """
    bundle = read_bundle(pem)
    return list(bundle.certificates) or load_certificates(pem)


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ``issuer`` is the named issuer and its key made the signature; says nothing about rights or validity."""
    try:
        with reading("not issued by it"):
            certificate.verify_directly_issued_by(issuer)
    except ValueError:
        return False
    return True


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether its basicConstraints say CA:TRUE."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def organization_of(certificate: x509.Certificate) -> str:
    """The O of a certificate's subject; empty when there is none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else ""


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 (hex) of the whole certificate."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def key_id(certificate: x509.Certificate) -> str:
    """SHA-256 (hex) of its public key (SubjectPublicKeyInfo): the same for every certificate of one key."""
    return public_key_id(certificate.public_key())


def public_key_id(key: CertificatePublicKeyTypes) -> str:
    """SHA-256 (hex) of a public key, as :func:`key_id` of a certificate with it."""
    encoded = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()

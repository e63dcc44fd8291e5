"""Its key: weak, strong, slow, somebody else's."""

from __future__ import annotations

import base64
import dataclasses

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mtlslab import pki
from mtlslab.pki.faults.model import FaultFiles, Parts, fault
from mtlslab.pki.faults.outcome import Outcome, Severity
from mtlslab.pki.names import der_element

# DER of the AlgorithmIdentifiers sha1WithRSAEncryption and md5WithRSAEncryption (RFC 3279 section 2.2.1), and of
# ecdsa-with-SHA1 (section 2.2.3).
_SHA1_WITH_RSA = bytes.fromhex("300d06092a864886f70d0101050500")
_MD5_WITH_RSA = bytes.fromhex("300d06092a864886f70d0101040500")
_SHA1_WITH_ECDSA = bytes.fromhex("300906072a8648ce3d0401")


@fault(
    "RSA with 1024 bits", rfc="NIST SP 800-57 part 1 section 5.6.1", reason="key too (small|weak)",
    severity=Severity.ADVISORY, weak=True,
)  # fmt: skip
def rsa_1024(parts: Parts) -> pki.Credential:
    """The client's RSA key has 1024 bits, which has not been enough since 2013.

    The server's OpenSSL refuses it at security level 2 (the default since OpenSSL 3.2, and in Debian before that);
    at level 1 it is served. A client at level 2 does not even load it.
    """
    return parts.leaf(key=pki.new_key("rsa-1024"))


@fault("SHA-1 signature", rfc="RFC 9155", reason="too weak", weak=True)
def sha1_signature(parts: Parts) -> pki.Credential:
    """The CA signed with SHA-1, for which two different certificates with one signature can be made.

    Refused since OpenSSL 3.0 at its default security level. A client whose OpenSSL has level 2 does not even load
    it.
    """
    ca = parts.hashing_ca()
    good = parts.leaf(issuer=ca)
    chain = () if ca is parts.client_ca else (ca.certificate,)
    algorithm = _SHA1_WITH_RSA if isinstance(ca.key, rsa.RSAPrivateKey) else _SHA1_WITH_ECDSA
    digest = hashes.SHA1()  # noqa: S303 - weakness is the point
    return dataclasses.replace(good, certificate=_resigned(good.certificate, ca.key, algorithm, digest), chain=chain)


@fault("MD5 signature", rfc="RFC 6151 section 2", reason="too weak", weak=True)
def md5_signature(parts: Parts) -> pki.Credential:
    """The CA signed with MD5, which let researchers make a CA certificate of their own in 2008.

    Refused by OpenSSL at any security level but 0, and a client above level 0 does not even load it. Only RSA keys
    were ever used with MD5: where the client CA has another key, an RSA CA below it signs.
    """
    ca = parts.client_ca
    if not isinstance(ca.key, rsa.RSAPrivateKey):
        ca = parts.intermediate(key=pki.new_key("rsa-2048"))
    good = parts.leaf(issuer=ca)
    chain = () if ca is parts.client_ca else (ca.certificate,)
    certificate = _resigned(good.certificate, ca.key, _MD5_WITH_RSA, hashes.MD5())  # noqa: S303
    return dataclasses.replace(good, certificate=certificate, chain=chain)


@fault("EC P-384 key", rfc="RFC 8422 section 5.1.1", outcome=Outcome.SERVED, reason="SUCCESS")
def ec_p384(parts: Parts) -> pki.Credential:
    """Nothing is wrong: a key on a larger curve than the usual one.

    Client, server and CA may each have another kind of key.
    """
    return parts.leaf(key=pki.new_key("ec-p384"))


@fault("Ed25519 key", rfc="RFC 8446 section 4.2.3", outcome=Outcome.SERVED, reason="SUCCESS")
def ed25519(parts: Parts) -> pki.Credential:
    """Nothing is wrong: an Edwards curve key, small and fast.

    OpenSSL takes it in TLS 1.2 and 1.3; browsers do not.
    """
    return parts.leaf(key=pki.new_key("ed25519"))


@fault("RSA with 4096 bits", rfc="RFC 8446 section 4.2.3", outcome=Outcome.SERVED, reason="SUCCESS")
def rsa_4096(parts: Parts) -> pki.Credential:
    """Nothing is wrong: a large RSA key.

    It costs the client time to make and to sign with; the server, which only verifies, hardly notices.
    """
    return parts.leaf(key=pki.new_key("rsa-4096"))


@fault(
    "stolen certificate without its key", rfc="RFC 8446 section 4.4.3", outcome=Outcome.REFUSED_BY_ALERT, reason="",
    alert="decrypt_error",
)  # fmt: skip
def stolen_certificate(parts: Parts) -> FaultFiles:
    """The certificate is good, but whoever sends it has not got its key: the handshake is signed with another one.

    Certificates are public; the signature over the handshake (CertificateVerify) is the proof. Here nginx
    ends the handshake itself, with an alert. The key file states the certificate's public point beside a foreign
    scalar, so that every client loads it.
    """
    leaf = parts.leaf()
    thief = pki.new_key(pki.key_type_of(leaf.key))
    der = thief.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    forged = der.replace(_public_part(thief.public_key()), _public_part(leaf.key.public_key()))
    label = "RSA PRIVATE KEY" if isinstance(thief, rsa.RSAPrivateKey) else "EC PRIVATE KEY"
    return FaultFiles(leaf.certificate_pem(), _pem(label, forged))


@fault("key of another certificate", rfc="RFC 8446 section 4.4.3", outcome=Outcome.LOCAL, reason="")
def mismatched_key(parts: Parts) -> FaultFiles:
    """Certificate and private key are both good but do not belong together.

    The client notices when it loads the two and never asks the server: no verdict about the server follows from
    it.
    """
    return FaultFiles(parts.leaf().certificate_pem(), pki.key_pem(pki.new_key("ec-p256")))


@fault(
    "key on a curve that TLS does not know", rfc="RFC 8446 section 4.2.3", outcome=Outcome.REFUSED_NO_CERTIFICATE,
    reason="NONE", outcome_tls12=Outcome.REFUSED_BY_ALERT, alert="illegal_parameter", also=(Outcome.REFUSED_BY_ALERT,),
)  # fmt: skip
def ec_secp256k1(parts: Parts) -> pki.Credential:
    """The key lies on secp256k1, the curve of Bitcoin, which is a good curve and not one of TLS.

    In TLS 1.3 a signature scheme names its curve: the client finds none for its key, and OpenSSL sends no
    certificate at all. In TLS 1.2 it sends it, and the server ends the handshake with an alert.
    """
    return parts.leaf(key=ec.generate_private_key(ec.SECP256K1()))


@fault(
    "key on a Brainpool curve", rfc="RFC 8734 section 2", outcome=Outcome.REFUSED_NO_CERTIFICATE, reason="NONE|SUCCESS",
    outcome_tls12=Outcome.REFUSED_BY_ALERT, alert="illegal_parameter", also=(Outcome.SERVED, Outcome.REFUSED_BY_ALERT),
    severity=Severity.ADVISORY,
)  # fmt: skip
def ec_brainpool(parts: Parts) -> pki.Credential:
    """The key lies on brainpoolP256r1, a curve that TLS knows and that few servers and clients offer.

    Served in TLS 1.3 if both sides have OpenSSL 3.2 or later. An older client has no signature scheme for the curve
    and sends no certificate. In TLS 1.2 the curve has to stand in the server's `ssl_ecdh_curve` too; where it does
    not, the server ends the handshake with an alert.
    """
    return parts.leaf(key=ec.generate_private_key(ec.BrainpoolP256R1()))


# --- by hand, because pyca/cryptography rightly refuses to make such things


def _resigned(
    certificate: x509.Certificate, ca_key: pki.PrivateKey, algorithm: bytes, digest: hashes.HashAlgorithm
) -> x509.Certificate:
    """The same certificate, signed with another digest; the algorithm is named in two places (RFC 5280 section 4.1)."""
    fields = _fields(certificate.tbs_certificate_bytes)
    fields[2] = algorithm  # version, serial number, signature algorithm, ...
    to_be_signed = der_element(0x30, b"".join(fields))
    signature = der_element(0x03, b"\0" + _signature(ca_key, to_be_signed, digest))
    return x509.load_der_x509_certificate(der_element(0x30, to_be_signed + algorithm + signature))


def _signature(key: pki.PrivateKey, data: bytes, digest: hashes.HashAlgorithm) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), digest)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(digest))
    raise ValueError("an Ed25519 key signs without a choice of hash")


def _fields(der: bytes) -> list[bytes]:
    """The elements inside a DER sequence, each with its tag and length (X.690 section 8.1)."""
    content = der[_header_length(der) :]
    fields = []
    while content:
        end = _header_length(content) + _content_length(content)
        fields.append(content[:end])
        content = content[end:]
    return fields


def _header_length(der: bytes) -> int:
    return 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)


def _content_length(der: bytes) -> int:
    return int.from_bytes(der[2 : _header_length(der)]) if der[1] & 0x80 else der[1]


def _public_part(key: pki.PublicKey) -> bytes:
    """What stands of the public key in the file of the private one: an RSA key's modulus, an EC key's point."""
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_numbers().n.to_bytes(key.key_size // 8)
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _pem(label: str, der: bytes) -> bytes:
    text = base64.encodebytes(der).replace(b"\n", b"")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([f"-----BEGIN {label}-----".encode(), *lines, f"-----END {label}-----".encode(), b""])

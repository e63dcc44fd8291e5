"""Makes PEM without a password of what people have their certificates and keys in: DER, PKCS #7, PKCS #12, PEM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

from mtlslab.pki.bundle import certificate_blocks, read_bundle, read_der
from mtlslab.pki.credential import issued_by, load_certificates, pem_of
from mtlslab.pki.formats import (
    CERTIFICATE,
    DER_CERTIFICATE,
    DER_KEY,
    KEY,
    PKCS7_DER,
    PKCS7_PEM,
    PKCS12,
    PROTECTED_KEY,
    format_of,
    is_protected,
)
from mtlslab.pki.reading import reading

READABLE = (CERTIFICATE, DER_CERTIFICATE, PKCS7_PEM, PKCS7_DER, PKCS12)
"""What certificates are read from."""
_KEYS = (KEY, PROTECTED_KEY, DER_KEY)
_LONGEST_CHAIN = 10


class PasswordError(ValueError):
    """A password is missing, or it is not the right one."""


def is_plain_pem(certificate: bytes, key: bytes) -> bool:
    """Whether a certificate's file and its key's are PEM without a password, as every TLS library takes them."""
    return format_of(certificate) is CERTIFICATE and format_of(key) in (CERTIFICATE, KEY) and not is_protected(key)


def needs_password(content: bytes) -> bool:
    """Whether a file holds a private key that does not open without a password."""
    kind = format_of(content)
    if kind is PKCS12:
        try:
            _open_p12(content, None)
        except ValueError:
            return True
        return False
    return kind is PROTECTED_KEY or is_protected(content)


def certificates_pem(content: bytes, password: str | None = None) -> bytes:
    """The certificates of a file as PEM; PEM stays as it is.

    Raises:
        PasswordError: the password is missing or wrong.
        ValueError: what else is wrong.
    """
    kind = format_of(content)
    return content if kind is CERTIFICATE else b"".join(map(pem_of, _certificates(content, password)))


def key_pem_of(content: bytes, password: str | None) -> bytes:
    """The private key of a file in PEM, DER or PKCS #12, as PEM without a password; PEM without one stays as it is.

    Raises:
        PasswordError: the password is missing or wrong.
        ValueError: what else is wrong.
    """
    kind = format_of(content)
    if kind in (KEY, CERTIFICATE) and not is_protected(content):
        return content
    return _plain(_key(content, password))


def credential_pem(certificate: bytes, key: bytes, password: str | None) -> bytes:
    """A client's certificate, its chain and its key, as PEM.

    Args:
        certificate: content of a file in PEM, DER, PKCS #7 or PKCS #12.
        key: content of the file with its private key; the same as ``certificate`` if it is in there.
        password: opens what is protected; None if there is none.

    Raises:
        PasswordError: the password is missing or wrong.
        ValueError: what else is wrong: a format, damage, a key of another certificate, two certificates of one key.
    """
    private = _key(key, password)
    if format_of(certificate) is CERTIFICATE:  # the user's order, and certificates that only OpenSSL can read
        if (bundle := read_bundle(certificate)).certificates and not bundle.unread:
            _require_own(bundle.certificates[:1], private)
        return certificate_blocks(certificate) + _plain(private)
    certificates = _certificates(certificate, password)
    leaf = _require_own(certificates, private)
    return b"".join(map(pem_of, _chain(leaf, certificates))) + _plain(private)


def key_problem(certificate: bytes, key: bytes) -> str:
    """What is wrong with the private key of a certificate, both in PEM, in words; empty if it is not to blame."""
    try:
        private = _key(key, None)
        readable = read_bundle(certificate).certificates[:1]
        if readable:
            _require_own(readable, private)
    except ValueError as error:
        return str(error)
    return ""


def certificates_in(content: bytes, password: str | None) -> list[x509.Certificate]:
    """The certificates of a file in any format, in its order.

    Raises:
        PasswordError: the password is missing or wrong.
        ValueError: what else is wrong; of several in PEM, one that cannot be read is named by its position.
    """
    return _certificates(content, password)


def chain_in(certificate: bytes, key: bytes, password: str | None) -> tuple[list[x509.Certificate], bytes]:
    """The certificate of a key and its chain, whatever their order in the file, and the key as PEM.

    Raises:
        PasswordError: the password is missing or wrong.
        ValueError: what else is wrong: a format, damage, a key of another certificate, two certificates of one key.
    """
    private, certificates = _key(key, password), _certificates(certificate, password)
    return _chain(_require_own(certificates, private), certificates), _plain(private)


def _require_own(certificates: Sequence[x509.Certificate], key: Any) -> x509.Certificate:
    """The certificate of the key.

    Raises:
        ValueError: there is none, or there are several.
    """
    own = [one for one in certificates if one.public_key() == key.public_key()]
    if not own:
        raise ValueError("the private key does not belong to the certificate")
    if len(set(own)) > 1:
        raise ValueError(f"{len(set(own))} certificates belong to the private key: give the right one in a file alone")
    return own[0]


def _chain(leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The leaf and after it each one's issuer, as far as they are there; without the root, which nobody needs."""
    chain = [leaf]
    while len(chain) < _LONGEST_CHAIN:
        issuer = next((one for one in others if one not in chain and issued_by(chain[-1], one)), None)
        if issuer is None or issued_by(issuer, issuer):
            break
        chain.append(issuer)
    return chain


def _certificates(content: bytes, password: str | None) -> list[x509.Certificate]:
    kind = format_of(content)
    if kind is CERTIFICATE:
        return load_certificates(content)
    if kind is DER_CERTIFICATE:
        return [read_der(content)]
    if kind is PKCS12:
        found = _open_p12(content, password)
        entries = [found.cert, *found.additional_certs]
        return [_whole(one.certificate) for one in entries if one is not None]
    if kind in (PKCS7_PEM, PKCS7_DER):
        load = pkcs7.load_pem_pkcs7_certificates if kind is PKCS7_PEM else pkcs7.load_der_pkcs7_certificates
        with reading("the PKCS #7 file cannot be read"):
            loaded: list[x509.Certificate] = list(load(content))
        return [_whole(one) for one in loaded]
    raise ValueError(f"it is {kind.words}")


def _whole(certificate: x509.Certificate) -> x509.Certificate:
    """The same certificate, of which all parts can be read: the library looks at some only when they are asked for."""
    with reading("it is odd or damaged"):
        der = certificate.public_bytes(serialization.Encoding.DER)
    return read_der(der)


def _key(content: bytes, password: str | None) -> Any:
    kind = format_of(content)
    if kind is PKCS12:
        key = _open_p12(content, password).key
        if key is None:
            raise ValueError("there is no private key in it")
        return key
    if kind in READABLE and b"PRIVATE KEY-----" not in content:
        raise ValueError("there is no private key in it")
    if kind is not CERTIFICATE and kind not in _KEYS:
        raise ValueError(f"it is {kind.words}")
    is_pem = b"PRIVATE KEY-----" in content
    load = serialization.load_pem_private_key if is_pem else serialization.load_der_private_key
    data = _key_block(content) if is_pem else content
    return _opened(lambda secret: load(data, secret, unsafe_skip_rsa_key_validation=True), password)


def _key_block(pem: bytes) -> bytes:
    """The first private key of a PEM file; pyca reads the first block, whatever it is."""
    start = pem.rfind(b"-----BEGIN", 0, pem.index(b"PRIVATE KEY-----"))
    return pem[start:]


def _opened(load: Callable[[bytes | None], Any], password: str | None) -> Any:
    """A key that is protected or not; a password that is not needed does no harm."""
    try:
        with reading("the private key cannot be read"):
            return load(None)
    except ValueError as error:
        if not isinstance(error.__cause__, TypeError):  # so pyca says that a password is missing
            raise
    if password is None:
        raise PasswordError("a password is needed")
    try:
        with reading("the private key cannot be read"):
            return load(password.encode(errors="surrogateescape"))
    except ValueError as error:
        raise PasswordError("the password is wrong") from error


def _open_p12(content: bytes, password: str | None) -> pkcs12.PKCS12KeyAndCertificates:
    """A PKCS #12 file; without a password, it is tried with none and with an empty one, which are two things to it."""
    for secret in (None, b"") if password is None else (password.encode(errors="surrogateescape"), None, b""):
        try:
            with reading("the PKCS #12 file cannot be read"):
                return pkcs12.load_pkcs12(content, secret)
        except ValueError:
            continue
    raise PasswordError("a password is needed" if password is None else "the password is wrong, or the file is damaged")


def _plain(key: Any) -> bytes:
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem

"""Private keys: made, named, written as PEM and read back. In memory only."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs12

from mtlslab.errors import MachineError
from mtlslab.pki.formats import CERTIFICATE, DER_KEY, KEY, PKCS12, PROTECTED_KEY, format_of, is_protected
from mtlslab.pki.reading import reading

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
_CURVES: dict[str, ec.EllipticCurve] = {"ec-p256": ec.SECP256R1(), "ec-p384": ec.SECP384R1(), "ec-p521": ec.SECP521R1()}


# The base64 may stand in a string of another format, with its line breaks escaped.
_PEM_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(\s|\\[rn])+[A-Za-z0-9+/]{4}")


def new_key(key_type: str) -> PrivateKey:
    """A new private key.

    Args:
        key_type: one of ``spec.KEY_TYPES``; also ``rsa-BITS`` of at least 1024 bits and ``ec-p521``.

    Raises:
        ValueError: there is no such key type.
    """
    require_digests()
    if key_type == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if key_type in _CURVES:
        return ec.generate_private_key(_CURVES[key_type])
    if match := re.fullmatch(r"rsa-([1-9][0-9]{3,4})", key_type):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(match[1]))
    raise ValueError(f"unknown key type {key_type!r}")


def key_type_of(key: PrivateKey | CertificatePublicKeyTypes) -> str:
    """The name of a key's type as ``new_key`` takes it (``rsa-2048``), else the name of its class."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return f"rsa-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        names = {curve.name: name for name, curve in _CURVES.items()}
        return names.get(key.curve.name, f"ec-{key.curve.name}")
    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return "ed25519"
    return type(key).__name__


def key_pem(key: PrivateKey) -> bytes:
    """PEM of a private key, PKCS #8 without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def signature_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """The hash that a key signs certificates with; None for Ed25519, which has its own."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, ec.SECP256R1):
        return hashes.SHA384() if isinstance(key.curve, ec.SECP384R1) else hashes.SHA512()
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


class KeyPool:
    """Private keys of one type that are made in the background, for a program that knows what it will need.

    RSA key generation leaves the GIL to others, so other work goes on meanwhile.

    Args:
        key_type: see :func:`new_key`.
        count: how many keys to begin with; more can be taken.
    """

    def __init__(self, key_type: str, count: int = 0) -> None:
        self.key_type = key_type
        self._keys: list[Future[PrivateKey]] = []
        self._begin(count)

    def take(self, count: int) -> list[PrivateKey]:
        """Keys that nobody else gets; what was not begun before is made now, side by side.

        Raises:
            ValueError: there is no such key type.
        """
        self._begin(count - len(self._keys))
        taken, self._keys = self._keys[:count], self._keys[count:]
        return [key.result() for key in taken]

    def _begin(self, count: int) -> None:
        if count > 0:
            workers = ThreadPoolExecutor(max_workers=2)
            self._keys += [workers.submit(new_key, self.key_type) for _ in range(count)]
            workers.shutdown(wait=False)


def key_stream(key_type: str, count: int) -> Generator[PrivateKey, None, None]:
    """New keys one after another, RSA keys made on all cores meanwhile; close it to end early.

    Raises:
        ValueError: there is no such key type.
    """
    if key_type.startswith("rsa-"):
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            yield from pool.map(new_key, [key_type] * count)
    else:  # takes less time than it takes to hand a key from thread to thread
        yield from (new_key(key_type) for _ in range(count))


def load_key(pem: bytes) -> PrivateKey:
    """A private key from PEM.

    Raises:
        ValueError: it is damaged, protected by a password, or neither RSA, EC nor Ed25519.
    """
    _require_plain_pem(pem)
    with reading("no readable private key"):
        # The library would test anew whether the factors of an RSA key are prime: 45 ms for 2048 bits, at every look.
        key = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    if isinstance(key, rsa.RSAPrivateKey):
        _require_signatures(key)
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        return key
    raise ValueError(f"the private key is of an unsupported type: {type(key).__name__}")


def _require_plain_pem(content: bytes) -> None:
    if is_protected(content):
        raise ValueError("the private key is protected by a password; the lab needs it without")
    if not content.strip():
        raise ValueError("no readable private key: it is empty")
    found = format_of(content)
    if found not in (KEY, CERTIFICATE):  # a certificate may have its key in the same file
        raise ValueError(f"no readable private key: it is {found.words}")
    if b"PRIVATE KEY-----" not in content:
        raise ValueError("no readable private key: it holds certificates only")


def require_digests() -> None:
    """Check that this machine's OpenSSL computes SHA-256: by some policies (OPENSSL_CONF) it has no such algorithm.

    Raises:
        MachineError: it does not; no file and no server is to blame.
    """
    try:
        hashes.Hash(hashes.SHA256()).finalize()
    except (InternalError, UnsupportedAlgorithm) as error:
        raise MachineError(
            "This machine's OpenSSL cannot compute SHA-256.",
            why="its configuration asks for algorithms that no provider has; no certificate or key is to blame",
            hint="Look at OPENSSL_CONF, and at: openssl list -providers",
        ) from error


def holds_private_key(content: bytes) -> bool:
    """Whether a file holds a private key: PEM anywhere in it, DER, or PKCS #12, with a password or without.

    Args:
        content: of the file.
    """
    if _PEM_KEY.search(content):
        return True
    found = format_of(content)
    if found is PKCS12:
        return _p12_holds_key(content)
    return found in (DER_KEY, PROTECTED_KEY)


def _p12_holds_key(content: bytes) -> bool:
    try:
        with reading("a password protects it"):
            return pkcs12.load_pkcs12(content, None).key is not None
    except ValueError:
        return True


def _require_signatures(key: rsa.RSAPrivateKey) -> None:
    """Sign and verify once: shows in 1 ms whether the numbers of a key belong together.

    Raises:
        ValueError: they do not.
        MachineError: this machine's OpenSSL lacks what it takes.
    """
    scheme, digest, message = padding.PKCS1v15(), hashes.SHA256(), b"mtlslab"
    try:
        with reading("a signature failed"):
            key.public_key().verify(key.sign(message, scheme, digest), message, scheme, digest)
    except ValueError as error:
        require_digests()
        raise ValueError("the private key is damaged: what it signs cannot be verified") from error


def dh_bits(pem: bytes) -> int | None:
    """Length in bits of the prime of Diffie-Hellman parameters (PKCS #3, section 9); None when none can be read."""
    # pyca gives this up: the prime is the first INTEGER of a SEQUENCE (X.690 section 8).
    found = re.search(rb"-----BEGIN [X9.42 ]*DH PARAMETERS-----([A-Za-z0-9+/=\s]+)-----END", pem)
    try:
        content = _der_content(0x30, base64.b64decode(found[1])) if found else b""
        return int.from_bytes(_der_content(0x02, content)).bit_length() or None
    except (ValueError, IndexError):
        return None


def _der_content(tag: int, encoded: bytes) -> bytes:
    """The content of the value that DER begins with; ValueError for another tag, IndexError for too few bytes."""
    if encoded[0] != tag:
        raise ValueError(f"tag {encoded[0]}")
    length, start = encoded[1], 2
    if length > 0x7F:
        start += length & 0x7F
        length = int.from_bytes(encoded[2:start])
    return encoded[start : start + length]

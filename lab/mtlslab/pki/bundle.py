"""Reads a file of certificates one by one, so that one which cannot be read does not hide the others."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import itertools
import re

from cryptography import x509

from mtlslab.pki.reading import reading

# OpenSSL reads all three; TRUSTED has further DER after the certificate.
_BLOCK = re.compile(
    rb"-----BEGIN (?P<label>(?:X509 |TRUSTED )?CERTIFICATE)-----(?P<body>.*?)-----END (?P=label)-----", re.DOTALL
)
_BEGIN = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")


@dataclasses.dataclass(frozen=True)
class Unread:
    """A certificate of a file that pyca/cryptography cannot read.

    Attributes:
        position: its place among the certificates of the file, from 1.
        why: what is wrong with it.
        der: its bytes; empty where not even PEM could be taken off.
    """

    position: int
    why: str
    der: bytes = dataclasses.field(default=b"", repr=False)

    def problem(self, count: int) -> str:
        """A sentence without an end; ``count`` is how many certificates the file has."""
        which = "" if count == 1 else f" ({self.position} of {count})"
        return f"no readable certificate{which}: {self.why}"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """What a file of certificates holds, in its order.

    Attributes:
        certificates: those that can be read.
        unread: the others.
    """

    certificates: tuple[x509.Certificate, ...] = ()
    unread: tuple[Unread, ...] = ()

    @property
    def count(self) -> int:
        """How many certificates the file has, read or not."""
        return len(self.certificates) + len(self.unread)


def read_bundle(pem: bytes) -> Bundle:
    """Read the certificates of a PEM file; whatever else is in it, such as keys and text, is passed over."""
    certificates: list[x509.Certificate] = []
    unread: list[Unread] = []
    for position, block in enumerate(_blocks(pem), start=1):
        der = _der(block)
        try:
            certificates.append(read_der(der))
        except ValueError as error:
            unread.append(Unread(position, str(error), der))
    return Bundle(tuple(certificates), tuple(unread))


def read_der(der: bytes) -> x509.Certificate:
    """A certificate from DER, of which all parts can be read.

    Raises:
        ValueError: what is wrong with it.
    """
    if not der:
        raise ValueError("the PEM is damaged or cut off")
    with reading("it is odd or damaged"):
        certificate = x509.load_der_x509_certificate(der)
        # The library reads these only when they are asked for: find damage here, not later.
        _ = certificate.extensions, certificate.subject, certificate.issuer, certificate.public_key()
        _ = certificate.serial_number, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return certificate


def first_der(pem: bytes) -> bytes:
    """DER of the first certificate of a PEM file, whether it can be read or not; empty if there is none."""
    return next((_der(block) for block in _blocks(pem)), b"")


def certificate_blocks(pem: bytes) -> bytes:
    """The certificates of a PEM file, without what else is in it, such as a key."""
    return b"".join(match[0] + b"\n" for match in _BLOCK.finditer(pem))


def _blocks(pem: bytes) -> list[bytes]:
    """The certificates of a PEM file as they stand there; one that is cut off counts, too."""
    starts = [match.start() for match in _BEGIN.finditer(pem)]
    return [pem[start:end] for start, end in itertools.pairwise([*starts, len(pem)])]


def _der(block: bytes) -> bytes:
    found = _BLOCK.search(block)
    if found is None:
        return b""
    try:
        der = base64.b64decode(b"".join(found["body"].split()), validate=True)
    except binascii.Error:
        return b""
    return _first_element(der) if found["label"].startswith(b"TRUSTED") else der


def _first_element(der: bytes) -> bytes:
    """The first DER element of several, by its length (X.690 section 8.1.3)."""
    if len(der) < 2 or der[1] < 0x80:
        return der
    octets = der[1] & 0x7F
    return der[: 2 + octets + int.from_bytes(der[2 : 2 + octets])]

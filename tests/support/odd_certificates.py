"""Certificates that OpenSSL reads and strict parsers do not, as old programs and devices make them."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mtlslab.pki.names import der_element

_KEY = ec.generate_private_key(ec.SECP256R1())
_SPKI = _KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
_ALGORITHM = der_element(0x30, bytes.fromhex("06082a8648ce3d040302"))  # ecdsa-with-SHA256
_DATES = der_element(0x30, der_element(0x17, b"200101000000Z") + der_element(0x18, b"20600101000000Z"))


def name(common_name: bytes = b"odd", *, tag: int = 0x0C) -> bytes:
    """A distinguished name in DER with one common name."""
    value = der_element(0x30, bytes.fromhex("0603550403") + der_element(tag, common_name))
    return der_element(0x30, der_element(0x31, value))


def odd(version: int = 2, serial: bytes = b"\x01", subject: bytes = b"") -> bytes:
    """PEM of a certificate, signed by its own key."""
    subject = subject or name()
    head = der_element(0xA0, der_element(2, bytes([version]))) + der_element(2, serial) + _ALGORITHM
    signed = der_element(0x30, head + subject + _DATES + subject + _SPKI)
    signature = _KEY.sign(signed, ec.ECDSA(hashes.SHA256()))
    der = der_element(0x30, signed + _ALGORITHM + der_element(3, b"\0" + signature))
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


ODD: Mapping[str, bytes] = {
    "version 2": odd(version=1),
    "version 4": odd(version=3),
    "version 5": odd(version=4),
    "serial 0": odd(serial=b"\0"),
    "negative serial": odd(serial=b"\xff"),
    "a name that is too long": odd(subject=name(b"x" * 300)),
    "an empty name": odd(subject=der_element(0x30, b"")),
    "an empty part of a name": odd(subject=der_element(0x30, der_element(0x31, b""))),
    "latin 1 in teletex": odd(subject=name(b"Fran\xe7ois", tag=0x14)),
    "no printable string": odd(subject=name(b"a_b*@c", tag=0x13)),
    "a terminal's escapes": odd(subject=name(b"a\x1b]0;owned\x07\nsubject    CN=root\0")),
}


def openssl_reads(pem: bytes) -> bool:
    """Whether the openssl of this machine reads a certificate."""
    command = ["openssl", "x509", "-noout"]
    return subprocess.run(command, input=pem, capture_output=True, check=False).returncode == 0

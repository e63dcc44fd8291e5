"""Private keys are told by what a file holds: every usual format, and nothing that only looks like one."""

from __future__ import annotations

import datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from mtlslab import pki
from mtlslab.pki.keys import holds_private_key

NOW = datetime.datetime.now(datetime.UTC)
EC, RSA = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
LOCKED, OPEN = BestAvailableEncryption(b"secret"), NoEncryption()
PKCS8, TRADITIONAL = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL
CA = pki.issue_ca("a CA", pki.new_key("ec-p256"), now=NOW, days=1)


def p12(*, key: bool, locked: bool) -> bytes:
    protection = LOCKED if locked else OPEN
    if key:
        return pkcs12.serialize_key_and_certificates(b"x", EC, None, [CA.certificate], protection)
    return pkcs12.serialize_key_and_certificates(b"x", None, None, [CA.certificate], protection)


KEYS = {
    "pkcs8": EC.private_bytes(Encoding.PEM, PKCS8, OPEN),
    "pkcs8 locked": EC.private_bytes(Encoding.PEM, PKCS8, LOCKED),
    "sec1": EC.private_bytes(Encoding.PEM, TRADITIONAL, OPEN),
    "pkcs1": RSA.private_bytes(Encoding.PEM, TRADITIONAL, OPEN),
    "pkcs1 locked": RSA.private_bytes(Encoding.PEM, TRADITIONAL, LOCKED),
    "openssh": EC.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, OPEN),
    "der": EC.private_bytes(Encoding.DER, PKCS8, OPEN),
    "der locked": EC.private_bytes(Encoding.DER, PKCS8, LOCKED),
    "der sec1": EC.private_bytes(Encoding.DER, TRADITIONAL, OPEN),
    "der pkcs1": RSA.private_bytes(Encoding.DER, TRADITIONAL, OPEN),
    "p12": p12(key=True, locked=False),
    "p12 locked": p12(key=True, locked=True),
    "after a certificate": CA.certificate_pem() + CA.key_pem(),
    "with windows line ends": CA.key_pem().replace(b"\n", b"\r\n"),
    "in a string of JSON": b'{"key": "' + CA.key_pem().replace(b"\n", b"\\n") + b'"}',
    "in an archive": b"\0" * 512 + CA.key_pem() + b"\0" * 512,
}
OTHERS = {
    "nothing": b"",
    "a certificate": CA.certificate_pem(),
    "a certificate in der": CA.certificate.public_bytes(Encoding.DER),
    "a public key": EC.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "a trust store": p12(key=False, locked=False),
    "a text about keys": b'A file that says "-----BEGIN PRIVATE KEY-----" and no more.',
    "zeros in a sequence": b"\x30" + b"\0" * 64,
}


@pytest.mark.parametrize("name", KEYS)
def test_a_private_key_is_found_in_every_format(name: str) -> None:
    assert holds_private_key(KEYS[name])


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_private_key_is_not_taken_for_one(name: str) -> None:
    assert not holds_private_key(OTHERS[name])

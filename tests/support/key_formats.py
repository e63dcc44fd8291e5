"""A client's certificate and key in the formats that people have them in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from mtlslab import pki

PASSWORD = "correct horse: Batterie"  # noqa: S105  of files that are made for a test


def write_formats(certs: Path, directory: Path) -> None:
    """Files with the client of :func:`make_certificates`: locked ones open with ``PASSWORD``."""
    credential = pki.load_credential((certs / "client.crt").read_bytes(), (certs / "client.key").read_bytes())
    ca = pki.load_certificates((certs / "client-ca.crt").read_bytes())[0]
    leaf, key = credential.certificate, credential.key
    locked = ser.BestAvailableEncryption(PASSWORD.encode())
    plain = ser.NoEncryption()
    pkcs8, traditional = ser.PrivateFormat.PKCS8, ser.PrivateFormat.TraditionalOpenSSL
    pem_key = key.private_bytes(ser.Encoding.PEM, pkcs8, locked)
    files = {
        "client.pem": (certs / "client.crt").read_bytes(),
        "plain.key": (certs / "client.key").read_bytes(),
        "locked.key": pem_key,
        "traditional.key": key.private_bytes(ser.Encoding.PEM, traditional, locked),
        "locked.der": key.private_bytes(ser.Encoding.DER, pkcs8, locked),
        "key.der": key.private_bytes(ser.Encoding.DER, pkcs8, plain),
        "client.der": leaf.public_bytes(ser.Encoding.DER),
        "both.pem": pem_key + (certs / "client.crt").read_bytes(),
        "locked.p12": pkcs12.serialize_key_and_certificates(b"client", key, leaf, [ca], locked),
        "open.p12": pkcs12.serialize_key_and_certificates(b"client", key, leaf, None, plain),
        "keyless.p12": pkcs12.serialize_key_and_certificates(b"client", None, leaf, None, locked),
        "chain.p7b": _pkcs7([ca, leaf], ser.Encoding.PEM),
        "chain.p7c": _pkcs7([ca, leaf], ser.Encoding.DER),
        "pw": f"{PASSWORD}\nanother line\n".encode(),
        "bad": b"wrong\n",
    }
    for name, content in files.items():
        (directory / name).write_bytes(content)


def _pkcs7(certificates: Iterable[x509.Certificate], encoding: ser.Encoding) -> bytes:
    return pkcs7.serialize_certificates(list(certificates), encoding)

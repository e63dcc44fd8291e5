"""Tells what a file holds that should hold a certificate or a private key, and which command makes PEM of it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mtlslab.pki.reading import reading
from mtlslab.plan.shell import shell_line


@dataclasses.dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: short name; see the constants of this module.
        words: what it is, as the end of a sentence: "it is a certificate in DER".
        command: arguments that make PEM of it, with ``IN`` and ``OUT`` in the place of file names; empty for none.
    """

    name: str
    words: str
    command: tuple[str, ...] = ()


CERTIFICATE = Format("certificate", "a certificate in PEM")
KEY = Format("key", "a private key in PEM")
PROTECTED_KEY = Format(
    "protected-key", "a private key with a password", ("openssl", "pkey", "-in", "IN", "-out", "OUT")
)
DER_CERTIFICATE = Format(
    "der-certificate",
    "a certificate in DER, not in PEM",
    ("openssl", "x509", "-inform", "DER", "-in", "IN", "-out", "OUT"),
)
DER_KEY = Format(
    "der-key", "a private key in DER, not in PEM", ("openssl", "pkey", "-inform", "DER", "-in", "IN", "-out", "OUT")
)
PKCS7_PEM = Format(
    "pkcs7-pem", "a PKCS #7 file in PEM", ("openssl", "pkcs7", "-print_certs", "-in", "IN", "-out", "OUT")
)
PKCS7_DER = Format(
    "pkcs7-der",
    "a PKCS #7 file in DER",
    ("openssl", "pkcs7", "-inform", "DER", "-print_certs", "-in", "IN", "-out", "OUT"),
)
PKCS12 = Format("pkcs12", "a PKCS #12 file", ("openssl", "pkcs12", "-in", "IN", "-nodes", "-out", "OUT"))
# ssh-keygen can only rewrite a file in its place.
OPENSSH = Format(
    "openssh", "a private key in the format of OpenSSH", ("ssh-keygen", "-p", "-N", "", "-m", "PKCS8", "-f", "IN")
)
JAVA = Format(
    "java",
    "a Java key store",
    ("keytool", "-importkeystore", "-srckeystore", "IN", "-destkeystore", "OUT", "-deststoretype", "PKCS12"),
)
REQUEST = Format("request", "a request for a certificate (CSR), which a CA must sign first")
CRL = Format("crl", "a revocation list")
PUBLIC_KEY = Format("public-key", "a public key, which is no secret and no certificate")
PUTTY = Format("putty", "a private key in the format of PuTTY")
WIDE_TEXT = Format(
    "utf-16", "text in UTF-16, as PowerShell writes it", ("iconv", "-f", "UTF-16", "-t", "ASCII", "-o", "OUT", "IN")
)
HTML = Format("html", "a web page")
EMPTY = Format("empty", "empty")
UNKNOWN = Format("unknown", "none of the formats that are known here (PEM, DER, PKCS #7, PKCS #12)")

_SEQUENCE = rb"\x30(?:[\x00-\x7f]|\x80|\x81.|\x82..|\x83...|\x84....)"
_PKCS7_OID = rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07"
_IS_PKCS12 = re.compile(_SEQUENCE + rb"\x02\x01\x03" + _SEQUENCE + _PKCS7_OID + rb"[\x01\x02]", re.DOTALL)  # RFC 7292
_IS_PKCS7 = re.compile(_SEQUENCE + _PKCS7_OID + rb"\x02", re.DOTALL)  # RFC 2315 section 7, signedData
_PEM_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_LABELS = {
    b"PKCS7": PKCS7_PEM,
    b"CMS": PKCS7_PEM,
    b"OPENSSH PRIVATE KEY": OPENSSH,
    b"CERTIFICATE REQUEST": REQUEST,
    b"NEW CERTIFICATE REQUEST": REQUEST,
    b"X509 CRL": CRL,
    b"PUBLIC KEY": PUBLIC_KEY,
    b"RSA PUBLIC KEY": PUBLIC_KEY,
}
_BEGINNINGS = (
    (b"\xfe\xed\xfe\xed", JAVA),
    (b"\xff\xfe", WIDE_TEXT),
    (b"\xfe\xff", WIDE_TEXT),
    (b"PuTTY-User-Key-File", PUTTY),
    (b"ssh-", PUBLIC_KEY),
    (b"<", HTML),
)


def format_of(content: bytes) -> Format:
    """What a file holds; of several things in PEM, a certificate counts most, then a private key."""
    if not content.strip():
        return EMPTY
    labels = _PEM_LABEL.findall(content)
    if labels:
        return _of_pem(labels, content)
    if content.startswith(b"\x30"):
        return _of_der(content)
    return next((found for start, found in _BEGINNINGS if content.lstrip().startswith(start)), UNKNOWN)


def to_pem(file: str, content: bytes) -> str:
    """The command that makes PEM of a file in another format; empty where the format is not to blame."""
    names = {"IN": file, "OUT": f"{Path(file).stem}.pem"}
    words = [Path(names[word]) if word in names else word for word in format_of(content).command]
    if not words:
        return ""
    wanted = "PEM is needed" if b"-----BEGIN " not in content else "TLS libraries need another form of PEM"
    return f"{wanted}: {shell_line(words)}"


def is_protected(content: bytes) -> bool:
    """Whether the first private key of a PEM file has a password (RFC 5958 section 3, RFC 1421 section 4.6.1.1)."""
    start = content.find(b"PRIVATE KEY-----")
    if start < 0:
        return False
    before, after = content[:start], content[start : content.find(b"-----END", start)]
    return before.endswith(b"ENCRYPTED ") or b"Proc-Type: 4,ENCRYPTED" in after


def _of_pem(labels: list[bytes], content: bytes) -> Format:
    if any(label in (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE") for label in labels):
        return CERTIFICATE
    for label in labels:
        if label in _LABELS:
            return _LABELS[label]
        if label.endswith(b"PRIVATE KEY"):
            return PROTECTED_KEY if is_protected(content) else KEY
    return UNKNOWN


def _of_der(content: bytes) -> Format:
    if _IS_PKCS12.match(content):
        return PKCS12
    if _IS_PKCS7.match(content):
        return PKCS7_DER
    tries = (
        (DER_CERTIFICATE, x509.load_der_x509_certificate),
        (REQUEST, x509.load_der_x509_csr),
        (CRL, x509.load_der_x509_crl),
        (DER_KEY, lambda der: serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)),
        (PUBLIC_KEY, serialization.load_der_public_key),
    )
    for found, load in tries:
        try:
            with reading("another format"):
                load(content)
        except ValueError as error:
            if found is DER_KEY and isinstance(error.__cause__, TypeError):  # so pyca says that a password is missing
                return PROTECTED_KEY
        else:
            return found
    # What the library refuses, OpenSSL may read: TBSCertificate begins with a SEQUENCE, too.
    return DER_CERTIFICATE if re.match(_SEQUENCE + _SEQUENCE, content, re.DOTALL) else UNKNOWN

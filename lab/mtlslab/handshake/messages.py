"""Names and contents of messages: what there is to learn from each of them. Everything a peer sent may be garbage."""

from __future__ import annotations

import re

from cryptography import x509

from mtlslab.handshake.authorities import names_in
from mtlslab.pki.reading import reading
from mtlslab.probe.hello import negotiated, version_name
from mtlslab.probe.http import title_of
from mtlslab.probe.keys import suite_name
from mtlslab.probe.reader import Reader, read_certificates, read_extensions
from mtlslab.probe.records import alert_name

NO_CERTIFICATE = "empty: no certificate"

_NAMES = {  # RFC 8446 section 4 and RFC 5246 section 7.4
    0: "HelloRequest",
    1: "ClientHello",
    2: "ServerHello",
    4: "NewSessionTicket",
    5: "EndOfEarlyData",
    8: "EncryptedExtensions",
    11: "Certificate",
    12: "ServerKeyExchange",
    13: "CertificateRequest",
    14: "ServerHelloDone",
    15: "CertificateVerify",
    16: "ClientKeyExchange",
    20: "Finished",
    22: "CertificateStatus",
    24: "KeyUpdate",
}
_SCHEMES = {  # RFC 8446 section 4.2.3
    0x0201: "rsa_pkcs1_sha1",
    0x0203: "ecdsa_sha1",
    0x0401: "rsa_pkcs1_sha256",
    0x0501: "rsa_pkcs1_sha384",
    0x0601: "rsa_pkcs1_sha512",
    0x0403: "ecdsa_secp256r1_sha256",
    0x0503: "ecdsa_secp384r1_sha384",
    0x0603: "ecdsa_secp521r1_sha512",
    0x0804: "rsa_pss_rsae_sha256",
    0x0805: "rsa_pss_rsae_sha384",
    0x0806: "rsa_pss_rsae_sha512",
    0x0807: "ed25519",
    0x0808: "ed448",
    0x0809: "rsa_pss_pss_sha256",
    0x080A: "rsa_pss_pss_sha384",
    0x080B: "rsa_pss_pss_sha512",
}
# RFC 8446 section 4.1.3: the random of a ServerHello that is a HelloRetryRequest.
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_SERVER_NAME, _ALPN, _SUPPORTED_VERSIONS = 0, 16, 43  # RFC 8446 section 4.2
_STATUS = re.compile(r"HTTP/\d(?:\.\d)? (\d{3})\b")
_MAX_TEXT = 200
_MAX_NAMES = 5


def describe(message: bytes, version: str) -> tuple[str, dict[str, str]]:
    """Name and details of a handshake message.

    Args:
        message: type, length and body.
        version: the negotiated version, on which the layout depends.
    """
    kind, body = message[0], message[4:]
    name = _NAMES.get(kind, f"handshake message {kind}")
    if kind == 2 and is_retry(body):
        name = "HelloRetryRequest"
    try:
        return name, {key: _printable(value) for key, value in _details(name, body, version).items() if value}
    except ValueError:
        return name, {"content": "cannot be read"}


def describe_alert(data: bytes) -> dict[str, str]:
    """Level and description of an alert (RFC 8446 section 6)."""
    if len(data) < 2:
        return {"description": "unreadable"}
    level = {1: "warning", 2: "fatal"}.get(data[0], str(data[0]))
    return {"level": level, "description": alert_name(data[1])}


def describe_http(data: bytes) -> dict[str, str]:
    """The first line of a request or a response, with what a response says about the client."""
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    line, *fields = head.split("\r\n")
    details = {"http": _printable(line)}
    status = _STATUS.match(line)
    if status is None:
        return details
    details["status"] = status[1]
    details["page"] = _printable(title_of(body)) or first_line(body.encode())
    for field in fields:
        name, _, value = field.partition(":")
        if name.lower() in ("x-ssl-client-verify", "x-ssl-client-subject"):
            details[name] = _printable(value.strip())
    return {name: text for name, text in details.items() if text}


def first_line(data: bytes) -> str:
    """The first line of something that may be text."""
    lines = data[:_MAX_TEXT].decode("utf-8", "replace").splitlines()
    return _printable(lines[0]) if lines else ""


def is_retry(body: bytes) -> bool:
    """Whether the body of a ServerHello is a HelloRetryRequest."""
    return body[2:34] == _RETRY


def _details(name: str, body: bytes, version: str) -> dict[str, str]:
    if name in ("CertificateRequest", "Certificate"):
        return _certificate_request(body, version) if name == "CertificateRequest" else _certificate(body, version)
    reader = _READERS.get(name)
    return reader(body) if reader else {}


def _server_hello(body: bytes) -> dict[str, str]:
    chosen, suite = negotiated(body)
    return {"version": f"TLS {chosen}", "cipher suite": suite_name(suite)}


def _encrypted_extensions(body: bytes) -> dict[str, str]:
    return {"ALPN": _alpn(read_extensions(Reader(body)).get(_ALPN))}


def _certificate_verify(body: bytes) -> dict[str, str]:
    scheme = Reader(body).number(2)
    return {"signature": _SCHEMES.get(scheme, f"0x{scheme:04x}")}


def _client_hello(body: bytes) -> dict[str, str]:
    reader = Reader(body)
    legacy = reader.number(2)
    reader.take(32)
    reader.vector(1)
    suites = len(reader.vector(2)) // 2
    reader.vector(1)
    extensions = read_extensions(reader)
    return {
        "server name": _server_name(extensions.get(_SERVER_NAME)),
        "versions": _offered(extensions.get(_SUPPORTED_VERSIONS), legacy),
        "cipher suites": f"{suites} offered",
        "ALPN": _alpn(extensions.get(_ALPN)),
    }


def _server_name(extension: bytes | None) -> str:
    if not extension:
        return ""
    names = Reader(Reader(extension).vector(2))
    names.take(1)  # name_type host_name, the only one there is (RFC 6066 section 3)
    return names.vector(2).decode("ascii", "replace")


def _offered(extension: bytes | None, legacy: int) -> str:
    if not extension:
        return f"TLS {version_name(legacy)}"
    block = Reader(Reader(extension).vector(1))
    offered = []
    while block:
        offered.append(f"TLS {version_name(block.number(2))}")
    return ", ".join(offered)


def _alpn(extension: bytes | None) -> str:
    if not extension:
        return ""
    return ", ".join(name.decode("ascii", "replace") for name in Reader(Reader(extension).vector(2)).vectors(1))


def _certificate_request(body: bytes, version: str) -> dict[str, str]:
    found = names_in(body, tls13=version == "1.3")
    names = ["no name" if name is None else name.rfc4514_string() for name in found]
    return {"CA names": _listed(names) or "none: any CA"}


def _certificate(body: bytes, version: str) -> dict[str, str]:
    certificates = read_certificates(Reader(body), tls13=version == "1.3")
    if not certificates:
        return {"certificate": NO_CERTIFICATE}
    subject, issuer = _subject_and_issuer(certificates[0])
    chain = [_subject_and_issuer(der)[0] for der in certificates[1:]]
    return {"subject": subject or "empty", "issuer": issuer or "empty", "sent along": _listed(chain)}


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return "; ".join(names[:_MAX_NAMES]) + more


def _subject_and_issuer(der: bytes) -> tuple[str, str]:
    with reading("no certificate that can be read"):
        certificate = x509.load_der_x509_certificate(der)
        return certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()


def _printable(text: str) -> str:
    """A peer's words on one line, without characters that could steer a terminal."""
    shown = "".join(char if char.isprintable() else "?" for char in text[: _MAX_TEXT + 1])
    return f"{shown[:_MAX_TEXT]}..." if len(shown) > _MAX_TEXT else shown


# The messages whose layout is the same in both versions; those that are not here have nothing to tell.
_READERS = {
    "ClientHello": _client_hello,
    "ServerHello": _server_hello,
    "HelloRetryRequest": _server_hello,
    "EncryptedExtensions": _encrypted_extensions,
    "CertificateVerify": _certificate_verify,
}

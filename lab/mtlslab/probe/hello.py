"""A ClientHello made by hand, in a first or a second handshake, and the first thing that the server says to it.

What a server refuses at once (old versions, broken cipher suites) is asked without OpenSSL: today's OpenSSL does not
offer such things at all, or only at a security level that its packager may have taken away. The conversation ends with
the server's first record, which is never encrypted: an alert, or a ServerHello that agrees.

No library lets a client start a second handshake through its public interface. With the secrets of the first one, one
more record is sealed by hand: a ClientHello that is right in every respect (RFC 5746), so that a server which allows
renegotiation at all answers it with its ServerHello.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Any

from mtlslab.plan.spec import is_ip_address
from mtlslab.probe import records
from mtlslab.probe.keys import SUITES, Protection, suite_name, tls12_protection
from mtlslab.probe.model import Chunk, KeyLog, Sender, Side
from mtlslab.probe.reader import Reader, read_extensions
from mtlslab.probe.records import TLS_1_2

# Cipher suites by their numbers, https://www.iana.org/assignments/tls-parameters
USUAL_SUITES = (0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC009, 0xC013, 0xC00A, 0xC014, 0x002F, 0x0035)
NO_PROTECTION_SUITES = {
    0x0001: "RSA_WITH_NULL_MD5",
    0x0002: "RSA_WITH_NULL_SHA",
    0x003B: "RSA_WITH_NULL_SHA256",
    0xC006: "ECDHE_ECDSA_WITH_NULL_SHA",
    0xC010: "ECDHE_RSA_WITH_NULL_SHA",
    0xC015: "ECDH_anon_WITH_NULL_SHA",
    0x0034: "DH_anon_WITH_AES_128_CBC_SHA",
    0x00A6: "DH_anon_WITH_AES_128_GCM_SHA256",
    0xC018: "ECDH_anon_WITH_AES_128_CBC_SHA",
    0xC019: "ECDH_anon_WITH_AES_256_CBC_SHA",
    0x0003: "RSA_EXPORT_WITH_RC4_40_MD5",
    0x0008: "RSA_EXPORT_WITH_DES40_CBC_SHA",
    0x0014: "DHE_RSA_EXPORT_WITH_DES40_CBC_SHA",
    0x0009: "RSA_WITH_DES_CBC_SHA",
    0x0004: "RSA_WITH_RC4_128_MD5",
    0x0005: "RSA_WITH_RC4_128_SHA",
    0xC007: "ECDHE_ECDSA_WITH_RC4_128_SHA",
    0xC011: "ECDHE_RSA_WITH_RC4_128_SHA",
}
FALLBACK_SCSV = 0x5600  # RFC 7507: "I could do better, but a better attempt has failed"

_SERVER_HELLO = 2  # RFC 8446 section 4
_MESSAGE_HEADER = 4
_SUPPORTED_VERSIONS = 43  # RFC 8446 section 4.2
_VERSIONS = {0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}
_AFTER_FINISHED = 1  # records that each side has sealed when its Finished is out
_ENOUGH = {"side": Side.LOCAL, "error": "the client needs no more than this"}


def client_hello(version: tuple[int, int], suites: Iterable[int], host: str, *, finished: bytes = b"") -> bytes:
    """A ClientHello message (RFC 5246 section 7.4.1.2), without the record around it.

    Args:
        version: the highest version that the client claims to speak.
        suites: numbers of the cipher suites.
        host: name for SNI; an IP address is not sent (RFC 6066 section 3), nor is an empty name.
        finished: in a renegotiation, the verify_data of the client's Finished (RFC 5746 section 3.5).
    """
    chosen = b"".join(suite.to_bytes(2) for suite in suites)
    body = bytes(version) + os.urandom(32) + b"\0" + _with_length(chosen, 2) + b"\1\0"
    body += _with_length(_extensions(host, finished), 2)
    return b"\1" + _with_length(body, 3)


def negotiated(body: bytes) -> tuple[str, int]:
    """Version and number of the cipher suite, from the body of a ServerHello.

    Raises:
        ValueError: it cannot be read.
    """
    reader = Reader(body)
    legacy = reader.number(2)
    reader.take(32)
    reader.vector(1)
    suite = reader.number(2)
    reader.take(1)
    chosen = read_extensions(reader).get(_SUPPORTED_VERSIONS)
    return version_name(int.from_bytes(chosen) if chosen else legacy), suite


def version_name(code: int) -> str:
    """A version of TLS by its name, such as ``1.2``, or by its number."""
    return _VERSIONS.get(code, f"0x{code:04x}")


def first_answer(header: bytes, content: bytes) -> dict[str, Any]:
    """The server's first record, as fields of an observation; where it agreed, it is the client that ends it.

    Raises:
        ConnectionError: there is none.
        ValueError: it is neither an alert nor a ServerHello.
    """
    _require(header)
    if alert := records.alert_in(header + content):
        return _refused(alert)
    if header[0] != records.HANDSHAKE or content[:1] != bytes([_SERVER_HELLO]):
        raise ValueError("the server's answer is no TLS handshake")
    version, suite = negotiated(content[_MESSAGE_HEADER:])
    name = NO_PROTECTION_SUITES.get(suite)
    return {**_ENOUGH, "agreed": True, "tls_version": version, "cipher": f"TLS_{name}" if name else suite_name(suite)}


@dataclasses.dataclass(frozen=True)
class SecondHandshake:
    """What it takes to start a second handshake inside of a connection of TLS 1.2: the keys of both sides."""

    client: Protection
    server: Protection

    def seal(self, host: str, finished: bytes) -> bytes:
        """The record with the client's second ClientHello; ``finished`` as for :func:`client_hello`."""
        return self.client.seal(records.HANDSHAKE, client_hello(TLS_1_2, USUAL_SUITES, host, finished=finished))

    def answer(self, header: bytes, content: bytes) -> dict[str, Any]:
        """The server's next record, as fields of an observation.

        Raises:
            ConnectionError: there is none.
        """
        _require(header)
        if header[0] == records.HANDSHAKE:
            return {**_ENOUGH, "renegotiated": True}
        if header[0] == records.ALERT:
            return {**_refused(self._alert(header, content)), "renegotiated": False}
        return {"side": Side.LOCAL, "error": "the server's answer is no handshake"}

    def _alert(self, header: bytes, content: bytes) -> str:
        try:
            return records.alert_name(self.server.open(header, content)[1][1])
        except (ValueError, IndexError):
            return "that cannot be read"


def second_handshake(chunks: Sequence[Chunk], secrets: KeyLog) -> SecondHandshake:
    """The keys of both sides after a finished handshake.

    Args:
        chunks: all that was sent in it.
        secrets: the key log.

    Raises:
        ValueError: it is not of TLS 1.2, or its cipher suite is no AEAD.
    """
    server, client = (_hello(chunks, side) for side in (Sender.SERVER, Sender.CLIENT))
    suite = SUITES.get(negotiated(server)[1])
    randoms = server[2:34] + client[2:34]
    keys = [
        tls12_protection(suite, secrets, side, randoms, number=_AFTER_FINISHED) if suite else None for side in Sender
    ]
    if keys[0] is None or keys[1] is None:
        raise ValueError("this handshake gives no keys that could be used by hand")
    return SecondHandshake(client=keys[0], server=keys[1])


def _hello(chunks: Iterable[Chunk], side: Sender) -> bytes:
    """The body of the first message of one side."""
    sent = b"".join(data for sender, data in chunks if sender is side)
    message = Reader(sent[records.HEADER + 1 :])
    return message.vector(3)


def _require(header: bytes) -> None:
    if not header:
        raise ConnectionError("the server closed the connection")


def _refused(alert: str) -> dict[str, Any]:
    return {"side": Side.PEER, "error": f"alert {alert}", "alert": alert, "alert_from": Side.PEER}


def _extensions(host: str, finished: bytes) -> bytes:
    groups = b"".join(group.to_bytes(2) for group in (29, 23, 24))  # x25519, secp256r1, secp384r1
    schemes = bytes.fromhex("0403 0503 0603 0807 0804 0805 0806 0401 0501 0601 0203 0201")
    extensions = [
        (0xFF01, _with_length(finished, 1)),  # renegotiation_info
        (10, _with_length(groups, 2)),  # supported_groups
        (11, b"\1\0"),  # ec_point_formats: uncompressed
        (13, _with_length(schemes, 2)),  # signature_algorithms
        (23, b""),  # extended_master_secret
    ]
    if host and not is_ip_address(host):
        extensions.append((0, _with_length(b"\0" + _with_length(host.encode("idna"), 2), 2)))  # server_name
    return b"".join(number.to_bytes(2) + _with_length(data, 2) for number, data in extensions)


def _with_length(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size) + data

"""A ClientHello made by hand, and the first thing that the server says to it.

What a server refuses at once (old versions, broken cipher suites) is asked without OpenSSL: today's OpenSSL does not
offer such things at all, or only at a security level that its packager may have taken away. The conversation ends with
the server's first record, which is never encrypted: an alert, or a ServerHello that agrees.
"""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterable

from mtlslab.plan.spec import is_ip_address
from mtlslab.probe.attempt import Attempt, Observation, Phase, Side
from mtlslab.probe.connection import ALERTS, Deadline, connect

TLS_1_0, TLS_1_1, TLS_1_2 = (3, 1), (3, 2), (3, 3)
VERSION_NAMES = {(3, 0): "SSL 3.0", TLS_1_0: "TLS 1.0", TLS_1_1: "TLS 1.1", TLS_1_2: "TLS 1.2"}

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

ALERT_RECORD, HANDSHAKE_RECORD = 21, 22  # RFC 8446 section 5.1
_SERVER_HELLO = 2
_HEADER = 5
_RECORD_LIMIT = 1 << 14


@dataclasses.dataclass(frozen=True)
class Answer:
    """The server's first record.

    Attributes:
        alert: the alert by its name, empty without one.
        version: protocol version of a ServerHello as its two bytes; None without one.
        suite: number of the cipher suite that it chose.
        error: why there is neither, in words.
        closed: whether that is because the server closed the connection.
        heard: whether the server sent anything at all.
    """

    alert: str = ""
    version: tuple[int, int] | None = None
    suite: int | None = None
    error: str = ""
    closed: bool = False
    heard: bool = False

    @property
    def agreed(self) -> bool:
        """Whether the server goes on with the handshake."""
        return self.version is not None

    def observation(self) -> Observation:
        """The same as an observation; where the server agreed, it is the client that ends it."""
        if self.agreed:
            return Observation(Phase.HANDSHAKE, Side.LOCAL, error="the client needs no more than this", heard=True)
        if self.alert:
            return Observation(
                Phase.HANDSHAKE,
                Side.PEER,
                error=f"alert {self.alert}",
                alert=self.alert,
                alert_from=Side.PEER,
                heard=True,
            )
        side = Side.PEER if self.closed else Side.NONE
        return Observation(Phase.HANDSHAKE, side, error=self.error, closed=self.closed, heard=self.heard)


def client_hello(version: tuple[int, int], suites: Iterable[int], host: str, *, finished: bytes = b"") -> bytes:
    """A ClientHello message (RFC 5246 section 7.4.1.2), without the record around it.

    Args:
        version: the highest version that the client claims to speak.
        suites: numbers of the cipher suites.
        host: name for SNI; an IP address is not sent (RFC 6066 section 3).
        finished: in a renegotiation, the verify_data of the client's Finished (RFC 5746 section 3.5).
    """
    chosen = b"".join(suite.to_bytes(2) for suite in suites)
    body = bytes(version) + os.urandom(32) + b"\0" + _with_length(chosen, 2) + b"\1\0"
    body += _with_length(_extensions(host, finished), 2)
    return b"\1" + _with_length(body, 3)


def record(content: int, data: bytes, version: tuple[int, int] = TLS_1_0) -> bytes:
    """A record; the first one of a client says TLS 1.0 whatever it speaks (RFC 8446 section 5.1)."""
    return bytes((content, *version)) + _with_length(data, 2)


def read_record(sock: socket.socket, deadline: Deadline) -> tuple[bytes, bytes]:
    """Header and body of the next record; both may be short where the connection ends, or where it is not TLS.

    Raises:
        OSError: the connection broke, or the deadline has passed.
    """
    header = _read(sock, _HEADER, deadline)
    length = int.from_bytes(header[3:]) if len(header) == _HEADER else 0
    return header, _read(sock, length if length <= _RECORD_LIMIT + 2048 else 0, deadline)


def ask(what: Attempt, hello: bytes) -> Answer:
    """Send a ClientHello, and read the first record of the answer. Network failures are facts, not exceptions."""
    deadline = Deadline(what.timeout)
    try:
        with connect(what.address or what.host, what.port, deadline) as sock:
            sock.sendall(record(HANDSHAKE_RECORD, hello))
            return _understand(*read_record(sock, deadline))
    except OSError as error:
        return Answer(error=error.strerror or str(error), closed=isinstance(error, ConnectionResetError))


def _understand(header: bytes, body: bytes) -> Answer:
    if not header:
        return Answer(error="the server closed the connection", closed=True)
    if header[0] == ALERT_RECORD and len(body) == 2:
        return Answer(alert=ALERTS.get(body[1], f"alert_{body[1]}"), heard=True)
    if header[0] == HANDSHAKE_RECORD and len(body) > 39 and body[0] == _SERVER_HELLO:
        after_session = 39 + body[38]  # type, length, version, random, length of the session id: 1 + 3 + 2 + 32 + 1
        suite = int.from_bytes(body[after_session : after_session + 2])
        return Answer(version=(body[4], body[5]), suite=suite, heard=True)
    return Answer(error="the server's answer is no TLS handshake", heard=True)


def _read(sock: socket.socket, count: int, deadline: Deadline) -> bytes:
    data = b""
    while len(data) < count:
        sock.settimeout(deadline.remaining())
        more = sock.recv(count - len(data))
        if not more:
            break
        data += more
    return data


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
    if not is_ip_address(host):
        extensions.append((0, _with_length(b"\0" + _with_length(host.encode("idna"), 2), 2)))  # server_name
    return b"".join(number.to_bytes(2) + _with_length(data, 2) for number, data in extensions)


def _with_length(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size) + data

"""A client that starts a second handshake inside the first one's connection (TLS 1.2; TLS 1.3 has no such thing).

No library lets a client do so through its public interface. The handshake is the standard library's, with a key log;
with the keys from it, one more record is sealed by hand: a ClientHello that is right in every respect (RFC 5746), so
that a server which allows renegotiation at all answers it with its ServerHello.
"""

from __future__ import annotations

import dataclasses
import hmac
import os
import socket
import ssl
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mtlslab.probe.attempt import Attempt, Observation, Phase, Side
from mtlslab.probe.connection import ALERTS, Deadline, connect
from mtlslab.probe.hello import ALERT_RECORD, HANDSHAKE_RECORD, TLS_1_2, USUAL_SUITES, client_hello, read_record, record
from mtlslab.probe.secret_files import secret_files
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.commands import piped, s_client
from mtlslab.verify.procedures.model import TrialResult, failed

# The suites whose records are sealed below; every server with TLS 1.2 has one of them (RFC 9325 section 4.2).
_SUITES = "ECDHE+AESGCM"
_IV = 4
_EXPLICIT_NONCE = 8  # RFC 5288 section 3
_AFTER_FINISHED = 1  # sequence number of the first record after each side's Finished


def renegotiate(_context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> TrialResult:
    """Finish a handshake, then start another one in the same connection."""
    seen, agreed = _try(attempt)
    verdict = None
    if agreed:
        verdict = failed(check, "The server let the client renegotiate.")
    elif seen.alert:
        verdict = Verdict(Result.PASS, f"The server refused to renegotiate with the TLS alert {seen.alert}.")
    elif seen.closed and seen.tls_version:
        verdict = Verdict(Result.PASS, "The server refused to renegotiate: it closed the connection.")
    facts = {"outcome": "agreed", "answer": "a second ServerHello"} if agreed else {}
    return TrialResult(attempt, seen, facts=facts, verdict=verdict)


def renegotiation_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """``R`` on a line of its own makes s_client renegotiate."""
    return ["sh", "-c", piped("R\\n", s_client(attempt, context.directory))]


def _try(what: Attempt) -> tuple[Observation, bool]:
    """What happened, and whether the server took part."""
    deadline = Deadline(what.timeout)
    try:
        with connect(what.address or what.host, what.port, deadline) as sock:
            return _renegotiate(_shake_hands(sock, what, deadline), sock, what, deadline)
    except OSError as error:
        side = Side.LOCAL if isinstance(error, ssl.SSLError) else Side.NONE
        return Observation(Phase.HANDSHAKE, side, error=str(error), heard=side is Side.LOCAL), False


def _renegotiate(done: _Handshake, sock: socket.socket, what: Attempt, deadline: Deadline) -> tuple[Observation, bool]:
    message = client_hello(TLS_1_2, USUAL_SUITES, what.host, finished=done.finished)
    facts = Observation(Phase.SEND, Side.PEER, heard=True, tls_version="1.2", cipher=done.cipher)
    try:
        sock.sendall(done.seal(HANDSHAKE_RECORD, message))
        header, body = read_record(sock, deadline)
    except ConnectionError as error:
        return dataclasses.replace(facts, error=str(error), closed=True), False
    if not header:
        return dataclasses.replace(facts, error="the server closed the connection", closed=True), False
    if header[0] == ALERT_RECORD:
        alert = done.open_alert(header, body)
        return dataclasses.replace(facts, error=f"alert {alert}", alert=alert, alert_from=Side.PEER), False
    agreed = header[0] == HANDSHAKE_RECORD
    words = "the client needs no more than this" if agreed else "the server's answer is no handshake"
    return dataclasses.replace(facts, side=Side.LOCAL, error=words), agreed


@dataclasses.dataclass(frozen=True)
class _Handshake:
    """A finished TLS 1.2 handshake: the keys of both sides, and what a renegotiation must repeat."""

    cipher: str
    finished: bytes
    client: tuple[AESGCM, bytes]
    server: tuple[AESGCM, bytes]

    def seal(self, content: int, data: bytes) -> bytes:
        """The client's next record (RFC 5246 section 6.2.3.3, RFC 5288)."""
        cipher, iv = self.client
        nonce = os.urandom(_EXPLICIT_NONCE)
        known = _AFTER_FINISHED.to_bytes(8) + record(content, data, TLS_1_2)[:5]
        return record(content, nonce + cipher.encrypt(iv + nonce, data, known), TLS_1_2)

    def open_alert(self, header: bytes, body: bytes) -> str:
        """The name of the alert in the server's next record."""
        cipher, iv = self.server
        nonce, sealed = body[:_EXPLICIT_NONCE], body[_EXPLICIT_NONCE:]
        known = _AFTER_FINISHED.to_bytes(8) + header[:3] + (2).to_bytes(2)
        try:
            number = cipher.decrypt(iv + nonce, sealed, known)[1]
        except (InvalidTag, IndexError, ValueError):
            return "that cannot be read"
        return ALERTS.get(number, f"alert_{number}")


def _shake_hands(sock: socket.socket, what: Attempt, deadline: Deadline) -> _Handshake:
    context = ssl.create_default_context(cafile=what.cacert)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    if what.credential:
        context.load_cert_chain(what.credential.certificate, what.credential.key, password="")
    with secret_files() as keep:
        log = keep(b"")
        context.keylog_filename = str(log)
        pump = _Pump(sock, context, what.host, deadline)
        pump.run(pump.tls.do_handshake)
        words = log.read_bytes().split()
    master = bytes.fromhex(words[words.index(b"CLIENT_RANDOM") + 2].decode())
    # Bytes 11 to 43 of either side's first record are the random of its hello: 5 header, 4 message header, 2 version.
    return _derive(pump, master, bytes(pump.received[11:43]) + bytes(pump.sent[11:43]))


def _derive(pump: _Pump, master: bytes, randoms: bytes) -> _Handshake:
    """The keys of both sides (RFC 5246 section 6.3)."""
    cipher = (pump.tls.cipher() or ("", "", 0))[0]
    length, digest = (32, "sha384") if "AES256" in cipher else (16, "sha256")
    block = _prf(master, b"key expansion" + randoms, 2 * (length + _IV), digest)
    keys, ivs = block[: 2 * length], block[2 * length :]
    return _Handshake(
        cipher=cipher,
        finished=pump.tls.get_channel_binding("tls-unique") or b"",  # RFC 5929 section 3: the client's Finished
        client=(AESGCM(keys[:length]), ivs[:_IV]),
        server=(AESGCM(keys[length:]), ivs[_IV:]),
    )


def _prf(secret: bytes, seed: bytes, length: int, digest: str) -> bytes:
    """The PRF of TLS 1.2 (RFC 5246 section 5); ``seed`` begins with the label."""
    block, out = seed, b""
    while len(out) < length:
        block = hmac.digest(secret, block, digest)
        out += hmac.digest(secret, block + seed, digest)
    return out[:length]


class _Pump:
    """Carries the bytes of a handshake, and keeps them."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str, deadline: Deadline) -> None:
        self.sent, self.received = bytearray(), bytearray()
        self._sock, self._deadline = sock, deadline
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def run(self, step: Callable[[], object]) -> None:
        """Repeat ``step`` until it wants no more bytes."""
        while True:
            try:
                step()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            else:
                self._flush()
                return

    def _flush(self) -> None:
        data = self._outgoing.read()
        self.sent += data
        self._sock.settimeout(self._deadline.remaining())
        self._sock.sendall(data)

    def _fill(self) -> None:
        self._sock.settimeout(self._deadline.remaining())
        data = self._sock.recv(16384)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self.received += data
        self._incoming.write(data)

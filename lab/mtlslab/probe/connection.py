"""One TLS client connection with all its messages in view: the machinery below the probe.

The standard library's ``ssl`` does the protocol through memory buffers (``SSLContext.wrap_bio``), and this module
carries the bytes. That leaves every record in our hands: an alert that races with the end of the connection is still
read, and a deadline covers the whole exchange instead of each call.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import socket
import ssl
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

# RFC 8446 section 6 and, for the names that only TLS 1.2 knows, RFC 5246 section 7.2.
ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    111: "certificate_unobtainable",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
OLD_VERSIONS = ("1.0", "1.1")  # RFC 8996; OpenSSL 3 speaks them at security level 0 only
MAX_RECEIVED = 1 << 20  # bytes that one connection takes in; a long chain and a full set of headers are a tenth of it

_ALERT_CONTENT = 21  # RFC 8446 section 5.1, ContentType
_HANDSHAKE_CONTENT = 22
_ENCRYPTED_EXTENSIONS = 8  # RFC 8446 section 4, HandshakeType
_CERTIFICATE = 11
_CERTIFICATE_REQUEST = 13
_CHUNK = 16384
_REFUSAL_GRACE = 0.1  # seconds that a server without session tickets is given to refuse before the request goes out


@dataclasses.dataclass(frozen=True)
class ContextKey:
    """What a client context is made from; equal keys share one context.

    Attributes:
        trust: PEM file with the trust anchors; None trusts nobody.
        insecure: accept any server certificate.
        check_hostname: compare the server certificate with the host name (RFC 6125).
        certificate: PEM file with the client's chain; None for a client without a certificate.
        key: PEM file with the client's private key.
        version: the only TLS version that is offered, a key of ``VERSIONS``; None offers what OpenSSL offers.
        weak: load also what is too weak for OpenSSL's usual security level (small keys, SHA-1).
        system_trust: trust the CAs that the system trusts, too.
    """

    trust: Path | None
    insecure: bool
    check_hostname: bool
    certificate: Path | None
    key: Path | None
    version: str | None
    weak: bool = False
    system_trust: bool = False


def client_context(key: ContextKey) -> ssl.SSLContext:
    """The context for ``key``, cached as long as the files have not changed: making one is a third of a probe's time.

    Raises:
        OSError: a file cannot be read, or (as ssl.SSLError) OpenSSL does not take what it holds.
    """
    files = [file for file in (key.trust, key.certificate, key.key) if file is not None]
    return _cached_context(key, tuple(_version_of(file) for file in files))


def _version_of(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=256)
def _cached_context(key: ContextKey, _files: tuple[tuple[int, int, int], ...]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = key.check_hostname and not key.insecure
    context.verify_mode = ssl.CERT_NONE if key.insecure else ssl.CERT_REQUIRED
    # Python as some distributions build it offers 1.0 and 1.1 as well.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if key.version:
        _offer_only(context, VERSIONS[key.version])
    if key.trust and not key.insecure:
        context.load_verify_locations(key.trust)
    if key.system_trust and not key.insecure:
        context.load_default_certs()
    if key.weak or key.version in OLD_VERSIONS:
        context.set_ciphers("DEFAULT@SECLEVEL=0")  # before the certificate: it is judged when it is loaded
    if key.certificate:
        # An empty passphrase: OpenSSL would otherwise ask for one on the terminal.
        context.load_cert_chain(key.certificate, key.key, password="")
    context.sslobject_class = _TapedObject
    _record_messages(context)
    return context


def _offer_only(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 and 1.1 are offered to see them refused
        context.minimum_version = context.maximum_version = version


@dataclasses.dataclass
class Tape:
    """The messages of one connection that matter to a verdict, decrypted, as they went by.

    Attributes:
        alerts: name and direction (``received`` or ``sent``) of each alert.
        agreed: whether the handshake came further than the ServerHello: version and cipher suite are agreed upon.
        certificate_request: the server's last CertificateRequest with its header of 4 bytes; empty without one.
        presented: what the client answered: a certificate (True), an empty message (False), nothing (None).
    """

    alerts: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    agreed: bool = False
    certificate_requested: bool = False
    certificate_request: bytes = b""
    presented: bool | None = None

    def alert(self) -> tuple[str, str] | None:
        """The alert that tells why the connection ended, the server's before ours; None without one."""
        telling = [alert for alert in self.alerts if alert[0] not in ("close_notify", "user_canceled")]
        return next((alert for alert in telling if alert[1] == "received"), next(iter(telling), None))


class _TapedObject(ssl.SSLObject):
    """A TLS connection that may carry a tape."""

    tape: Tape | None = None


def _record_messages(context: ssl.SSLContext) -> None:
    # CPython's one way to see decrypted handshake messages. It is not documented, so nothing but the tape depends on
    # it. The documented way is to decrypt the records with the key log, which doubles the time of a probe.
    setattr(context, "_msg_callback", _note_message)  # noqa: B010 - the type stubs do not know the attribute


def _note_message(connection: Any, direction: str, _version: int, content: int, kind: int, data: bytes) -> None:
    tape = getattr(connection, "tape", None)
    if tape is None:
        return
    if content == _ALERT_CONTENT and len(data) > 1:
        name = ALERTS.get(data[1], f"alert_{data[1]}")
        tape.alerts.append((name, "received" if direction == "read" else "sent"))
    elif content == _HANDSHAKE_CONTENT and direction == "read":
        tape.agreed |= kind in (_ENCRYPTED_EXTENSIONS, _CERTIFICATE, _CERTIFICATE_REQUEST)
        if kind == _CERTIFICATE_REQUEST:
            tape.certificate_requested, tape.certificate_request = True, data
    elif content == _HANDSHAKE_CONTENT and kind == _CERTIFICATE:
        # Header (4 bytes), context (1 byte, TLS 1.3 only), length of the list (3 bytes): nothing more is "none".
        tape.presented = len(data) > 8


class TooMuchError(ValueError):
    """The server has sent more than anybody needs in order to answer."""


class Deadline:
    """A moment that nothing may outlast."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds that are left.

        Raises:
            TimeoutError: none are.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is up")
        return left


def connect(address: str, port: int, deadline: Deadline) -> socket.socket:
    """A TCP connection to the first of the address's resolved forms that accepts one.

    Each of them gets its share of the time that is left, so that one that swallows everything leaves some for the next.

    Raises:
        OSError: none accepts, the name does not resolve, or the deadline has passed.
    """
    failure: OSError = OSError(f"no address for {address}")
    found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, target) in enumerate(found):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(deadline.remaining() / (len(found) - number))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(target)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


class Connection(io.RawIOBase):
    """A TLS client over a connected socket; after the handshake a readable stream of what the server sends.

    Attributes:
        tape: what went by.
        tls: the TLS object, for version, cipher and certificate.
        preface: the first bytes that the server sent (at most 256), as they came over the wire.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str, deadline: Deadline) -> None:
        super().__init__()
        self.tape = Tape()
        self.preface = b""
        self._sock = sock
        self._deadline = deadline
        self._received = 0
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        if isinstance(self.tls, _TapedObject):
            self.tape = self.tls.tape = Tape()

    def handshake(self) -> None:
        """Finish the TLS handshake, as far as the client can tell.

        In TLS 1.3 the client is done before the server has looked at the client's certificate (RFC 8446 section 2):
        a refusal is read later.

        Raises:
            OSError: as ``ssl`` and ``socket`` raise it.
        """
        try:
            self._pump(self.tls.do_handshake)
        finally:
            self._flush_quietly()  # our alert, too, belongs to the server

    def await_verdict(self) -> None:
        """Give a TLS 1.3 server the moment to refuse before the request is on its way.

        A request that meets a closed socket is answered by a reset, and on some systems a reset wipes the alert out of
        the receive buffer. Servers that send session tickets end the wait with them, at once.

        Raises:
            OSError: the connection broke, or the deadline has passed.
        """
        if self.tls.version() != "TLSv1.3" or not self.tape.certificate_requested:
            return
        if self._incoming.pending:
            return
        with contextlib.suppress(TimeoutError):
            self._receive(at_most=_REFUSAL_GRACE)

    def send(self, data: bytes) -> ConnectionError | None:
        """Send application data. A broken pipe is returned, not raised: what the server said before may still be read.

        Raises:
            OSError: anything else.
        """
        self._pump(functools.partial(self.tls.write, data))
        try:
            self._flush()
        except ConnectionError as error:
            return error
        return None

    def readable(self) -> bool:
        """Always: this is the reading end of an ``io`` stream."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read application data; 0 at the end, also where the server leaves without a close_notify."""
        try:
            data = self._pump(functools.partial(self.tls.read, len(buffer)))
        except ssl.SSLEOFError:
            return 0
        buffer[: len(data)] = data
        return len(data)

    def _pump(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush_quietly()
                self._receive()

    def _receive(self, at_most: float = float("inf")) -> None:
        self._sock.settimeout(min(self._deadline.remaining(), at_most))
        data = self._sock.recv(_CHUNK)
        self._received += len(data)
        if self._received > MAX_RECEIVED:
            raise TooMuchError(f"the server has sent more than {MAX_RECEIVED >> 10} KiB and comes to no end")
        if data:
            self.preface = self.preface or data[:256]
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._sock.settimeout(self._deadline.remaining())
            self._sock.sendall(self._outgoing.read())

    def _flush_quietly(self) -> None:
        # A server that has closed its reading end may have said why: reading tells, the failed write does not.
        with contextlib.suppress(ConnectionError):
            self._flush()

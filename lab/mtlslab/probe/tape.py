"""What the library tells of a connection's messages as they go by, decrypted."""

from __future__ import annotations

import dataclasses
import ssl
from typing import Any

from mtlslab.probe.model import Side
from mtlslab.probe.reader import Reader, read_certificates
from mtlslab.probe.records import ALERT, HANDSHAKE, alert_name

_ENCRYPTED_EXTENSIONS = 8  # RFC 8446 section 4, HandshakeType
_CERTIFICATE = 11
_CERTIFICATE_REQUEST = 13
_NEW_SESSION_TICKET = 4
_TLS_1_3 = 0x0304
_HEADER = 4  # type and length of a handshake message
_GOODBYES = ("close_notify", "user_canceled")  # RFC 8446 section 6.1: they end a connection and refuse nothing
# The attribute of the class below SSLContext: SSLContext's own makes enums of five numbers at each of 40 calls.
_MESSAGES: Any = getattr(ssl.SSLContext.__base__, "_msg_callback", None)


@dataclasses.dataclass
class Tape:
    """The messages of one connection that matter to a verdict.

    Attributes:
        alerts: name and sender (``PEER`` or ``LOCAL``) of each alert.
        agreed: whether the handshake came further than the ServerHello: version and cipher suite are agreed upon.
        certificate_request: the server's last CertificateRequest with its header of 4 bytes; empty without one.
        certificate: the server's Certificate message, in the same form.
        presented: what the client answered: a certificate (True), an empty message (False), nothing (None).
        ticket: whether the server has given a session ticket.
    """

    alerts: list[tuple[str, Side]] = dataclasses.field(default_factory=list)
    agreed: bool = False
    certificate_requested: bool = False
    certificate_request: bytes = b""
    certificate: bytes = b""
    presented: bool | None = None
    ticket: bool = False

    def alert(self) -> tuple[str, Side] | None:
        """The alert that tells why the connection ended, the server's before ours; None without one."""
        telling = [alert for alert in self.alerts if alert[0] not in _GOODBYES]
        return next((alert for alert in telling if alert[1] is Side.PEER), next(iter(telling), None))

    def chain(self, *, tls13: bool) -> tuple[bytes, ...]:
        """DER of the certificates that the server sent (RFC 8446 section 4.4.2, RFC 5246 section 7.4.2)."""
        try:
            return tuple(read_certificates(Reader(self.certificate[_HEADER:]), tls13=tls13)) if self.certificate else ()
        except ValueError:
            return ()


class _TapedObject(ssl.SSLObject):
    """A TLS connection that may carry a tape."""

    tape: Tape | None = None


def record_messages(context: ssl.SSLContext) -> None:
    """Let the connections of a context carry a tape."""
    context.sslobject_class = _TapedObject
    # CPython's one way to see decrypted handshake messages. It is not documented, so nothing but the tape depends on
    # it. The documented way is to decrypt the records with the key log, which doubles the time of a probe.
    if _MESSAGES is not None:
        _MESSAGES.__set__(context, _note_message)


def tape_of(tls: ssl.SSLObject) -> Tape:
    """A new tape that what follows in this connection is noted on."""
    tape = Tape()
    if isinstance(tls, _TapedObject):
        tls.tape = tape
    return tape


def _note_message(connection: Any, direction: str, version: int, content: int, kind: int, data: bytes) -> None:
    tape = getattr(connection, "tape", None)
    if tape is None:
        return
    if content == ALERT and len(data) > 1:
        tape.alerts.append((alert_name(data[1]), Side.PEER if direction == "read" else Side.LOCAL))
    elif content == HANDSHAKE and direction == "read":
        _note_servers(tape, kind, data)
    elif content == HANDSHAKE and kind == _CERTIFICATE:
        tape.presented = _holds_certificates(data[_HEADER:], tls13=version == _TLS_1_3)


def _holds_certificates(message: bytes, *, tls13: bool) -> bool:
    """Whether a Certificate message holds any; in TLS 1.3, a context of any length stands before them."""
    reader = Reader(message)
    if tls13:
        reader.vector(1)
    return bool(reader.vector(3))


def _note_servers(tape: Tape, kind: int, data: bytes) -> None:
    tape.agreed |= kind in (_ENCRYPTED_EXTENSIONS, _CERTIFICATE, _CERTIFICATE_REQUEST)
    if kind == _CERTIFICATE_REQUEST:
        tape.certificate_requested, tape.certificate_request = True, data
    elif kind == _CERTIFICATE:
        tape.certificate = data
    elif kind == _NEW_SESSION_TICKET:
        tape.ticket = True

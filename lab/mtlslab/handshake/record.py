"""Makes one attempt and keeps every byte of it."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import cast

from mtlslab.handshake.decode import decode
from mtlslab.handshake.keys import AEAD_CIPHERS, read_key_log
from mtlslab.handshake.model import Sender, Transcript
from mtlslab.probe.attempt import Attempt, request_bytes, words_of
from mtlslab.probe.connection import VERSIONS, Connection, Deadline, connect
from mtlslab.probe.secret_files import secret_files

_MAX_BYTES = 1 << 20  # a server that never stops talking is told no more than this
_READ = 16384


def record_handshake(what: Attempt) -> Transcript:
    """Try it once, and tell every message that passed. Failures are part of the story, not exceptions.

    TLS 1.2 is offered with AEAD cipher suites only: those are the ones whose records can be opened afterwards.
    """
    wire = _Wire()
    log, error = "", ""
    try:
        context = _context(what)
        with secret_files() as keep:
            file = keep(b"")
            context.keylog_filename = str(file)
            error = _talk(what, context, wire)
            log = file.read_text("ascii", "replace")
    except (OSError, ValueError) as failure:
        error = words_of(failure)
    decoded = decode(wire.chunks, read_key_log(log))
    answered = any(message.status is not None for message in decoded.messages)
    return Transcript(
        url=what.url,
        tls_version=decoded.tls_version,
        cipher=decoded.cipher,
        messages=decoded.messages,
        error="" if answered else error,
    )


class _Wire:
    """A socket that keeps what passes through it, in order."""

    def __init__(self) -> None:
        self.chunks: list[tuple[Sender, bytes]] = []
        self._sock: socket.socket | None = None
        self._left = _MAX_BYTES

    def over(self, sock: socket.socket) -> socket.socket:
        """Itself, in the place of the connected socket ``sock``; it does as much of one as a connection uses."""
        self._sock = sock
        return cast("socket.socket", self)

    def settimeout(self, seconds: float) -> None:
        """As a socket does."""
        self._real().settimeout(seconds)

    def recv(self, count: int) -> bytes:
        """As a socket does."""
        data = self._real().recv(min(count, self._left))
        self._left -= len(data)
        if data:
            self.chunks.append((Sender.SERVER, data))
        return data

    def sendall(self, data: bytes) -> None:
        """As a socket does; what a closed connection does not take was said all the same."""
        self.chunks.append((Sender.CLIENT, data))
        self._real().sendall(data)

    def _real(self) -> socket.socket:
        if self._sock is None:
            raise OSError("not connected")
        return self._sock


def _talk(what: Attempt, context: ssl.SSLContext, wire: _Wire) -> str:
    """The whole conversation; why it broke off, empty if it did not."""
    deadline = Deadline(what.timeout)
    try:
        with connect(what.address or what.host, what.port, deadline) as sock:
            connection = Connection(wire.over(sock), context, what.host, deadline)
            connection.handshake()
            # This context tells no tape whether a certificate was asked for: give the server the moment in any case.
            connection.tape.certificate_requested = True
            connection.await_verdict()
            with contextlib.suppress(ssl.SSLWantReadError):
                connection.tls.read(1)  # nothing is to be read yet, unless the server has refused
            broken = connection.send(request_bytes(what))
            while connection.read(_READ):
                pass
    except (OSError, ValueError) as error:
        return words_of(error)
    return words_of(broken) if broken else ""


def _context(what: Attempt) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = what.check_hostname and not what.insecure
    context.verify_mode = ssl.CERT_NONE if what.insecure else ssl.CERT_REQUIRED
    # Python as some distributions build it offers 1.0 and 1.1 as well.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if what.tls_version:
        context.minimum_version = context.maximum_version = VERSIONS[what.tls_version]
    context.set_ciphers(AEAD_CIPHERS)
    if what.cacert and not what.insecure:
        context.load_verify_locations(what.cacert)
    if what.credential:
        # An empty passphrase: OpenSSL would otherwise ask for one on the terminal.
        context.load_cert_chain(what.credential.certificate, what.credential.key, password="")
    return context

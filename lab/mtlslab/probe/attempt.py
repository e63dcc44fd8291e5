"""The engine: one attempt at a server, told as facts. A probe never judges: see ``mtlslab.verify.checks`` for verdicts.

Two facts keep a verdict honest. The *phase* says how far the attempt came, the *side* whose doing the end was: a
connection that was never made and a certificate that never left this machine are no refusal by the server.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import ssl
import time
from pathlib import Path
from typing import Any, BinaryIO

from mtlslab.probe.connection import Connection, Deadline, Wire, connect
from mtlslab.probe.context import Session, client_context, key_for, key_log, new_context, version_of
from mtlslab.probe.hello import first_answer, second_handshake
from mtlslab.probe.http import read_answer, request_bytes
from mtlslab.probe.keys import read_key_log
from mtlslab.probe.model import ALPN_HTTP_2, OUT_OF_TIME, Attempt, KeyLog, Observation, Phase, Recording, Side
from mtlslab.probe.names import require_name
from mtlslab.probe.records import HANDSHAKE, alert_in, is_tls, record

_MAX_ERROR = 300
# One class: which of them shows depends on who wins a race inside the server's kernel.
_CLOSED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


def attempt(what: Attempt) -> Observation:
    """Try it once, and tell what happened. Network and TLS failures are facts, not exceptions."""
    begin = time.perf_counter()
    with contextlib.ExitStack() as stack:
        facts = _Run(what, stack).facts()
    return Observation(**facts, duration=time.perf_counter() - begin)


def words_of(error: Exception) -> str:
    """What the library or the system says about a failed attempt, on one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = error.verify_message
    elif isinstance(error, ssl.SSLError) and error.reason:
        text = error.reason.replace("_", " ").lower()
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())[:_MAX_ERROR]


class _Run:
    """One attempt under way: remembers the phase, so that a failure is told with its place."""

    def __init__(self, what: Attempt, stack: contextlib.ExitStack) -> None:
        self.what = what
        self.phase = Phase.LOAD
        self.sent_fingerprint = ""
        self.local_port = 0
        self._stack = stack
        self._deadline = Deadline(what.timeout)
        self._context: ssl.SSLContext | None = None
        self._log: BinaryIO | None = None
        self._wire: Wire | None = None
        self._connection: Connection | None = None

    def facts(self) -> dict[str, Any]:
        """The fields of the observation."""
        try:
            end = self._go()
        except (OSError, ValueError, http.client.HTTPException) as error:
            end = self._failure(error)
        own = {"phase": self.phase, "sent_fingerprint": self.sent_fingerprint, "local_port": self.local_port}
        return {**own, **self._seen(), **end}

    def _go(self) -> dict[str, Any]:
        what = self.what
        request = request_bytes(what)
        if not (what.plain or what.hello):
            self._context = self._load()
        self.phase = Phase.CONNECT
        sock = self._stack.enter_context(
            connect(what.address or what.host, what.connect_port or what.port, self._deadline, what.source)
        )
        self.local_port = sock.getsockname()[1]
        self._wire = Wire(sock, self._deadline, keep=what.record or what.renegotiate)
        if self._context is None:
            return self._ask(self._wire, request) if what.plain else self._say_hello(self._wire)
        return self._speak_tls(self._wire, self._context, request)

    def _load(self) -> ssl.SSLContext:
        what, key, session = self.what, key_for(self.what), self.what.session
        recorded = what.record or what.renegotiate
        if session is None:
            context = new_context(key) if recorded else client_context(key)
        elif session.key != key or (recorded and session.shared):
            raise ValueError("the session comes from an attempt of another kind: it cannot be resumed in this one")
        else:
            context = session.context
        if recorded:
            self._log = self._stack.enter_context(key_log(context))
        if what.credential:
            certificate = what.credential.certificate
            self.sent_fingerprint = _fingerprint(certificate, version_of(certificate))
        return context

    def _say_hello(self, wire: Wire) -> dict[str, Any]:
        self.phase = Phase.HANDSHAKE
        wire.send(record(HANDSHAKE, self.what.hello))
        return first_answer(*wire.read_record())

    def _speak_tls(self, wire: Wire, context: ssl.SSLContext, request: bytes) -> dict[str, Any]:
        what = self.what
        self.phase = Phase.HANDSHAKE
        session = what.session.value if what.session else None
        self._connection = connection = Connection(wire, context, key_for(what), what.server_name, session)
        connection.handshake()
        self._require_name(connection)
        if what.renegotiate:
            return self._renegotiate(wire, connection)
        self.phase = Phase.READ
        connection.await_verdict(what.idle)
        return self._ask(connection, request)

    def _require_name(self, connection: Connection) -> None:
        what = self.what
        if what.server_name == what.host or what.insecure or not what.check_hostname:
            return
        require_name(connection.tls.getpeercert(binary_form=True) or b"", what.host, strict=what.strict_names)

    def _ask(self, stream: Connection | Wire, request: bytes) -> dict[str, Any]:
        self.phase = Phase.SEND
        if self._chose_http_2(stream):
            # Its library is needed where a server chooses HTTP/2 only.
            from mtlslab.probe.http2 import exchange

            answer = exchange(stream, self.what)
            self.phase = Phase.DONE
            return answer
        broken = stream.send(request) if isinstance(stream, Connection) else stream.deliver(request)
        self.phase = Phase.READ
        answer = read_answer(stream, self.what, broken)
        self.phase = Phase.DONE
        if self.what.record and isinstance(stream, Connection):
            stream.drain()
        return answer

    def _chose_http_2(self, stream: Connection | Wire) -> bool:
        if isinstance(stream, Connection):
            return stream.tls.selected_alpn_protocol() == ALPN_HTTP_2
        return self.what.http_version == "2"

    def _renegotiate(self, wire: Wire, connection: Connection) -> dict[str, Any]:
        self.phase = Phase.SEND
        second = second_handshake(wire.chunks, self._secrets())
        # RFC 5929 section 3: of a full handshake, "tls-unique" is the client's Finished.
        finished = connection.tls.get_channel_binding("tls-unique") or b""
        try:
            wire.send(second.seal(self.what.server_name, finished))
            return second.answer(*wire.read_record())
        except ConnectionError as error:
            return {**self._failure(error), "renegotiated": False}

    def _seen(self) -> dict[str, Any]:
        wire, connection = self._wire, self._connection
        facts: dict[str, Any] = {}
        if wire is not None:
            facts["heard"] = bool(wire.preface)
        if connection is not None:
            facts |= self._seen_of_tls(connection)
        if self.what.record:
            facts["recording"] = Recording(tuple(wire.chunks) if wire else (), self._secrets())
        return facts

    def _seen_of_tls(self, connection: Connection) -> dict[str, Any]:
        tls, tape = connection.tls, connection.tape
        cipher, alert = tls.cipher(), tape.alert()
        version = self._negotiated(tls.version() or "", cipher is not None)
        facts = {
            "tls_version": version,
            "cipher": cipher[0] if cipher else "",
            "agreed": tape.agreed or connection.finished,
            "certificate_requested": True if tape.certificate_requested else None,
            "certificate_request": tape.certificate_request,
            "presented": tape.presented,
            "alert": alert[0] if alert else "",
            "alert_from": alert[1] if alert else None,
            "chain": tape.chain(tls13=version == "1.3"),
        }
        return facts | (self._seen_of_finished(connection, version) if connection.finished else {})

    def _seen_of_finished(self, connection: Connection, version: str) -> dict[str, Any]:
        tls, tape = connection.tls, connection.tape
        resumed = bool(tls.session_reused)
        return {
            "finished": True,
            "spoke": connection.heard or connection.spoke_first,
            "spoke_first": connection.spoke_first,
            "hung_up": connection.hung_up if self.what.idle else connection.hung_up or None,
            # Not asked of OpenSSL again: after a fatal error it knows no version any more.
            "admitted": version != "1.3" or tape.ticket or connection.heard,
            # False only once the server's whole flight has been seen, and where it might have asked.
            "certificate_requested": tape.certificate_requested or (None if resumed else False),
            "alpn": tls.selected_alpn_protocol() or "",
            "resumed": resumed,
            "session": self._session(tls) if self.what.keep_session else None,
        }

    def _session(self, tls: ssl.SSLObject) -> Session | None:
        value = tls.session  # a copy: a quarter of an attempt's time
        if value is None or self._context is None or not (value.has_ticket or value.id):
            return None
        return Session(value, self._context, key_for(self.what), shared=self._log is None)

    def _secrets(self) -> KeyLog:
        if self._log is None:
            return {}
        self._log.seek(0)
        return read_key_log(self._log.read().decode("ascii", "replace"))

    def _negotiated(self, version: str, agreed: bool) -> str:
        # OpenSSL forgets the version of a handshake that broke; where only one was offered, an agreed suite tells it.
        return version.removeprefix("TLSv") or ((self.what.tls_version or "") if agreed else "")

    def _failure(self, error: Exception) -> dict[str, Any]:
        facts: dict[str, Any] = {"side": self._side(error), "error": self._words(error)}
        if isinstance(error, ssl.SSLCertVerificationError):
            facts |= {"verify_code": error.verify_code, "verify_error": error.verify_message}
        if self._wire is None:
            return facts
        if alert := self._alert_in_clear():
            return facts | {"side": Side.PEER, "error": f"alert {alert}", "alert": alert, "alert_from": Side.PEER}
        preface = "" if self.what.plain else _not_tls(self._wire.preface)
        return facts | {"closed": isinstance(error, _CLOSED), "preface": preface}

    def _alert_in_clear(self) -> str:
        """The alert that answers a request without TLS."""
        return alert_in(self._wire.preface) if self._wire and self.what.plain else ""

    def _side(self, error: Exception) -> Side:
        if self.phase is Phase.LOAD:
            return Side.LOCAL
        if self.phase is Phase.CONNECT or isinstance(error, TimeoutError):
            return Side.NONE
        if isinstance(error, _CLOSED) or self._refused_by_alert():
            return Side.PEER
        # Unreachable networks are nobody's doing; whatever else OpenSSL or the HTTP parser refuse is refused here.
        return Side.LOCAL if isinstance(error, (ssl.SSLError, ValueError, http.client.HTTPException)) else Side.NONE

    def _words(self, error: Exception) -> str:
        return f"{OUT_OF_TIME} {self.what.timeout:g} s" if isinstance(error, TimeoutError) else words_of(error)

    def _refused_by_alert(self) -> bool:
        alert = self._connection.tape.alert() if self._connection else None
        return alert is not None and alert[1] is Side.PEER


@functools.lru_cache(maxsize=256)
def _fingerprint(certificate: Path, _file: tuple[int, int, int]) -> str:
    pem = certificate.read_text(errors="replace")
    begin, end = pem.find(ssl.PEM_HEADER), pem.find(ssl.PEM_FOOTER)
    if begin < 0 or end < begin:
        return ""
    der = ssl.PEM_cert_to_DER_cert(pem[begin : end + len(ssl.PEM_FOOTER)])
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


def _not_tls(preface: bytes) -> str:
    return "" if not preface or is_tls(preface) else preface.decode("latin-1")

"""One TLS and HTTP exchange with a context, and perhaps a session, of the caller's own."""

from __future__ import annotations

import dataclasses
import io
import re
import ssl

from mtlslab.probe.attempt import MAX_BODY, Attempt, Observation, Phase, Side, request_bytes
from mtlslab.probe.connection import Connection, Deadline, connect

_TITLE = re.compile(r"<title>\s*(.*?)\s*</title>", re.IGNORECASE | re.DOTALL)
# OpenSSL's words for an alert that was received: "tlsv1 alert no application protocol (_ssl.c:1006)".
_ALERT = re.compile(r"\b(?:sslv3|tlsv1|tlsv13) alert ([a-z ]+)")
_MAX_ANSWER = 1 << 16


@dataclasses.dataclass(frozen=True)
class Exchange:
    """What came of it.

    Attributes:
        seen: the usual facts.
        session: the session to resume later; None where there is none.
        reused: whether the offered session was resumed.
        protocol: the application protocol that the server chose by ALPN; None without one.
    """

    seen: Observation
    session: ssl.SSLSession | None = None
    reused: bool = False
    protocol: str | None = None


def exchange(what: Attempt, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Exchange:
    """Ask for the page once. Network and TLS failures are facts, not exceptions.

    Args:
        what: where to, and what for; trust and credential are the context's affair.
        context: what to connect with.
        session: the session to offer; it must come from the same context.
    """
    deadline = Deadline(what.timeout)
    try:
        sock = connect(what.address or what.host, what.port, deadline)
    except OSError as error:
        return Exchange(Observation(Phase.CONNECT, Side.NONE, error=error.strerror or str(error)))
    with sock:
        connection = Connection(sock, context, what.host, deadline)
        if session is not None:
            connection.tls.session = session
        try:
            connection.handshake()
            connection.await_verdict()
            connection.send(request_bytes(what))
            # A TLS 1.3 ticket comes after the handshake: it is there once the answer is.
            seen = answered(io.BufferedReader(connection).read(_MAX_ANSWER), connection)
        except OSError as error:
            return Exchange(_broken_off(connection, error))
        tls = connection.tls
        return Exchange(seen, tls.session, bool(tls.session_reused), tls.selected_alpn_protocol())


def answered(data: bytes, connection: Connection | None = None) -> Observation:
    """An HTTP answer as an observation; bytes that are no HTTP make one without a status."""
    head, _, rest = data.decode("utf-8", "replace").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    status = re.match(r"HTTP/\d(?:\.\d)? (\d{3})\b", first)
    title = _TITLE.search(rest)
    facts = Observation(
        phase=Phase.DONE if status else Phase.READ,
        side=Side.NONE if status else Side.PEER,
        error="" if status else "the answer is no HTTP",
        closed=not status,
        heard=bool(data) or connection is not None,
        status=int(status[1]) if status else None,
        title=title[1] if title else "",
        body=rest[:MAX_BODY],
        headers={name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)},
    )
    if connection is None:
        return facts
    cipher = connection.tls.cipher()
    return dataclasses.replace(
        facts,
        tls_version=(connection.tls.version() or "").removeprefix("TLSv"),
        cipher=cipher[0] if cipher else "",
        certificate_requested=connection.tape.certificate_requested,
    )


def _broken_off(connection: Connection, error: OSError) -> Observation:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Observation(
            Phase.HANDSHAKE,
            Side.LOCAL,
            error=error.verify_message,
            heard=True,
            verify_code=error.verify_code,
            verify_error=error.verify_message,
        )
    words = _ALERT.search(str(error))
    alert = words[1].strip().replace(" ", "_") if words else ""
    closed = isinstance(error, (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError))
    local = isinstance(error, ssl.SSLError) and not closed
    return Observation(
        Phase.HANDSHAKE,
        Side.PEER if alert or closed else Side.LOCAL if local else Side.NONE,
        error=str(error),
        alert=alert,
        alert_from=Side.PEER if alert else None,
        closed=closed,
        heard=bool(connection.preface),
    )

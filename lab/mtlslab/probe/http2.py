"""HTTP/2 of a probe (RFC 9113): one request over a connection, and its answer. The grammar is h2's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mtlslab.probe.connection import Connection, Wire
from mtlslab.probe.http import MAX_READ, Body, answer_of, fields_of, require_lines, target_of
from mtlslab.probe.model import Attempt

_STREAM = 1  # the first that a client may open
_BLOCK = 1 << 16
# Fields of a connection, which HTTP/2 has no room for (RFC 9113 section 8.2.2); Host is :authority.
_LEFT_OUT = ("host", "connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection")


def exchange(stream: Connection | Wire, what: Attempt) -> dict[str, Any]:
    """Send the request of an attempt and read the answer, as fields of an observation.

    Raises:
        OSError: the connection broke before there was a status, or the deadline has passed.
        ValueError: what came is no HTTP/2, or has no status.
    """
    from h2.exceptions import H2Error

    try:
        return _exchange(stream, what)
    except H2Error as error:
        raise ValueError(f"HTTP/2: {error}") from error


def _exchange(stream: Connection | Wire, what: Attempt) -> dict[str, Any]:
    from h2.config import H2Configuration
    from h2.connection import H2Connection

    own = H2Connection(H2Configuration(header_encoding="utf-8", validate_outbound_headers=False))
    own.initiate_connection()
    own.send_headers(_STREAM, list(_fields(what)), end_stream=True)
    answer, body = _Answer(), Body(what.find)
    while not answer.ended:
        _deliver(stream, own.data_to_send())
        data = stream.read(_BLOCK)
        if not data:
            break
        for event in own.receive_data(data):
            answer.hear(event, body)
        if body.size > MAX_READ:
            break
        own.increment_flow_control_window(_BLOCK)
    if answer.status is None:
        raise ConnectionResetError("the server ended the stream without an answer")
    body.complete = answer.whole
    return answer_of(answer.status, answer.headers, body)


class _Answer:
    """What the events of the one stream have told so far."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: list[tuple[str, str]] = []
        self.whole = False
        self.ended = False

    def hear(self, event: object, body: Body) -> None:
        """Take an event in."""
        from h2 import events

        if isinstance(event, events.ResponseReceived):
            fields = [(_text(name), _text(value)) for name, value in event.headers or ()]
            self.status = int(dict(fields)[":status"])
            self.headers = fields
        elif isinstance(event, events.DataReceived):
            body.take(event.data or b"")
        elif isinstance(event, events.StreamEnded):
            self.whole = self.ended = True
        elif isinstance(event, events.StreamReset | events.ConnectionTerminated):
            self.ended = True


def _fields(what: Attempt) -> Iterator[tuple[str, str]]:
    fields = list(fields_of(what))
    require_lines(f"{name}: {value}" for name, value in fields)
    require_lines((what.method, what.path))
    yield ":method", what.method
    yield ":path", target_of(what)
    yield ":scheme", "http" if what.plain else "https"
    authority = next((value for name, value in fields if name.lower() == "host"), "")
    if authority:
        yield ":authority", authority
    yield from ((name.lower(), value) for name, value in fields if name.lower() not in _LEFT_OUT)


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _deliver(stream: Connection | Wire, data: bytes) -> None:
    """Send what there is; a server that has hung up may have said why before."""
    if data:
        _ = stream.send(data) if isinstance(stream, Connection) else stream.deliver(data)

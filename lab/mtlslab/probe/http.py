"""The HTTP of a probe: the bytes of its request, and what is read of an answer."""

from __future__ import annotations

import hashlib
import http.client
import io
import re
import socket
from collections.abc import Iterable, Iterator
from typing import Any, cast
from urllib.parse import quote

from mtlslab.probe.connection import Connection, Wire
from mtlslab.probe.model import MAX_BODY, Attempt

# Whoever offers HTTP/2 must be able to speak 1.1; the other one is spoken in :mod:`mtlslab.probe.http2`.
HTTP_VERSIONS = {"1.0": "1.0", "1.1": "1.1", "2": "1.1"}
CURL = "curl/8.5.0"
MAX_READ = 1 << 20  # bytes of a body that are read
_MAX_HEADER = 4096  # characters of one header; a subject is a tenth of it
_BLOCK = 1 << 16

# No room for backtracking: the page may be made to waste our time.
_TITLE = re.compile(r"<title>([^<]*)", re.IGNORECASE)
_HEADERS = re.compile(r"server|content-type|content-length|location|x-.*", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def request_bytes(what: Attempt) -> bytes:
    """The HTTP request for the page, with the nonce if there is one, as every attempt sends it.

    Raises:
        ValueError: there is no such HTTP version, or a line of the request would break in two.
    """
    if what.http_version not in HTTP_VERSIONS:
        raise ValueError(f"HTTP/{what.http_version} cannot be spoken here, {' and '.join(HTTP_VERSIONS)} can")
    lines = [
        f"{what.method} {target_of(what)} HTTP/{HTTP_VERSIONS[what.http_version]}",
        *(f"{name}: {value}" for name, value in fields_of(what)),
    ]
    require_lines(lines)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def target_of(what: Attempt) -> str:
    """The target of the request: the path, with the nonce if there is one."""
    separator = "&" if "?" in what.path else "?"
    return f"{what.path}{separator}probe={quote(what.nonce, safe='')}" if what.nonce else what.path


def require_lines(lines: Iterable[str]) -> None:
    """Raise ValueError where a line of the request would break in two."""
    if any(_CONTROLS.search(line) for line in lines):
        raise ValueError("a line of the request holds a control character")


def read_answer(stream: Connection | Wire, what: Attempt, broken: ConnectionError | None = None) -> dict[str, Any]:
    """The answer to a request, as fields of an observation.

    Args:
        stream: where to read it from.
        what: the attempt.
        broken: how sending the request failed, if it did.

    Raises:
        OSError: the connection broke before there was a status, or the deadline has passed.
        http.client.HTTPException, ValueError: what came is no HTTP, or has no end.
    """
    response = http.client.HTTPResponse(cast("socket.socket", _Readable(stream)), method=what.method)
    try:
        response.begin()
    except ConnectionError as error:
        raise (broken or error) from None
    body = _Body(response, what.find)
    body.read(stream)
    return answer_of(response.status, response.getheaders(), body)


def answer_of(status: int, headers: Iterable[tuple[str, str]], body: Body) -> dict[str, Any]:
    """An answer as fields of an observation."""
    text = body.start.decode("utf-8", "replace")
    return {
        "status": status,
        "headers": dict(_of_interest(headers)),
        "body": text,
        "title": title_of(text),
        "body_size": body.size if body.complete else None,
        "body_sha256": body.digest.hexdigest() if body.complete else "",
        "found": body.found,
    }


def title_of(page: str) -> str:
    """The title of an HTML page, without the white space around it; empty without one. Takes linear time."""
    title = _TITLE.search(page)
    return title[1].strip() if title else ""


def fields_of(what: Attempt) -> Iterator[tuple[str, str]]:
    """The header fields of the request, as HTTP/1.1 names them."""
    own = {
        "Host": what.authority if what.host_header is None else what.host_header,
        "User-Agent": CURL if what.as_curl else "mtlslab",
        "Accept": "*/*",
    }
    if not what.as_curl:
        own["Connection"] = "close"
    replaced = {name.lower() for name, _ in what.headers}
    yield from ((name, value) for name, value in own.items() if name.lower() not in replaced)
    yield from what.headers


class _Readable:
    """What http.client wants to see of a socket in order to read an answer from it."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = stream

    def makefile(self, _mode: str) -> Any:
        return io.BufferedReader(self._stream)


class Body:
    """A body as it is read: its beginning, its size and digest, and whether all of it came."""

    def __init__(self, find: str = "") -> None:
        self._find = find.encode()
        self._tail = b""
        self.found: bool | None = False if find else None
        self.start = b""
        self.size = 0
        self.digest = hashlib.sha256()
        self.complete = False

    def take(self, data: bytes) -> None:
        """Add what has come."""
        if self.size < MAX_BODY:
            self.start += data[: MAX_BODY - self.size]
        self.size += len(data)
        self.digest.update(data)
        if self.found is False:
            window = self._tail + data
            self.found = self._find in window
            self._tail = window[-len(self._find) :]


class _Body(Body):
    """The body of an answer that the standard library reads."""

    def __init__(self, response: http.client.HTTPResponse, find: str) -> None:
        super().__init__(find)
        self._response = response

    def read(self, stream: Connection | Wire) -> None:
        """Read it. The status line is the answer: a body that breaks off or never ends takes nothing from it."""
        try:
            while self.size <= MAX_READ and self._next(_BLOCK):
                pass
            self.complete = self.size <= MAX_READ and self._has_ended(stream)
        except http.client.IncompleteRead as error:
            if not self.size:
                self.start = error.partial[:MAX_BODY]
        except (OSError, ValueError, http.client.HTTPException):
            pass

    def _next(self, count: int) -> bytes:
        data = self._response.read(count)
        self.take(data)
        return data

    def _has_ended(self, stream: Connection | Wire) -> bool:
        # RFC 9112 section 8: without a length it is the end of the connection that ends the body, if that is no cut.
        if self._response.chunked or self._response.length is not None:
            return not self._response.length
        return not stream.cut_off


def _of_interest(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, value in headers:
        if _HEADERS.fullmatch(name):
            yield name.lower(), value[:_MAX_HEADER]

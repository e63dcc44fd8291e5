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

# HTTP/2 is another protocol below the same words: whoever adds it answers here, and in `read_answer`.
HTTP_VERSIONS = ("1.0", "1.1")
MAX_READ = 1 << 20  # bytes of a body that are read
_MAX_HEADER = 4096  # characters of one header; a subject is a tenth of it
_BLOCK = 1 << 16

# No room for backtracking: the page may be made to waste our time.
_TITLE = re.compile(r"<title>([^<]*)", re.IGNORECASE)
_HEADERS = re.compile(r"server|content-type|location|x-.*", re.IGNORECASE)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def request_bytes(what: Attempt) -> bytes:
    """The HTTP request for the page, with the nonce if there is one, as every attempt sends it.

    Raises:
        ValueError: there is no such HTTP version, or a line of the request would break in two.
    """
    if what.http_version not in HTTP_VERSIONS:
        raise ValueError(f"HTTP/{what.http_version} cannot be spoken here, {' and '.join(HTTP_VERSIONS)} can")
    nonce = f"{'&' if '?' in what.path else '?'}probe={quote(what.nonce, safe='')}" if what.nonce else ""
    lines = [
        f"{what.method} {what.path}{nonce} HTTP/{what.http_version}",
        *(f"{name}: {value}" for name, value in _fields(what)),
    ]
    if any(_CONTROLS.search(line) for line in lines):
        raise ValueError("a line of the request holds a control character")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_answer(stream: Connection | Wire, method: str, broken: ConnectionError | None = None) -> dict[str, Any]:
    """The answer to a request, as fields of an observation.

    Args:
        stream: where to read it from.
        method: of the request.
        broken: how sending the request failed, if it did.

    Raises:
        OSError: the connection broke before there was a status, or the deadline has passed.
        http.client.HTTPException, ValueError: what came is no HTTP, or has no end.
    """
    response = http.client.HTTPResponse(cast("socket.socket", _Readable(stream)), method=method)
    try:
        response.begin()
    except ConnectionError as error:
        raise (broken or error) from None
    body = _Body(response)
    body.read(stream)
    text = body.start.decode("utf-8", "replace")
    return {
        "status": response.status,
        "headers": dict(_of_interest(response.getheaders())),
        "body": text,
        "title": title_of(text),
        "body_size": body.size if body.complete else None,
        "body_sha256": body.digest.hexdigest() if body.complete else "",
    }


def title_of(page: str) -> str:
    """The title of an HTML page, without the white space around it; empty without one. Takes linear time."""
    title = _TITLE.search(page)
    return title[1].strip() if title else ""


def _fields(what: Attempt) -> Iterator[tuple[str, str]]:
    own = {
        "Host": what.authority if what.host_header is None else what.host_header,
        "User-Agent": "mtlslab",
        "Accept": "*/*",
        "Connection": "close",
    }
    replaced = {name.lower() for name, _ in what.headers}
    yield from ((name, value) for name, value in own.items() if name.lower() not in replaced)
    yield from what.headers


class _Readable:
    """What http.client wants to see of a socket in order to read an answer from it."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = stream

    def makefile(self, _mode: str) -> Any:
        return io.BufferedReader(self._stream)


class _Body:
    """A body as it is read: its beginning, its size and digest, and whether all of it came."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.start = b""
        self.size = 0
        self.digest = hashlib.sha256()
        self.complete = False

    def read(self, stream: Connection | Wire) -> None:
        """Read it. The status line is the answer: a body that breaks off or never ends takes nothing from it."""
        try:
            self.start = self._next(MAX_BODY)
            while self.size <= MAX_READ and self._next(_BLOCK):
                pass
            self.complete = self.size <= MAX_READ and self._has_ended(stream)
        except http.client.IncompleteRead as error:
            self.start = self.start or error.partial[:MAX_BODY]
        except (OSError, ValueError, http.client.HTTPException):
            pass

    def _next(self, count: int) -> bytes:
        data = self._response.read(count)
        self.size += len(data)
        self.digest.update(data)
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

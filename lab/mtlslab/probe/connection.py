"""One connection to a server: its bytes, and the TLS client on top of them. The machinery below the probe.

The standard library's ``ssl`` does the protocol through memory buffers (``SSLContext.wrap_bio``), and this module
carries the bytes. That leaves every record in our hands: an alert that races with the end of the connection is still
read, and a deadline covers the whole exchange instead of each call.
"""

from __future__ import annotations

import contextlib
import functools
import io
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from mtlslab.probe.context import ContextKey, begin
from mtlslab.probe.model import Chunk, Sender, Side
from mtlslab.probe.records import HEADER, MAX_RECORD
from mtlslab.probe.tape import tape_of

# Bytes that one connection takes in: the body that is read, and room for a long chain and a full set of headers.
MAX_RECEIVED = (1 << 20) + (1 << 18)
_CHUNK = 16384
_PREFACE = 256
_REFUSAL_GRACE = 0.1  # seconds that a server without session tickets is given to refuse before the request goes out


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


def connect(address: str, port: int, deadline: Deadline, source: str = "") -> socket.socket:
    """A TCP connection to the first of the address's resolved forms that accepts one.

    Each of them gets its share of the time that is left, so that one that swallows everything leaves some for the next.

    Args:
        address: where to connect.
        port: TCP port.
        deadline: until when.
        source: address of this machine to connect from; empty leaves the choice to the system.

    Raises:
        OSError: none accepts, the name does not resolve, or the deadline has passed.
    """
    failure: OSError = OSError(f"no address for {address}")
    # From an IPv4 address there is no way to an IPv6 one.
    same_family = (socket.AF_INET6 if ":" in source else socket.AF_INET) if source else socket.AF_UNSPEC
    found = socket.getaddrinfo(address, port, family=same_family, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, target) in enumerate(found):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(deadline.remaining() / (len(found) - number))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source:
                sock.bind((source, 0))
            sock.connect(target)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise failure


class Wire(io.RawIOBase):
    """A connected socket within its limits of time and size; a readable stream of what comes over it.

    Attributes:
        preface: the first bytes that the server sent (at most 256).
        chunks: what both sides sent, if it is to be kept.
        cut_off: whether the stream ended otherwise than its protocol wants it; in TCP, never.
    """

    def __init__(self, sock: socket.socket, deadline: Deadline, *, keep: bool = False) -> None:
        super().__init__()
        self.preface = b""
        self.chunks: list[Chunk] = []
        self.cut_off = False
        self._sock = sock
        self._deadline = deadline
        self._keep = keep
        self._received = 0

    def receive(self, count: int = _CHUNK, *, at_most: float = float("inf")) -> bytes:
        """The next bytes of the server; none at the end.

        Args:
            count: how many at most.
            at_most: seconds to wait, if that is less than what the deadline leaves.

        Raises:
            OSError: the connection broke, or the time is up.
            TooMuchError: the server comes to no end.
        """
        self._sock.settimeout(min(self._deadline.remaining(), at_most))
        data = self._sock.recv(count)
        self._received += len(data)
        if self._received > MAX_RECEIVED:
            raise TooMuchError(f"the server has sent more than {MAX_RECEIVED >> 10} KiB and comes to no end")
        if len(self.preface) < _PREFACE:
            self.preface += data[: _PREFACE - len(self.preface)]
        if self._keep and data:
            self.chunks.append((Sender.SERVER, data))
        return data

    def send(self, data: bytes) -> None:
        """Send bytes; what a closed connection does not take was said all the same.

        Raises:
            OSError: the connection broke, or the time is up.
        """
        if self._keep:
            self.chunks.append((Sender.CLIENT, data))
        self._sock.settimeout(self._deadline.remaining())
        self._sock.sendall(data)

    def deliver(self, data: bytes) -> ConnectionError | None:
        """Send bytes. A broken pipe is returned, not raised: what the server said before may still be read.

        Raises:
            OSError: anything else.
        """
        try:
            self.send(data)
        except ConnectionError as error:
            return error
        return None

    def read_record(self) -> tuple[bytes, bytes]:
        """Header and content of the next record; both may be short where the connection ends, or where it is not TLS.

        Raises:
            OSError: the connection broke, or the deadline has passed.
        """
        header = self._exactly(HEADER)
        length = int.from_bytes(header[3:]) if len(header) == HEADER else 0
        return header, self._exactly(length if length <= MAX_RECORD else 0)

    def readable(self) -> bool:
        """Always: this is the reading end of an ``io`` stream."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what comes in clear; 0 at the end."""
        data = self.receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (more := self.receive(count - len(data))):
            data += more
        return data


class Connection(io.RawIOBase):
    """A TLS client over a wire; after the handshake a readable stream of what the server sends.

    Attributes:
        tape: what went by.
        tls: the TLS object, for version, cipher and session.
        finished: whether the handshake is, as far as the client can tell.
        cut_off: whether the server left without a close_notify.
        heard: whether the server has sent application data.
        hung_up: whether the server was gone before it was asked for anything.
        spoke_first: whether the server sent application data before that.
    """

    def __init__(
        self,
        wire: Wire,
        context: ssl.SSLContext,
        key: ContextKey,
        server_name: str,
        session: ssl.SSLSession | None = None,
    ) -> None:
        super().__init__()
        self.finished = False
        self.cut_off = False
        self.heard = False
        self.hung_up = False
        self.spoke_first = False
        self._wire = wire
        self._early = b""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = begin(context, key, self._incoming, self._outgoing, server_name)
        self.tape = tape_of(self.tls)
        if session is not None:
            self.tls.session = session

    def handshake(self) -> None:
        """Finish the TLS handshake, as far as the client can tell.

        In TLS 1.3 the client is done before the server has looked at the client's certificate (RFC 8446 section 2):
        a refusal is read later.

        Raises:
            OSError: as ``ssl`` and ``socket`` raise it.
        """
        try:
            self._pump(self.tls.do_handshake)
            self.finished = True
        finally:
            self._flush_quietly()  # our alert, too, belongs to the server

    def await_verdict(self, idle: float = 0.0) -> None:
        """Give a TLS 1.3 server the moment to refuse before the request is on its way.

        A request that meets a closed socket is answered by a reset, and on some systems a reset wipes the alert out of
        the receive buffer. Servers that send session tickets end the wait with them, at once.

        Args:
            idle: seconds to wait in any version, whatever the server sends meanwhile; 0 for no more than is needed.

        Raises:
            OSError: the server has refused, the connection broke, or the deadline has passed.
        """
        may_refuse = self.tls.version() == "TLSv1.3" and self.tape.certificate_requested
        if not idle and not may_refuse:
            return
        end = time.monotonic() + idle
        if not self._incoming.pending:
            self._wait(idle or _REFUSAL_GRACE)
        while not self._peek() and (left := end - time.monotonic()) > 0:
            self._wait(left)

    def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            self._receive(at_most=seconds)

    def _peek(self) -> bool:
        """Read ahead. Whether there is nothing more to wait for: the server has spoken, or hung up, or refused."""
        try:
            self._early = self.tls.read(1)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLEOFError:
            self.hung_up = True
        else:
            self.spoke_first = bool(self._early)
            self.hung_up = not self._early
        return True

    def send(self, data: bytes) -> ConnectionError | None:
        """Send application data. A broken pipe is returned, not raised: what the server said before may still be read.

        Raises:
            OSError: anything else.
        """
        self._pump(functools.partial(self.tls.write, data))
        return self._wire.deliver(self._outgoing.read())

    def drain(self) -> None:
        """Read on to the end of the connection, whatever it is: for the sake of what goes over the wire."""
        with contextlib.suppress(OSError, ValueError):
            while self._pump(functools.partial(self.tls.read, _CHUNK)):
                pass

    def readable(self) -> bool:
        """Always: this is the reading end of an ``io`` stream."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read application data; 0 at the end, also where the server leaves without a close_notify."""
        data, self._early = self._early, b""
        if not data:
            with contextlib.suppress(ssl.SSLEOFError):
                data = self._pump(functools.partial(self.tls.read, len(buffer)))
            # Some Pythons take every end for a proper one (OP_IGNORE_UNEXPECTED_EOF): the alert itself tells.
            self.cut_off = not data and ("close_notify", Side.PEER) not in self.tape.alerts
        self.heard |= bool(data)
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
        data = self._wire.receive(at_most=at_most)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush_quietly(self) -> None:
        # A server that has closed its reading end may have said why: reading tells, the failed write does not.
        if self._outgoing.pending:
            self._wire.deliver(self._outgoing.read())

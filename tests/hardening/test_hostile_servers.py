"""A server that means harm: the audit ends in bounded time and memory, with a verdict and its reason."""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from mtlslab.probe.attempt import attempt
from mtlslab.probe.connection import MAX_RECEIVED
from mtlslab.probe.model import Attempt, Observation

from tests.support.cli import Run, command, environment, finished
from tests.support.foreign_servers import crowd_server, make_certificates, server_context, tls_server

ADDRESS_SPACE = 600_000  # KiB; the program itself takes a third of it, most of that its libraries
TIMEOUT = "0.4"  # seconds for each attempt

Hostile = Callable[[Path], AbstractContextManager[int]]


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certs"))


def audit(port: int, certs: Path) -> Run:
    """Audit in little memory; a hang ends the test as an error."""
    arguments = command("audit", f"https://localhost:{port}", "--cacert", certs / "server-ca.crt", "--timeout", TIMEOUT)
    done = finished(
        ["sh", "-c", f'ulimit -v {ADDRESS_SPACE} && exec "$@"', "sh", *arguments],
        cwd=certs,
        env=environment(),
        seconds=60,
    )
    assert "Traceback" not in done.err, done.err
    return done


# --- what such servers do to a connection


def stay_silent(connection: socket.socket) -> None:
    """Accept, and never say a word."""
    while connection.recv(4096):
        pass


def hang_up(_connection: socket.socket) -> None:
    """Accept, and close at once."""


def reset(connection: socket.socket) -> None:
    """Accept, and tear the connection down."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_after_hello(connection: socket.socket) -> None:
    connection.recv(4096)
    reset(connection)


def say(*parts: bytes) -> Callable[[socket.socket], None]:
    """Say this, and close."""

    def answer(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        stay_silent(connection)

    return answer


def repeat(part: bytes, start: bytes = b"") -> Callable[[socket.socket], None]:
    """Say one thing for ever, as fast as it is taken."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        block = part * (1 + 16384 // len(part))
        while True:
            connection.sendall(block)

    return answer


def drip(data: bytes, start: bytes = b"") -> Callable[[socket.socket], None]:
    """Say it a byte at a time, again and again."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        pause = threading.Event()
        for _ in range(1000):
            for byte in data:
                connection.sendall(bytes([byte]))
                pause.wait(0.01)

    return answer


def raw(*parts: bytes) -> Callable[[ssl.SSLSocket], None]:
    """Bytes past the encryption, straight onto the wire."""

    def answer(connection: ssl.SSLSocket) -> None:
        for part in parts:
            os.write(connection.fileno(), part)

    return answer


def cut_flight(context: ssl.SSLContext, keep: float) -> Callable[[socket.socket], None]:
    """A true server's first flight, of which only a part is sent before the end."""

    def answer(connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(connection.recv(65536))
        with contextlib.suppress(ssl.SSLError):
            server.do_handshake()
        flight = outgoing.read()
        connection.sendall(flight[: int(len(flight) * keep)])

    return answer


@contextlib.contextmanager
def huge_chain(certs: Path) -> Iterator[int]:
    """The server's certificate, and some thousand others along with it."""
    chain = certs / "huge.crt"
    chain.write_bytes((certs / "server.crt").read_bytes() + (certs / "client-ca.crt").read_bytes() * 2000)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, certs / "server.key")
    with tls_server(context, say(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        yield port


def before_tls(answer: Callable[[socket.socket], None]) -> Hostile:
    return lambda _certs: crowd_server(answer)


def after_handshake(answer: Callable[[ssl.SSLSocket], None]) -> Hostile:
    return lambda certs: tls_server(server_context(certs, ssl.CERT_OPTIONAL), answer)


def in_flight(keep: float) -> Hostile:
    return lambda certs: crowd_server(cut_flight(server_context(certs), keep))


REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"
WARNING_ALERT = b"\x15\x03\x03\x00\x02\x01\x5a"  # user_canceled

# What it does -> the server, and a pattern of the reason that the report gives.
INCONCLUSIVE: dict[str, tuple[Hostile, str]] = {
    "never answers": (before_tls(stay_silent), "no answer within 0.4 s"),
    "closes at once": (before_tls(hang_up), "closed the connection without an answer"),
    # On a busy machine before the client itself has noticed that it is connected.
    "resets at once": (before_tls(reset), "closed the connection without an answer|reset by peer"),
    "resets after the hello": (before_tls(reset_after_hello), "closed the connection without an answer"),
    "drips a handshake": (before_tls(drip(b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb")), "no answer within 0.4 s"),
    "floods with zeros": (before_tls(repeat(b"\0")), "does not speak TLS"),
    "speaks another protocol": (before_tls(say(b"SSH-2.0-OpenSSH_9\r\n")), "does not speak TLS; it said 'SSH-2.0"),
    "sends terminal controls": (before_tls(say(b"\x1b[2Jboo\r\n")), "does not speak TLS"),
    "sends oversized records": (before_tls(repeat(b"A", b"\x16\x03\x03\xff\xff")), "makes no sense"),
    "sends an endless message": (
        before_tls(repeat(b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff" + b"B" * 16380)),
        "no sense",
    ),
    "floods with warnings": (before_tls(repeat(WARNING_ALERT)), "makes no sense"),
    "cuts the first record": (in_flight(0.02), "closed the connection without an answer"),
    "cuts its flight in the middle": (in_flight(0.5), "closed the connection without an answer"),
    "sends a huge chain": (huge_chain, "excessive message size"),
    "sends garbage after the handshake": (after_handshake(raw(b"garbage" * 9)), "makes no sense"),
    "answers in HTTP/0.9": (after_handshake(say(b"<html>hello</html>\n")), "makes no sense"),
    "cuts its status line": (after_handshake(say(b"HTTP/1.")), "makes no sense"),
    "sends headers without end": (after_handshake(repeat(b"X-A: b\r\n", b"HTTP/1.1 200 OK\r\n")), "100 headers"),
    "sends a header without end": (after_handshake(repeat(b"a", b"HTTP/1.1 200 OK\r\nX: ")), "65536 bytes"),
    "sends a status line without end": (after_handshake(repeat(b"2", b"HTTP/1.1 ")), "makes no sense"),
    "drips its headers": (after_handshake(drip(b"HTTP/1.1 200 OK\r\nX-A: b")), "no answer within 0.4 s"),
    "says 100 Continue for ever": (
        after_handshake(repeat(b"HTTP/1.1 100 Continue\r\n\r\n")),
        f"more than {MAX_RECEIVED >> 10} KiB|no answer within",  # whichever comes first
    ),
    "redirects for ever": (after_handshake(say(REDIRECT)), r"HTTP 302 to /again \(not followed\)"),
    "switches protocols": (after_handshake(say(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")), "HTTP 101"),
    "sends a status of its own": (after_handshake(say(b"HTTP/1.1 999 \xff\x00\x1b[31m\r\n\r\n")), "HTTP 999"),
}


def test_a_server_that_asks_waits_and_never_says_a_whole_word_lets_in_by_its_handshake(certs: Path) -> None:
    """Of HTTP nothing was seen, not even half an answer: a client without a certificate was heard on all the same."""
    with after_handshake(raw(b"\x17\x03\x03\x40\x00half"))(certs) as port:
        done = audit(port, certs)
    assert (done.code, "does NOT enforce mTLS" in done.out) == (1, True), done


@pytest.mark.parametrize("name", INCONCLUSIVE)
def test_a_hostile_server_ends_in_could_not_tell(name: str, certs: Path) -> None:
    server, reason = INCONCLUSIVE[name]
    with server(certs) as port:
        done = audit(port, certs)
    last = done.out.splitlines()[-1]
    assert (done.code, last.startswith("could not tell whether")) == (6, True), done
    assert re.search(reason, last), last
    assert done.out.replace("\n", "").isprintable(), "something of the server's could steer the terminal"


# A stranger who has got a status that says yes has got in, however the server goes on.
SERVED: dict[str, Callable[[socket.socket], None]] = {
    "drips the page": drip(b"hello", b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n"),
    "never ends the page": repeat(b"x", b"HTTP/1.1 200 OK\r\n\r\n"),
    "never ends a chunk": repeat(b"x", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
    "never ends a chunk's size": repeat(b"1", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "names no chunk": say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nboo\r\n"),
    "claims a huge length": say(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"),
    "claims a negative length": say(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    "opens many titles": say(b"HTTP/1.1 200 OK\r\n\r\n" + b"<title>" * 300),
    "fills a title with spaces": say(b"HTTP/1.1 200 OK\r\n\r\n<title>" + b" " * 4000),
}


@pytest.mark.parametrize("name", ["never ends the page", "fills a title with spaces"])
def test_a_page_without_end_is_a_page_that_was_served(name: str, certs: Path) -> None:
    with after_handshake(SERVED[name])(certs) as port:
        done = audit(port, certs)
    assert done.code == 1
    assert "does NOT enforce mTLS" in done.out.splitlines()[-1]


def observe(port: int, certs: Path) -> Observation:
    return attempt(Attempt(port=port, cacert=certs / "server-ca.crt", timeout=float(TIMEOUT)))


@pytest.mark.parametrize("name", SERVED)
def test_a_probe_keeps_the_status_whatever_follows_it(name: str, certs: Path) -> None:
    """Of the page no more is kept than a report needs."""
    with after_handshake(SERVED[name])(certs) as port:
        seen = observe(port, certs)
    assert seen.status == 200
    assert len(seen.body) <= 2048


@pytest.mark.parametrize("seed", range(40))
def test_any_nonsense_becomes_an_observation(seed: int, certs: Path) -> None:
    """A true answer with bytes changed, doubled and left out: never an exception."""
    dice = random.Random(seed)  # noqa: S311 - the same bytes in every run
    answer = bytearray(
        b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\nLocation: /a\r\n\r\n"
        b"1f\r\n<html><title>t</title></html>\r\n\r\n0\r\nX: y\r\n\r\n"
    )
    for _ in range(dice.randint(1, 12)):
        place = dice.randrange(len(answer))
        answer[place : place + dice.choice((0, 1, 1, 5))] = dice.randbytes(dice.choice((0, 1, 2, 200)))
    with after_handshake(say(bytes(answer)))(certs) as port:
        seen = observe(port, certs)
    assert (seen.status is not None) or seen.error

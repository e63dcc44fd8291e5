"""Other users of this machine at the small server of `mtlslab serve`, which listens on loopback."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import mtlslab
from tests.support.leavings import start

SILENT = 120  # clients; the kernel keeps some 130 for a server that does not take them
PATIENCE = 20  # seconds; one after the other, silent clients would hold the server for almost 30
LEAVING = struct.pack("ii", 1, 0)  # SO_LINGER: a reset instead of a good-bye


@pytest.fixture
def server(tmp_path: Path, lab_name: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A `mtlslab serve` that serves, and its port."""
    assert mtlslab("render", "--name", lab_name, "--key-type", "ec-p256", cwd=tmp_path).code == 0
    with start("serve", "good", "--port", "0", "--name", lab_name, cwd=tmp_path) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"localhost:(\d+)/", process.stderr.readline())
            assert found
            yield process, int(found[1])
        finally:
            process.kill()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def test_silent_clients_do_not_keep_the_server_from_ending(server: tuple[subprocess.Popen[str], int]) -> None:
    process, port = server
    with contextlib.ExitStack() as stack:
        first, *_ = [stack.enter_context(connect(port)) for _ in range(SILENT)]
        assert first.recv(1) == b""  # it was waited for, and all others are there
        process.terminate()
        assert process.wait(timeout=PATIENCE) == 130


def test_clients_that_leave_or_talk_nonsense_do_not_end_the_service(server: tuple[subprocess.Popen[str], int]) -> None:
    """Many more of them than it serves at once."""
    _, port = server
    for data in (b"", b"\x00" * 100, b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"a" * 70000):
        for _ in range(20):
            with contextlib.suppress(OSError), connect(port) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LEAVING)
                client.sendall(data)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(port) as plain, context.wrap_socket(plain) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200")

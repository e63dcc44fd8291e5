"""What keeps the program fast, in numbers that are the same on every machine: engine calls, connections.

Times are measured by `make bench`; nothing here looks at a clock.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab.probe import attempt as probe
from mtlslab.probe.connection import connect
from mtlslab.verify import run as verify
from mtlslab.workspace.target import locate

from tests.support.cli import mtlslab
from tests.support.docker_lab import ENGINE_SOCKET, local_image

# --- calls to the engine

FIRST_CALLS = {
    "GET version": 1,
    "GET images/IMAGE/json": 1,
    "POST networks/create": 1,
    "POST containers/create": 2,
    "POST containers/ID/start": 2,
}
# The network is made first and asked about afterwards: the refusal is the answer that it is there.
REPEATED_CALLS = {
    "GET version": 1,
    "GET images/IMAGE/json": 1,
    "POST networks/create": 1,
    "GET networks/NAME": 1,
}
# While a service is not ready yet, up looks now and then whether its container still lives: how often is no constant.
WHILE_WAITING = "GET containers/json"
REQUEST = re.compile(rb"^(GET|POST|PUT|DELETE|HEAD) (\S+) HTTP/1\.1\r$", re.MULTILINE)


@contextlib.contextmanager
def counted_engine(place: Path) -> Iterator[tuple[str, list[str]]]:
    """A socket behind which the real engine answers; yields its address and the calls that came, in order."""
    calls: list[str] = []
    address = place / "engine.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(address))
        server.listen()
        threading.Thread(target=_serve, args=(server, calls), daemon=True).start()
        yield f"unix://{address}", calls
        server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket, calls: list[str]) -> None:
    with contextlib.suppress(OSError):
        while True:
            client = server.accept()[0]
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(ENGINE_SOCKET)
            threading.Thread(target=_copy, args=(client, engine, calls), daemon=True).start()
            threading.Thread(target=_copy, args=(engine, client, None), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket, calls: list[str] | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 20):
            if calls is not None:  # a request's head comes in one piece
                calls.extend(_kind(method, path) for method, path in REQUEST.findall(data))
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _kind(method: bytes, path: bytes) -> str:
    """A call without version, names and query: "POST containers/ID/start"."""
    words = re.sub(r"^/v[0-9.]+/", "", path.decode().partition("?")[0]).strip("/")
    for pattern, name in (
        (r"[0-9a-f]{64}", "ID"),
        (r"(?<=^images/).+(?=/json$)", "IMAGE"),
        (r"(?<=^networks/)(?!create).+", "NAME"),
    ):
        words = re.sub(pattern, name, words)
    return f"{method.decode()} {words}"


@pytest.mark.engine
def test_the_engine_is_asked_for_no_more_than_is_needed(engine: Any, tmp_path: Path, lab_name: str) -> None:
    """Every call of the first `up`, and of a repeated one, is known."""
    options = ("--name", lab_name, "--runtime", "docker", "--image", local_image(), "--key-type", "ec-p256")
    with counted_engine(tmp_path) as (address, calls):
        try:
            first = mtlslab("up", *options, "--tls-port", "0", "--mtls-port", "0", cwd=tmp_path, DOCKER_HOST=address)
            assert first.code == 0, first.err
            made, seen = len(calls), Counter(calls)
            again = mtlslab("up", *options, cwd=tmp_path, DOCKER_HOST=address)
            assert again.code == 0, again.err
            repeated = Counter(calls[made:])
        finally:
            mtlslab("down", "--name", lab_name, cwd=tmp_path, DOCKER_HOST=address)
    assert {call: count for call, count in seen.items() if call != WHILE_WAITING} == FIRST_CALLS
    assert {call: count for call, count in repeated.items() if call != WHILE_WAITING} == REPEATED_CALLS


# --- connections of `verify`


@pytest.fixture
def running(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    """The directory of a lab that runs without Docker."""
    options = ("--name", lab_name, "--key-type", "ec-p256", "--tls-port", "0", "--mtls-port", "0")
    up = mtlslab("up", "--runtime", "embedded", *options, cwd=tmp_path)
    assert up.code == 0, up.err
    yield tmp_path / lab_name
    mtlslab("down", "--name", lab_name, cwd=tmp_path)


def test_a_check_that_needs_one_attempt_makes_one_connection(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None to see whether the server is there, none to try again; what does not load makes none."""
    made: Counter[int] = Counter()

    def counting(address: str, port: int, *rest: Any) -> socket.socket:
        made[port] += 1
        return connect(address, port, *rest)

    monkeypatch.setattr(probe, "connect", counting)
    target = locate(None, running, here=Path.cwd())
    plain = [check.id for check in verify.listed(target) if check.procedure == "probe"]
    report = verify.verify(target, plain)
    done = [finding for finding in report.findings if finding.id in set(plain)]
    connected = [finding for finding in done if finding.observed.get("phase") != "load"]
    assert len(plain) > 80
    assert len(connected) <= len(done)
    assert made.total() == len(connected)

"""A hundred servers for one ``audit --targets``, five of them dead or slow: ``python -m benchmarks.many_targets``.

The bad ones stand last, where they delay most. Compares the whole with the audit of the slowest one alone. All servers
are of this process, on loopback.
"""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mtlslab.pki import issue_pki
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.ports import free_port

TARGETS, DEAD, SILENT, SLOW = 100, 2, 2, 1
TIMEOUT = 2  # seconds for each attempt
SLOWNESS = 1.0  # seconds before the slow one begins
_PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n"


def main() -> int:
    """Measure and print; exit status 1 if the whole takes more than one and a half times the slowest."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        place = Path(name)
        context = _context(place)
        ports = [stack.enter_context(_server(_page(context))) for _ in range(TARGETS - DEAD - SILENT - SLOW)]
        bad = [free_port("127.0.0.1") for _ in range(DEAD)]
        bad += [stack.enter_context(_server(_silent)) for _ in range(SILENT)]
        bad += [stack.enter_context(_server(_slow(context))) for _ in range(SLOW)]
        slowest = max(_seconds(place, f"https://127.0.0.1:{port}/") for port in bad)
        targets = place / "targets"
        targets.write_text("".join(f"https://127.0.0.1:{port}/\n" for port in [*ports, *bad]))
        whole = _seconds(place, "--targets", str(targets))
    sys.stdout.write(
        f"{TARGETS} targets: {whole:.1f} s; the slowest alone: {slowest:.1f} s; ratio {whole / slowest:.2f}\n"
    )
    return 0 if whole <= 1.5 * slowest else 1


def _context(place: Path) -> ssl.SSLContext:
    made = issue_pki(LabSpec(name="many", key_type="ec-p256"), now=datetime.datetime.now(datetime.UTC))
    for name in ("server_ca", "client_ca", "server", "client"):
        credential = getattr(made, name)
        file = place / f"{name}.pem"
        file.touch(0o600)
        file.write_bytes(credential.certificate_pem() + credential.key_pem())
    (place / "ca.crt").write_bytes(made.server_ca.certificate_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "server.pem")
    context.load_verify_locations(place / "client_ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _page(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    def answer(plain: socket.socket) -> None:
        with context.wrap_socket(plain, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(_PAGE)

    return answer


def _slow(context: ssl.SSLContext) -> Callable[[socket.socket], None]:
    def answer(plain: socket.socket) -> None:
        threading.Event().wait(SLOWNESS)
        _page(context)(plain)

    return answer


def _silent(plain: socket.socket) -> None:
    while plain.recv(65536):
        pass


@contextlib.contextmanager
def _server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that gives each connection a thread of its own, until the end of the block."""

    def alone(plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain:
            plain.settimeout(30)
            answer(plain)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=alone, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])


def _seconds(place: Path, *target: str) -> float:
    options = ["--cacert", "ca.crt", "--cert", "client.pem", "--timeout", str(TIMEOUT)]
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mtlslab", "audit", *target, *options], cwd=place, capture_output=True, check=False
    )
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())

"""Servers that are not ours, for the audit: real programs, and hostile ones. All of them on loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import http.server
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest
from mtlslab.pki import issue_pki
from mtlslab.plan.spec import LabSpec

from tests.support.verify_lab import tcp_server, wait_until, write

PAGE = b"hello from afar\n"


def make_certificates(directory: Path) -> Path:
    """``server-ca``, ``client-ca``, ``server`` and ``client``, each ``.crt`` and ``.key``, of real CAs."""
    pki = issue_pki(LabSpec(name="afar", key_type="ec-p256"), now=datetime.datetime.now(datetime.UTC))
    for name in ("server_ca", "client_ca", "server", "client"):
        credential = getattr(pki, name)
        write(directory / name.replace("_", "-"), credential.certificate_pem(), credential.key_pem())
    return directory


def server_context(certs: Path, verify: ssl.VerifyMode = ssl.CERT_REQUIRED) -> ssl.SSLContext:
    """A Python server's context with the server's certificate and the client CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs / "server.crt", certs / "server.key")
    context.load_verify_locations(certs / "client-ca.crt")
    context.verify_mode = verify
    return context


@dataclasses.dataclass
class Answer:
    """What a Python web server answers: status, body, further headers."""

    status: int = 200
    body: bytes = PAGE
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


def same_for_all(_certificate: dict[str, Any] | None) -> Answer:
    return Answer()


@contextlib.contextmanager
def python_server(context: ssl.SSLContext, decide: Callable[[Any], Answer] = same_for_all) -> Iterator[int]:
    """The web server of Python's standard library; ``decide`` gets the client's certificate, if it is known."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = decide(self.request.getpeercert())
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            with contextlib.suppress(OSError), context.wrap_socket(request, server_side=True) as tls:
                super().finish_request(tls, client_address)

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def openssl_server(certs: Path, *options: str) -> Iterator[int]:
    """``openssl s_server`` as a web server."""
    require_program("openssl")
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-www", "-cert", "server.crt", "-key", "server.key"]
    with _running([*command, "-CAfile", "client-ca.crt", *options], cwd=certs) as process:
        assert process.stdout
        yield _announced_port(process.stdout)


def _announced_port(output: IO[bytes]) -> int:
    for line in output:
        if match := re.match(rb"ACCEPT .*:([0-9]+)", line):
            return int(match[1])
    raise AssertionError("openssl s_server does not listen")


@contextlib.contextmanager
def gnutls_server(certs: Path, *options: str) -> Iterator[int]:
    """``gnutls-serv`` as a web server."""
    require_program("gnutls-serv")
    port = free_port()
    command = ["gnutls-serv", "--http", "--port", str(port), "--x509certfile", "server.crt"]
    command += ["--x509keyfile", "server.key", "--x509cafile", "client-ca.crt", *options]
    with _running(command, cwd=certs):
        wait_until(lambda: listens(port))
        yield port


_NODE = """
const fs = require('fs');
const options = {key: fs.readFileSync('server.key'), cert: fs.readFileSync('server.crt'),
  ca: fs.readFileSync('client-ca.crt'), requestCert: true, rejectUnauthorized: process.argv[1] === 'reject'};
const server = require('https').createServer(options, (request, response) => {
  response.writeHead(request.socket.authorized || process.argv[1] === 'serve' ? 200 : 403);
  response.end('hello from afar\\n');
});
server.listen(0, '127.0.0.1', () => console.log('ACCEPT 127.0.0.1:' + server.address().port));
"""


@contextlib.contextmanager
def node_server(certs: Path, mode: str) -> Iterator[int]:
    """Node's https: ``reject`` (rejectUnauthorized), ``forbid`` (the application answers 403) or ``serve`` all."""
    require_program("node")
    with _running(["node", "-e", _NODE, mode], cwd=certs) as process:
        assert process.stdout
        yield _announced_port(process.stdout)


_NGINX = """
pid nginx.pid; error_log stderr;
events {{}}
http {{
  access_log off; client_body_temp_path t1; proxy_temp_path t2;
  fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  {outside}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certs}/server.crt; ssl_certificate_key {certs}/server.key;
    ssl_client_certificate {certs}/client-ca.crt;
    {directives}
  }}
}}
"""


@contextlib.contextmanager
def nginx_server(nginx: Path, certs: Path, directory: Path, directives: str, outside: str = "") -> Iterator[int]:
    """A real nginx with these directives inside of ``server``, and others outside of it."""
    port = free_port()
    conf = _NGINX.format(port=port, certs=certs, directives=directives, outside=outside)
    directory.mkdir()
    (directory / "nginx.conf").write_text(conf)
    user = " user root root;" if os.getuid() == 0 else ""
    command = [str(nginx), "-p", f"{directory}/", "-c", f"{directory}/nginx.conf", "-g", f"daemon off;{user}"]
    with _running(command, cwd=directory):
        wait_until(lambda: listens(port))
        yield port


def require_program(name: str) -> None:
    """Skip, by name, where a program is missing; fail where it is required."""
    if shutil.which(name) is None:
        if os.environ.get("MTLSLAB_REQUIRE_CLIENTS") == "1":
            pytest.fail(f"{name} is required here")
        pytest.skip(f"no {name}")


@contextlib.contextmanager
def _running(command: Sequence[str], *, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


def free_port() -> int:
    """A TCP port that nobody holds at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def tls_server(context: ssl.SSLContext, answer: Callable[[ssl.SSLSocket], None]) -> Iterator[int]:
    """A server that finishes the handshake, reads a request and leaves the rest to ``answer``."""

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65536)
            answer(tls)

    with crowd_server(serve) as port:
        yield port


@contextlib.contextmanager
def crowd_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that gives every connection a thread of its own."""
    threads: list[threading.Thread] = []

    def hand_over(connection: socket.socket) -> None:
        own = connection.dup()
        own.settimeout(10)
        thread = threading.Thread(target=_serve_alone, args=(own, answer), daemon=True)
        threads.append(thread)
        thread.start()

    with tcp_server(hand_over) as port:
        yield port
    for thread in threads:
        thread.join(15)


def _serve_alone(connection: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    with contextlib.suppress(OSError), connection:
        answer(connection)

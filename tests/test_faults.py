"""Every credential of the zoo meets a real nginx, and nginx does what the zoo says it does."""

from __future__ import annotations

import dataclasses
import datetime
import re
import select
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from lab import faults, pki
from lab.crl import issue_crl
from lab.faults import FAULTS, Fault, FaultFiles, Outcome, Severity
from lab.spec import KEY_TYPES, LabSpec

pytestmark = pytest.mark.nginx

VERSIONS = ("TLSv1.2", "TLSv1.3")
SPEC = LabSpec(key_type="ec-p256")
CONF = """
daemon off; user root root; worker_processes 1; pid nginx.pid; error_log error.log info;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    access_log off;
    ssl_certificate server.crt; ssl_certificate_key server.key; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_client_certificate client-ca.crt; ssl_verify_client on; ssl_verify_depth 1;
    add_header X-Verify $ssl_client_verify always; add_header X-Serial $ssl_client_serial always;
    add_header X-Fingerprint $ssl_client_fingerprint always;
    server {{ listen 127.0.0.1:{plain} ssl; return 200 "hello"; }}
    server {{ listen 127.0.0.1:{crl} ssl; ssl_crl client-ca.crl; return 200 "hello"; }}
}}
"""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a client saw: how it ended, the server's reason, the alert or the local error, the response headers."""

    outcome: Outcome
    reason: str = ""
    error: str = ""
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Zoo:
    """A running nginx, and the files of every fault."""

    directory: Path
    plain_port: int
    crl_port: int
    files: dict[str, FaultFiles]

    def ask(self, name: str, tls_version: str, *, crl: bool = False) -> Answer:
        return attempt(
            self.directory, self.files[name], self.crl_port if crl else self.plain_port, tls_version, FAULTS[name].weak
        )


def attempt(directory: Path, files: FaultFiles, port: int, tls_version: str, weak: bool) -> Answer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(directory / "server-ca.crt")
    context.minimum_version = context.maximum_version = ssl.TLSVersion[tls_version.replace(".", "_")]
    if weak:
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    if files.certificate and files.key:
        (directory / "leaf.pem").write_bytes(files.certificate + files.key)
        try:
            context.load_cert_chain(directory / "leaf.pem")
        except ssl.SSLError as error:
            return Answer(Outcome.LOCAL, error=str(error.reason))
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            return _request(context, raw)
    except (ssl.SSLError, ConnectionError) as error:
        return Answer(Outcome.ALERT, error=str(getattr(error, "reason", error)))


def _request(context: ssl.SSLContext, raw: socket.socket) -> Answer:
    with context.wrap_socket(raw, server_hostname="localhost") as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: tls.recv(65536), b"")).decode()
    found = re.search(r"X-Verify: (.*)\r", text)
    if text.startswith("HTTP/1.1 200"):
        outcome = Outcome.SERVED
    elif "No required SSL certificate was sent" in text:
        outcome = Outcome.NO_CERTIFICATE
    else:
        assert "The SSL certificate error" in text, text
        outcome = Outcome.CERTIFICATE_ERROR
    return Answer(outcome, found[1] if found else "", text=text)


@pytest.fixture(scope="session")
def zoo(nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """The whole zoo under one client CA, and an nginx with that CA on two ports: without and with a CRL."""
    yield from run_zoo(nginx_binary, tmp_path_factory.mktemp("zoo"))


def run_zoo(nginx: Path, directory: Path) -> Iterator[Zoo]:
    now = datetime.datetime.now(datetime.UTC)
    made = pki.issue_pki(SPEC, now=now)
    files = {name: faults.build(name, client_ca=made.client_ca, server=made.server, now=now) for name in FAULTS}
    revoked = {one.revoke: now for one in files.values() if one.revoke is not None}
    contents = {
        "server-ca.crt": made.server_ca.certificate_pem(),
        "client-ca.crt": made.client_ca.certificate_pem(),
        "client-ca.crl": issue_crl(made.client_ca, revoked, now=now, number=1),
        "server.crt": made.server.certificate_pem(),
        "server.key": made.server.key_pem(),
    }
    good = FaultFiles(made.client.certificate_pem(), made.client.key_pem())
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        ports = first.getsockname()[1], second.getsockname()[1]
    contents["nginx.conf"] = CONF.format(plain=ports[0], crl=ports[1]).encode()
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    with subprocess.Popen([nginx, "-p", f"{directory}/", "-c", "nginx.conf"], stderr=subprocess.PIPE) as process:
        try:
            wait_until_listening(ports, process)
            running = Zoo(directory, *ports, files)
            # Positive controls: without them a server that is broken "refuses" everything.
            for port in ports:
                for version in VERSIONS:
                    assert attempt(directory, good, port, version, weak=False).outcome is Outcome.SERVED
            yield running
        finally:
            process.terminate()


def wait_until_listening(ports: tuple[int, ...], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    for port in ports:
        while True:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline, "nginx does not listen"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                select.select([], [], [], 0.02)


@pytest.mark.parametrize("crl", [False, True], ids=["no-crl", "crl"])
@pytest.mark.parametrize("tls_version", VERSIONS)
@pytest.mark.parametrize("name", FAULTS)
def test_nginx_does_what_the_zoo_predicts(zoo: Zoo, name: str, tls_version: str, crl: bool) -> None:
    """Outcome and reason of each credential, on both TLS versions, without and with a CRL."""
    fault = FAULTS[name]
    answer = zoo.ask(name, tls_version, crl=crl)
    assert answer.outcome in fault.expected(tls_version, crl=crl), answer
    if answer.outcome not in (Outcome.ALERT, Outcome.LOCAL):
        assert re.search(fault.expected_reason(crl=crl), answer.reason), answer
    if answer.outcome is Outcome.ALERT and "alert" in answer.error.lower():
        assert fault.alert.replace("_", " ") in answer.error.lower().replace("_", " "), answer

"""Nobody but nginx writes a line of the access log: strangers try it with all that they can send, on real servers."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import socket
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from mtlslab import pki
from mtlslab.plan.services import MTLS_SERVICE, SERVICES, TLS_SERVICE
from mtlslab.verify.server_log import access_entry, parse_log

from tests.support.cli import command, environment, mtlslab

NONCE = "0123456789abcdef0123456789abcdef"
FORGED = json.dumps({"time": "2030-01-01T00:00:00+00:00", "probe": NONCE, "status": "200"}, separators=(",", ":"))
LINE = FORGED.encode()
QUOTED = quote_from_bytes(LINE, safe="").encode()
END = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
ERROR_LINE = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] ")
SECONDS = 3

# What a client can write into a connection, with a line break of some kind before a line of its own.
REQUESTS = {
    "path": b"GET /%0a" + QUOTED + b"%0a" + END,
    "path, CR": b"GET /%0d" + QUOTED + b"%0d%0a" + END,
    "path below the page": b"GET /hello-world.txt/%0A" + QUOTED + b"%0A" + END,
    "path, long": b"GET /" + b"x" * 3000 + b"%0a" + QUOTED + b"%0a" + b"y" * 1500 + END,
    "path, dots": b"GET /a/..%2f%0a" + QUOTED + END,
    "path, directory": b"GET /%0a" + QUOTED + b"/" + END,
    "path, Unicode breaks": b"GET /%e2%80%a8" + QUOTED + b"%c2%85" + QUOTED + END,
    "absolute form": b"GET https://localhost/%0a" + QUOTED + END,
    "query": b"GET /hello-world.txt?probe=" + NONCE.encode() + b"%0a" + QUOTED + END,
    "raw query": b"GET /hello-world.txt?probe=%22%0a" + LINE + END,
    "method": b"\n" + LINE + b"\r\n\r\n",
    "method, CR": b"\r" + LINE + b"\r\n\r\n",
    "request line": b"GET /\x0b\n" + LINE + END,
    "version": b"GET / HTTP/7\n" + LINE + b"\r\n\r\n",
    "HTTP/0.9": b"GET /%0a" + QUOTED + b"\r\n",
    "Host": b"GET / HTTP/1.1\r\nHost: a\r" + LINE + b"\r\n\r\n",
    "Host, with a break": b"GET / HTTP/1.1\r\nHost: a\r\n" + LINE + b"\r\nConnection: close\r\n\r\n",
    "Referer": b"GET /%0a"
    + QUOTED
    + b" HTTP/1.1\r\nHost: a\r\nReferer: x\r\n"
    + LINE
    + b"\r\nConnection: close\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n " + LINE + b"\r\n\r\n",
    "Transfer-Encoding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + LINE + b"\r\n\r\n",
    "PUT": b"PUT /%0a" + QUOTED + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n",
    "body": b"POST /hello-world.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\nConnection: close\r\n\r\n\n"
    + LINE * 9,
    "pipelined": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + LINE + b"\n",
    "invalid UTF-8": b"GET /hello-world.txt?probe=\xff\xfe\xe2\x80\xa8\xc2\x85" + LINE + END,
}
SERVER_NAMES = {"line break": f'a\n{{"probe":"{NONCE}"}}', "carriage return": f'a\r{{"probe":"{NONCE}"}}'}
RUNTIMES = ["embedded", pytest.param("docker", marks=pytest.mark.engine)]


class Lab:
    """A running lab and its ports."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        spec = json.loads((directory / "lab.json").read_text())["spec"]
        self.ports = {TLS_SERVICE: spec["tls_port"], MTLS_SERVICE: spec["mtls_port"]}
        self.token: str = spec["log_token"]

    def logs(self, service: str, *options: str) -> list[str]:
        run = mtlslab("logs", *options, service, "--dir", self.directory, cwd=self.directory.parent)
        assert run.code == 0, run.err
        return run.out.removesuffix("\n").split("\n")

    def send(self, service: str, data: bytes, *, name: str = "localhost", certificate: Path | None = None) -> bytes:
        """What a client that trusts anybody gets for these bytes; nothing if the server hangs up."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate:
            context.load_cert_chain(certificate)
        answer = b""
        with contextlib.suppress(OSError, ssl.SSLError):
            plain = socket.create_connection(("127.0.0.1", self.ports[service]), timeout=SECONDS)
            with plain, context.wrap_socket(plain, server_hostname=name) as connection:
                connection.sendall(data)
                while more := connection.recv(65536):
                    answer += more
        return answer


@pytest.fixture(scope="module", params=RUNTIMES)
def lab(request: Any, tmp_path_factory: pytest.TempPathFactory, nginx_binary: Path) -> Iterator[Lab]:
    if request.param == "docker":
        request.getfixturevalue("engine")
    name = f"t-{uuid.uuid4().hex[:10]}"
    place = tmp_path_factory.mktemp("attack-logs")
    up = ("up", "--runtime", request.param, "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
    nginx = ("--nginx", nginx_binary) if request.param == "embedded" else ("--pull", "never")
    run = mtlslab(*up, *nginx, "--name", name, cwd=place)
    try:
        assert run.code == 0, run.err
        yield Lab(place / name)
    finally:
        mtlslab("down", "--name", name, "--dir", place / name, cwd=place)


def require_only_nginx(lab: Lab, service: str) -> None:
    """Each line begins as nginx begins its lines, and no line with the nonce is taken for one of the access log."""
    lines = lab.logs(service)
    strange = [line for line in lines if not ERROR_LINE.match(line) and access_entry(line, lab.token) is None]
    assert [line for line in strange if not line.startswith("/docker-entrypoint")] == []
    assert parse_log(lines, lab.token, {NONCE}) == {}


@pytest.mark.nginx
@pytest.mark.parametrize("service", SERVICES)
def test_no_request_leaves_a_line_of_its_own(lab: Lab, service: str) -> None:
    """The client has no certificate. Each of its requests is in the log, as nginx tells of it."""
    for data in REQUESTS.values():
        lab.send(service, data)
    require_only_nginx(lab, service)
    asked = [entry["request"] for line in lab.logs(service) if (entry := access_entry(line, lab.token))]
    assert sum(QUOTED.decode() in request or FORGED in request for request in asked) >= 15


@pytest.mark.nginx
@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("kind", SERVER_NAMES)
def test_a_server_name_leaves_no_line_of_its_own(lab: Lab, service: str, kind: str) -> None:
    before = sum(access_entry(line, lab.token) is not None for line in lab.logs(service))
    lab.send(service, b"GET /hello-world.txt" + END, name=SERVER_NAMES[kind])
    entries = [entry for line in lab.logs(service) if (entry := access_entry(line, lab.token))]
    assert len(entries) == before + 1
    assert entries[-1]["sni"] == SERVER_NAMES[kind]
    require_only_nginx(lab, service)


@pytest.mark.nginx
@pytest.mark.parametrize("service", SERVICES)
def test_bytes_that_are_no_tls_leave_no_line_of_their_own(lab: Lab, service: str) -> None:
    for data in (b"\n" + LINE + b"\n", LINE + b"\n", REQUESTS["path"], b"\x16\x03\x01\n" + LINE + b"\n"):
        with socket.create_connection(("127.0.0.1", lab.ports[service]), timeout=SECONDS) as plain:
            plain.sendall(data)
            plain.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                while plain.recv(65536):
                    pass
    require_only_nginx(lab, service)


@pytest.mark.nginx
def test_a_name_in_a_certificate_leaves_no_line_of_its_own(lab: Lab, tmp_path: Path) -> None:
    """Not even in that of a client who is let in, and whose subject nginx writes into its log and into a header."""
    certs = lab.directory / "certs"
    ca = pki.load_credential((certs / "client-ca.crt").read_bytes(), (certs / "client-ca.key").read_bytes())
    file = tmp_path / "client.pem"
    file.write_bytes(client_called(f"alice\n{FORGED}"[:64], f"a\n{FORGED}\n", ca))
    answer = lab.send(MTLS_SERVICE, b"GET /hello-world.txt" + END, certificate=file)
    assert b"mutual TLS" in answer
    assert b"\n{" not in answer
    require_only_nginx(lab, MTLS_SERVICE)


def client_called(common_name: str, organization: str, ca: pki.Credential) -> bytes:
    key = pki.new_key("ec-p256")
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.STREET_ADDRESS, organization),
        ]
    )
    first, last = pki.validity(datetime.datetime.now(datetime.UTC), 1)
    extensions = pki.client_extensions(["alice"])
    made = pki.issue(subject, key, extensions, issuer=ca, not_before=first, not_after=last)
    return made.certificate.public_bytes(serialization.Encoding.PEM) + made.key_pem()


@pytest.mark.nginx
def test_the_access_log_stays_json_whatever_bytes_come(lab: Lab) -> None:
    """`mtlslab logs` into a pipe, in a terminal of UTF-8 and of ASCII: each line of the access log is one of JSON."""
    path = b"/hello-world.txt?\xff\xc3\xa4\xe2\x80\xae\xf0\x9f\x98\x80\xed\xa0\x80\xc2\x9b"
    lab.send(TLS_SERVICE, b"GET " + path + END)
    for encoding in ("utf-8", "ascii"):
        run = mtlslab("logs", TLS_SERVICE, "--dir", lab.directory, cwd=lab.directory, PYTHONIOENCODING=encoding)
        entries = [json.loads(line) for line in run.out.split("\n") if line.startswith("{")]
        assert any("\u00e4\u202e\U0001f600" in entry["request"] for entry in entries)
        assert "\u202e" not in run.out
        assert run.out.isascii() or encoding == "utf-8"


@pytest.mark.nginx
def test_a_forged_line_is_not_taken_even_where_an_edit_lets_it_in(lab: Lab) -> None:
    """Somebody serves a directory, as nginx's own example does: the stranger's line comes in, and is not believed."""
    conf = lab.directory / TLS_SERVICE / "nginx.conf"
    good = conf.read_text()
    conf.write_text(re.sub(r"location / \{[^}]*\}", "location / { root nginx-tls; }", good))
    assert conf.read_text() != good
    try:
        assert mtlslab("reload", "--dir", lab.directory, cwd=lab.directory).code == 0
        lab.send(TLS_SERVICE, REQUESTS["path"])
        lines = lab.logs(TLS_SERVICE)
        assert FORGED in lines
        assert parse_log(lines, lab.token, {NONCE}) == {}
    finally:
        conf.write_text(good)
        mtlslab("reload", "--dir", lab.directory, cwd=lab.directory)


def test_the_token_of_a_lab_stays_and_that_of_another_differs(tmp_path: Path, lab_name: str) -> None:
    """The lines of earlier runs are known after the next `up`; who knows the token of one lab knows no other."""
    tokens = []
    for name in (lab_name, lab_name, f"{lab_name}-b"):
        run = mtlslab("render", "--name", name, "--key-type", "ec-p256", cwd=tmp_path)
        assert run.code == 0, run.err
        tokens.append(json.loads((tmp_path / name / "lab.json").read_text())["spec"]["log_token"])
    assert tokens[0] == tokens[1] != tokens[2]
    assert all(re.fullmatch("[0-9a-f]{32}", token) for token in tokens)


def test_a_token_that_is_none_is_refused(tmp_path: Path, lab_name: str) -> None:
    """It stands in nginx.conf, so a damaged lab.json must not bring directives there."""
    assert mtlslab("render", "--name", lab_name, "--key-type", "ec-p256", cwd=tmp_path).code == 0
    file = tmp_path / lab_name / "lab.json"
    document = json.loads(file.read_text())
    document["spec"]["log_token"] = "'; } daemon off; #"  # noqa: S105  it is none
    file.write_text(json.dumps(document))
    run = mtlslab("render", "--name", lab_name, cwd=tmp_path)
    assert run.code == 2
    assert "log token" in run.err


@pytest.mark.nginx
def test_no_answer_tells_the_token(lab: Lab) -> None:
    answers = [lab.send(service, data) for service in SERVICES for data in REQUESTS.values()]
    assert any(answers)
    assert not any(lab.token.encode() in answer for answer in answers)


@pytest.mark.nginx
def test_a_reader_that_goes_away_ends_logs(lab: Lab) -> None:
    """Lines are printed as they come: `logs -f` gives the first one while the log goes on."""
    words = command("logs", "-f", TLS_SERVICE, "--dir", lab.directory)
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, cwd=lab.directory) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.terminate()
        process.stdout.read()

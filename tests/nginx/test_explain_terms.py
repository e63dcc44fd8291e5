"""What the pages of `explain` say of curl, OpenSSL and nginx is so: their commands run, and what they cannot show."""

from __future__ import annotations

import re
import shlex
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mtlslab.classroom.terms import Term, terms
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.issue import issue_faults

from tests.support.in_process import invoke
from tests.support.newcomer import NewcomersLab, newcomers_lab
from tests.support.verify_lab import alerting_server, tcp_server

SHOWN = {name: term for name, term in terms().items() if term.command}


@pytest.fixture(scope="module")
def lab(nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewcomersLab]:
    with newcomers_lab(tmp_path_factory.mktemp("terms")) as lab:
        issue_faults(Workspace(lab.directory), sorted({term.fault for term in SHOWN.values()} - {""}))
        yield lab


def test_every_command_of_a_page_ends_as_the_page_says(lab: NewcomersLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab.directory)
    assert {name: problem for name, term in SHOWN.items() if (problem := _wrong(lab, term))} == {}


def _wrong(lab: NewcomersLab, term: Term) -> str:
    """What is not as the page says; empty if all is."""
    words = shlex.split(term.command)
    run = invoke(*words[1:]) if words[0] == "mtlslab" else lab.type(term.command)
    shown = re.search(term.shows, run.out + run.err)
    return "" if run.code == term.ends and shown else f"{run.code} {run.out[-300:]} {run.err[-300:]}"


# --- what no command in a lab can show


def curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def silent(connection: socket.socket) -> None:
    """Read for as long as the client is there, and say nothing."""
    while connection.recv(4096):
        pass


def closing(connection: socket.socket) -> None:
    connection.recv(4096)


def short(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")


def resetting(connection: socket.socket) -> None:
    """Close with bytes unread and no lingering: that is a reset."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def babbling(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"this is no TLS\r\n")


@pytest.mark.parametrize(
    ("page", "server", "url", "options"),
    [
        ("curl-28", silent, "http://localhost:{}/", ("--max-time", "0.2")),
        ("curl-52", closing, "http://localhost:{}/", ()),
        ("curl-18", short, "http://localhost:{}/", ()),
        ("curl-56", resetting, "http://localhost:{}/", ()),
        ("curl-35", babbling, "https://localhost:{}/", ()),
    ],
)
def test_curl_ends_as_told_where_a_server_behaves_like_that(
    page: str, server: Callable[[socket.socket], None], url: str, options: tuple[str, ...]
) -> None:
    with tcp_server(server) as port:
        done = curl(url.format(port), *options)
    assert f"curl-{done.returncode}" == page, done.stderr


@pytest.mark.parametrize(("version", "codes"), [("1.2", {35}), ("1.3", {55, 56})])
def test_a_server_that_wants_a_certificate_and_sends_an_alert_ends_curl_by_tls_version(
    lab: NewcomersLab, version: str, codes: set[int]
) -> None:
    """As the pages of 35, 55, 56 and certificate_required say."""
    with alerting_server(lab.directory, ssl.CERT_REQUIRED) as port:
        done = curl(
            f"https://localhost:{port}/", "--cacert", f"{lab.directory}/certs/server-ca.crt",
            f"--tlsv{version}", "--tls-max", version,
        )  # fmt: skip
    assert done.returncode in codes, done.stderr


def test_a_wrong_name_ends_curl_with_60_and_not_with_51(lab: NewcomersLab) -> None:
    resolved = ("--resolve", f"other.example:{lab.mtls_port}:127.0.0.1")
    url = f"https://other.example:{lab.mtls_port}/"
    done = curl(url, "--cacert", f"{lab.directory}/certs/server-ca.crt", *resolved)
    assert done.returncode == 60
    assert "no alternative certificate subject name matches" in done.stderr


SILENT_PORT = "SILENT"
LOCATIONS = """
        location = /403 { deny all; }
        location = /444 { return 444; }
        location = /500 { rewrite ^ /500; }
        location = /502 { proxy_pass http://127.0.0.1:1; }
        location = /503 { limit_req zone=one; }
        location = /504 { proxy_pass http://127.0.0.1:SILENT; proxy_read_timeout 100ms; }
        location = /499 { proxy_pass http://127.0.0.1:SILENT; }
        location / {"""
SECOND_NAME = """
    limit_req_zone $server_port zone=one:32k rate=1r/m;
    server {
        include listen.conf;
        server_name open.example;
        ssl_certificate ../certs/server.crt;
        ssl_certificate_key ../certs/server.key;
        return 200 open;
    }
}"""


@pytest.fixture
def odd_lab(lab: NewcomersLab) -> Iterator[NewcomersLab]:
    """The lab, whose mTLS server has a reason for each status."""
    conf = lab.directory / "nginx-mtls/nginx.conf"
    good = conf.read_text()
    with tcp_server(silent) as port:
        told = good.replace("\n        location / {", LOCATIONS.replace(SILENT_PORT, str(port)))
        assert told != good
        conf.write_text(told.rstrip().removesuffix("}") + SECOND_NAME)
        assert lab.type("mtlslab reload").code == 0
        yield lab
        conf.write_text(good)
        assert lab.type("mtlslab reload").code == 0


def test_nginx_answers_with_these_statuses_for_these_reasons(odd_lab: NewcomersLab) -> None:
    """Each page that no command of a fresh lab shows, on a configuration that has the reason in it."""
    certs = odd_lab.directory / "certs"

    def ask(*arguments: str) -> tuple[int, str]:
        done = curl("--cacert", f"{certs}/server-ca.crt", "--include", *arguments)
        status = re.search(r"^HTTP/\S+ (\d+)", done.stdout)
        return done.returncode, status[1] if status else ""

    port = odd_lab.mtls_port
    base = f"https://localhost:{port}"
    own = ("--cert", f"{certs}/client.crt", "--key", f"{certs}/client.key")
    other_name = ("--resolve", f"open.example:{port}:127.0.0.1", "--insecure", "--header", "Host: mtls-hello-world")
    ask(f"{base}/503", *own)  # the one that the limit allows
    answers = {path: ask(f"{base}/{path}", *own) for path in ("403", "500", "502", "503", "504")}
    answers["413"] = ask(f"{base}/hello-world.txt", *own, "--header", "Content-Length: 2000000", "-d", "x")
    answers["414"] = ask(f"{base}/{'x' * 9000}", *own)
    answers["421"] = ask(f"https://open.example:{port}/", *other_name)
    assert answers == {status: (0, status) for status in answers}
    assert all(f"nginx-{status}" in terms() for status in answers)
    assert ask(f"{base}/hello-world.txt", *own, "--header", f"X: {'x' * 9000}") == (0, "400")
    assert ask(f"{base}/444", *own)[0] == 52
    assert ask(f"{base}/499", *own, "--max-time", "0.2")[0] == 28
    assert '"status":"499"' in odd_lab.type("mtlslab logs nginx-mtls").out

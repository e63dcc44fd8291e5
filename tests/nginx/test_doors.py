"""Unauthorised clients knock at every door of a real nginx: where they get in, a finding names the door."""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mtlslab.errors import ExitCode
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.runtime.ports import free_port
from mtlslab.verify.checks import Result
from mtlslab.verify.doors.model import Group
from mtlslab.verify.report import VerifyFinding, VerifyReport
from mtlslab.verify.runner import run_checks

from tests.support.cli import mtlslab
from tests.support.verify_lab import RunningLab, serving_lab, tcp_server

DOORS = {f"door-{group.value}" for group in Group}
ON = "ssl_verify_client on;"
LOCATION = "        location = /hello-world.txt {"
CERTIFICATE = "ssl_certificate ../certs/server.crt; ssl_certificate_key ../certs/server.key;"
PAGE = "location / { root nginx-mtls; }"


@pytest.fixture(scope="module")
def running_lab(nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with serving_lab(tmp_path_factory.mktemp("lab"), nginx_binary) as lab:
        yield lab


def knock(lab: RunningLab, *only: str) -> VerifyReport:
    return run_checks(lab.context, only or ("door-",))


def of(report: VerifyReport, name: str) -> VerifyFinding:
    return next(finding for finding in report.findings if finding.id == name)


def failed(report: VerifyReport) -> set[str]:
    return {finding.id for finding in report.findings if finding.result is Result.FAIL} & DOORS


def another_server(body: str) -> Callable[[str], str]:
    """A server block more, behind the one that is there; PORT stands for a free one."""

    def change(conf: str) -> str:
        settled = body.replace("PORT", str(free_port("127.0.0.1")))
        return conf.rstrip().removesuffix("}") + f"\n    server {{ {CERTIFICATE} {settled} }}\n}}\n"

    return change


def in_place_of(old: str, new: str) -> Callable[[str], str]:
    return lambda conf: conf.replace(old, new, 1)


def exempt(condition: str) -> Callable[[str], str]:
    """A rule in place of ``ssl_verify_client on``, and who is exempt from it."""
    rule = "set $deny 0; if ($ssl_client_verify != SUCCESS) { set $deny 1; }"
    rule += f" if ({condition}) {{ set $deny 0; }} if ($deny) {{ return 403; }}"
    return in_place_of(ON, f"ssl_verify_client optional; {rule}")


def test_nobody_is_let_in_at_a_fresh_lab(running_lab: RunningLab) -> None:
    """Every knock was made, and no control was lost."""
    report = knock(running_lab)
    assert {one.id: one.reason for one in report.findings if one.result is not Result.PASS} == {}
    assert {one.id for one in report.findings} >= DOORS
    assert [one.observed["left_out"] for one in report.findings if one.id in DOORS] == [0] * len(DOORS)


ATTACKS = {
    "another name": ("door-names", another_server(f"include listen.conf; server_name a.test; {PAGE}")),
    "names by expression": ("door-names", another_server(f'include listen.conf; server_name "~^a[0-9]"; {PAGE}')),
    "no name in SNI": ("door-names", exempt('$ssl_server_name = ""')),
    "another port in clear": ("door-listeners", another_server(f"listen 127.0.0.1:PORT; {PAGE}")),
    "HTTP at the TLS port": ("door-listeners", in_place_of(ON, f"{ON} error_page 497 =200 /hello-world.txt;")),
    "another location": (
        "door-locations",
        lambda conf: exempt("$uri ~ ^/pub")(conf).replace(
            LOCATION, f"        location /pub/ {{ alias nginx-mtls/; }}\n{LOCATION}"
        ),
    ),
    "an encoded path": ("door-locations", exempt("$request_uri ~ %")),
    "HTTP/1.0": ("door-protocols", exempt("$server_protocol = HTTP/1.0")),
    "HTTP/2": ("door-protocols", lambda conf: exempt("$server_protocol = HTTP/2.0")(conf).replace(ON, "")),
    "HEAD": ("door-methods", exempt("$request_method = HEAD")),
    "a header": ("door-headers", exempt("$http_x_zone ~ ^blue")),
    "a cookie": ("door-headers", exempt("$cookie_session = open")),
    "the page as refusal": ("door-protocols", in_place_of(ON, f"{ON} error_page 495 496 /hello-world.txt;")),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_door_that_is_open_is_found_and_its_command_shows_the_same(running_lab: RunningLab, attack: str) -> None:
    """The finding names the door, and what it prints gets past the server."""
    check, change = ATTACKS[attack]
    with running_lab.sabotaged(change if attack != "HTTP/2" else lambda conf: with_http2(change(conf))):
        report = knock(running_lab)
        assert check in failed(report)
        finding = of(report, check)
        assert "a client " in finding.reason
        assert finding.observed["open"]
        done = subprocess.run(
            finding.command, capture_output=True, text=True, check=True, cwd=running_lab.directory, timeout=20
        )
    page = (running_lab.directory / "nginx-mtls/hello-world.txt").read_text()
    assert page in done.stdout or done.stdout.startswith("HTTP/1.1 200")


def with_http2(conf: str) -> str:
    return conf.replace("include listen.conf;", "include listen.conf; http2 on;", 1)


TLS_ATTACKS = {
    "the page below a path": "location /course/ { alias nginx-mtls/; }",
    "a climbing alias": "location /files { alias nginx-tls/; }",
    "its whole directory": "location /all/ { alias nginx-tls/; }",
}


@pytest.mark.parametrize("attack", TLS_ATTACKS)
def test_the_tls_service_that_gives_more_than_its_page_is_found(running_lab: RunningLab, attack: str) -> None:
    """A page, a key, a configuration."""
    with running_lab.sabotaged(in_place_of(LOCATION, f"{TLS_ATTACKS[attack]}\n{LOCATION}"), TLS_SERVICE):
        assert failed(knock(running_lab)) == {"door-tls-service"}


FAITHFUL = {
    "403 with a page": f'{ON} error_page 495 496 =403 @no; location @no {{ return 403 "No.\\n"; }}',
    "a complete rule": "ssl_verify_client optional; if ($ssl_client_verify != SUCCESS) { return 403; }",
    "HTTP/2": f"{ON} http2 on;",
}


@pytest.mark.parametrize("variant", FAITHFUL)
def test_a_server_that_refuses_in_its_own_way_raises_no_alarm(running_lab: RunningLab, variant: str) -> None:
    """Whoever is refused was refused."""
    with running_lab.sabotaged(in_place_of(ON, FAITHFUL[variant])):
        assert failed(knock(running_lab)) == set()


@pytest.mark.parametrize(
    "body",
    [
        "include listen.conf; server_name ~^; ssl_reject_handshake on;",
        "include listen.conf; server_name ~^; return 444;",
        "listen 127.0.0.1:PORT; return 301 https://$host$request_uri;",
    ],
)
def test_a_stricter_server_beside_it_raises_no_alarm(running_lab: RunningLab, body: str) -> None:
    """No handshake, no answer, or the way to HTTPS."""
    with running_lab.sabotaged(another_server(body)):
        assert failed(knock(running_lab)) == set()


def test_a_lost_control_hides_no_open_door(running_lab: RunningLab) -> None:
    """The right client is refused, another name serves everybody: one fails, the other doors prove nothing."""

    def change(conf: str) -> str:
        stranger = conf.replace("../certs/client-ca.crt", "../certs/server-ca.crt")
        return another_server(f"include listen.conf; server_name a.test; {PAGE}")(stranger)

    with running_lab.sabotaged(change):
        report = knock(running_lab)
    assert failed(report) >= {"door-names"}
    assert of(report, "door-protocols").result is Result.SKIP


def test_a_server_that_is_not_there_or_is_none_is_never_a_pass(running_lab: RunningLab) -> None:
    """A closed port, and a server that sends garbage."""

    def garbage(connection: socket.socket) -> None:
        connection.sendall(b"garbage\r\n")

    with tcp_server(garbage) as port:
        for there in (port, free_port("127.0.0.1")):
            context = dataclasses.replace(running_lab.context, mtls_port=there, tls_port=there)
            report = run_checks(context, ("door-",))
            results = {one.result for one in report.findings if one.id in DOORS}
            assert results <= {Result.INCONCLUSIVE, Result.SKIP}


@pytest.mark.parametrize(
    ("text", "named"),
    [("return 204;", "204"), ('return 200 "Hello?";', "something else than nginx-mtls/hello-world.txt")],
)
def test_another_answer_is_not_the_page(running_lab: RunningLab, text: str, named: str) -> None:
    """Served means status 200 and the lab's own file."""
    with running_lab.sabotaged(in_place_of(LOCATION, f"{LOCATION} {text}")):
        report = knock(running_lab, "mtls-serves-client-certificate")
    assert {one.result for one in report.findings if one.service == MTLS_SERVICE} == {Result.FAIL}
    assert all(named in one.reason for one in report.findings if one.service == MTLS_SERVICE)


def test_marks_of_the_probe_do_not_decide(running_lab: RunningLab) -> None:
    """A server that refuses requests with the probe's nonce only is found out by those that are as printed."""
    rule = 'set $w $ssl_client_verify; if ($arg_probe = "") { set $w SUCCESS; } if ($w != SUCCESS) { return 496; }'
    with running_lab.sabotaged(in_place_of(ON, f"ssl_verify_client optional; {rule}")):
        report = knock(running_lab, "mtls-refuses-no-certificate")
    assert of(report, "mtls-refuses-no-certificate.tls12").result is Result.PASS
    assert of(report, "mtls-refuses-no-certificate.tls13").result is Result.FAIL


def test_a_socket_that_is_open_is_a_door_whatever_the_file_says(
    tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    """Nginx runs another configuration than the one that lies there: the further port is found all the same."""
    directory = tmp_path / "lab"
    words = ("--runtime", "embedded", "--nginx", str(nginx_binary), "--tls-port", "0", "--mtls-port", "0")
    mtlslab("up", "--dir", directory, "--name", lab_name, *words, cwd=tmp_path)
    try:
        conf = directory / "nginx-mtls/nginx.conf"
        good = conf.read_text()
        port = free_port("127.0.0.1")
        conf.write_text(another_server(f"listen 127.0.0.1:{port}; {PAGE}")(good))
        assert mtlslab("reload", "--dir", directory, cwd=tmp_path).code == ExitCode.OK
        conf.write_text(good)
        run = mtlslab("verify", "--dir", directory, "--only", "door-listeners", cwd=tmp_path)
        assert run.code == ExitCode.CHECK_FAILED
        assert f"http://localhost:{port}/hello-world.txt" in run.out
    finally:
        mtlslab("down", "--dir", directory, cwd=tmp_path)


def test_the_command_line_lists_the_doors_and_bounds_them(tmp_path: Path, lab_name: str, nginx_binary: Path) -> None:
    """The list tries nothing; a bounded run says what was left out."""
    directory = tmp_path / "lab"
    words = ("--runtime", "embedded", "--nginx", str(nginx_binary), "--tls-port", "0", "--mtls-port", "0", "--crl")
    mtlslab("up", "--dir", directory, "--name", lab_name, *words, cwd=tmp_path)
    try:
        listed = mtlslab("verify", "--dir", directory, "--list-doors", "-o", "json", cwd=tmp_path)
        assert listed.code == ExitCode.OK
        document = json.loads(listed.out)
        assert {one["client"] for one in document["knocks"]} >= {"none", "self-signed", "revoked", "server-certificate"}
        assert "door-names: " in mtlslab("verify", "--dir", directory, "--list-doors", cwd=tmp_path).out
        run = mtlslab("verify", "--dir", directory, "--only", "door-", "--doors", "9", "-v", cwd=tmp_path)
        assert run.code == ExitCode.OK
        assert " left out" in run.out
    finally:
        mtlslab("down", "--dir", directory, cwd=tmp_path)

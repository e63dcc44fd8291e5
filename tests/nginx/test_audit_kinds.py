"""Kinds of servers of which an audit is easily wrong: each is built, and what it is must be told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mtlslab.audit import audit as run_audit
from mtlslab.audit import make_request

from tests.support.cli import mtlslab
from tests.support.foreign_servers import (
    Answer,
    crowd_server,
    make_certificates,
    nginx_server,
    python_server,
    server_context,
    tls_server,
)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certs"))


def report(port: int, certs: Path, *, control: bool = True, **more: Any) -> dict[str, Any]:
    files: dict[str, Any] = {"cert": certs / "client.crt", "key": certs / "client.key"} if control else {}
    return run_audit(
        make_request(f"https://localhost:{port}", cacert=certs / "server-ca.crt", **files, **more)
    ).to_mapping()


def told(value: dict[str, Any]) -> tuple[str, int]:
    return value["verdict"]["client_auth"], value["exit_code"]


@pytest.mark.parametrize("with_key", [False, True])
def test_a_server_that_compares_a_name_only_is_found_out(
    with_key: bool, certs: Path, nginx_binary: Path, tmp_path: Path
) -> None:
    """Whoever writes the name into a certificate of his own gets in."""
    refusal = "if ($ssl_client_s_dn !~ CN=client) { return 403; }"
    directives = f"ssl_verify_client optional_no_ca; location / {{ {refusal} return 200 yes; }}"
    ca: dict[str, Any] = (
        {"client_ca_cert": certs / "client-ca.crt", "client_ca_key": certs / "client-ca.key"} if with_key else {}
    )
    with nginx_server(nginx_binary, certs, tmp_path / "n", directives) as port:
        assert told(report(port, certs, **ca)) == ("only-a-name", 1)


BROKERS = {
    ssl.CERT_REQUIRED: ("required", 0),
    ssl.CERT_OPTIONAL: ("requested-not-enforced", 1),
    ssl.CERT_NONE: ("none", 1),
}


@pytest.mark.parametrize("mode", BROKERS)
def test_the_handshake_tells_of_a_server_that_speaks_no_http(mode: ssl.VerifyMode, certs: Path) -> None:
    """It hangs up on HTTP, whoever asks: that says nothing about certificates, the handshake does."""
    with tls_server(server_context(certs, mode), lambda _tls: None) as port:
        value = report(port, certs)
    assert told(value) == BROKERS[mode]
    if mode is not ssl.CERT_NONE:
        assert value["verdict"]["rests_on"] == "handshake"


def limited(after: int, answer: Answer) -> Callable[[Any], Answer]:
    """The page for the first few, then something else for everybody."""
    count = [0]

    def decide(_certificate: Any) -> Answer:
        count[0] += 1
        return Answer() if count[0] <= after else answer

    return decide


REFUSALS_FOR_ALL = {
    "429": Answer(429, b"slow down"),
    "403": Answer(403, b"no"),
    "nginx": Answer(400, b"<title>400 No required SSL certificate was sent</title>"),
}


@pytest.mark.parametrize("name", REFUSALS_FOR_ALL)
@pytest.mark.parametrize("after", [0, 2, 4])
@pytest.mark.parametrize("control", [True, False])
def test_where_nobody_is_asked_no_refusal_is_about_certificates(
    name: str, after: int, control: bool, certs: Path
) -> None:
    with python_server(server_context(certs, ssl.CERT_NONE), limited(after, REFUSALS_FOR_ALL[name])) as port:
        value = report(port, certs, control=control)
    assert value["exit_code"] in (1, 6)
    assert told(value)[0] in ("none", "could-not-tell")


def test_a_limit_that_strikes_the_authorised_client_too_is_no_refusal(certs: Path) -> None:
    """The server asks and does not care; after two pages it forbids everybody everything."""
    with python_server(server_context(certs, ssl.CERT_OPTIONAL), limited(2, Answer(403, b"no"))) as port:
        value = report(port, certs)
    assert value["exit_code"] != 0


def test_a_minted_client_that_the_server_does_not_know_is_no_verdict(certs: Path) -> None:
    """A server that admits one name only is right to refuse a client that was made a moment ago."""

    def only_client(certificate: Any) -> Answer:
        names = [value for part in (certificate or {}).get("subject", ()) for _, value in part]
        return Answer() if "client" in names else Answer(403, b"who are you?")

    ca: dict[str, Any] = {"client_ca_cert": certs / "client-ca.crt", "client_ca_key": certs / "client-ca.key"}
    with python_server(server_context(certs), only_client) as port:
        assert report(port, certs, control=False, **ca)["exit_code"] == 6
        assert told(report(port, certs))[0] == "required"


def test_two_servers_behind_one_name_are_not_the_same_every_time(certs: Path) -> None:
    contexts, count = (server_context(certs), server_context(certs, ssl.CERT_NONE)), [0]

    def answer(connection: Any) -> None:
        count[0] += 1
        with contexts[count[0] % 3 == 0].wrap_socket(connection, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")

    with crowd_server(answer) as port:
        assert told(report(port, certs)) == ("not-the-same", 1)


def test_connect_to_and_sni_are_obeyed(certs: Path) -> None:
    with python_server(server_context(certs)) as port:
        value = run_audit(
            make_request(
                "https://localhost",
                cacert=certs / "server-ca.crt",
                connect_to=f"127.0.0.1:{port}",
                sni="other.test",
            )
        ).to_mapping()
    assert told(value) == ("required", 0)


@pytest.mark.parametrize(("mode", "expected"), [(ssl.CERT_NONE, ("none", 1)), (ssl.CERT_REQUIRED, ("required", 0))])
def test_every_address_of_a_host_is_audited(
    mode: ssl.VerifyMode, expected: tuple[str, int], certs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first address requires a certificate; what the second one does counts, too. A third one is not there."""
    monkeypatch.setattr("mtlslab.audit.run.addresses_of", lambda _host, _port: ("127.0.0.1", "127.0.0.2", "127.0.0.3"))
    second = server_context(certs, mode)
    with python_server(server_context(certs)) as port, socket.create_server(("127.0.0.2", port)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with contextlib.suppress(OSError), second.wrap_socket(connection, server_side=True) as tls:
                        tls.recv(65536)
                        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        value = report(port, certs)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert told(value) == expected


def test_many_targets_make_one_table_and_the_worst_exit_status(certs: Path) -> None:
    """A dead one is told as such; the others are judged all the same."""
    with (
        python_server(server_context(certs)) as strict,
        python_server(server_context(certs, ssl.CERT_NONE)) as lenient,
    ):
        (certs / "targets").write_text(
            f"# ours\nhttps://localhost:{strict}\n\nhttps://localhost:{lenient}\nhttps://localhost:1\n"
        )
        done = mtlslab("audit", "--targets", "targets", "--cacert", certs / "server-ca.crt", cwd=certs)
    rows = [line.split() for line in done.out.splitlines()[1:]]
    assert done.code == 1
    assert [(row[1], row[-1]) for row in rows] == [("required", "0"), ("none", "1"), ("could-not-tell", "6")]


def test_silence_for_strangers_only_is_a_decision(certs: Path) -> None:
    """The authorised client is answered at once, everybody else never."""

    def answer(tls: ssl.SSLSocket) -> None:
        if tls.getpeercert():
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")
        else:
            tls.recv(1)

    with tls_server(server_context(certs, ssl.CERT_OPTIONAL), answer) as port:
        assert told(report(port, certs, timeout=1.0)) == ("required", 0)

"""A probe tells what happened: how far it came, whose doing the end was, and what both sides said."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from mtlslab.pki import new_key
from mtlslab.probe.attempt import attempt
from mtlslab.probe.model import MAX_BODY, Attempt, KeyFiles, Phase, Side
from mtlslab.verify.context import credential_files

from tests.support.verify_lab import (
    RunningLab,
    alerting_server,
    serving_lab,
    tcp_server,
    wait_until,
)

VERSIONS = ("1.2", "1.3")


@pytest.fixture(scope="module")
def running_lab(nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with serving_lab(tmp_path_factory.mktemp("lab"), nginx_binary) as lab:
        yield lab


def to_mtls(lab: RunningLab, name: str | None = "client", **changes: Any) -> Attempt:
    """An attempt at the mTLS server with that credential, trusting the server CA."""
    credential = credential_files(lab.directory, name) if name else None
    base = Attempt(port=lab.context.mtls_port, address="127.0.0.1", cacert=lab.directory / "certs/server-ca.crt")
    return dataclasses.replace(base, credential=credential, **changes)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_accepted_client_sees_the_page_and_what_the_server_made_of_it(running_lab: RunningLab, version: str) -> None:
    seen = attempt(to_mtls(running_lab, tls_version=version))
    assert (seen.phase, seen.side, seen.status, seen.error) == (Phase.DONE, Side.NONE, 200, "")
    assert seen.tls_version == version
    assert seen.cipher
    assert seen.certificate_requested is True
    assert seen.headers["x-ssl-client-verify"] == "SUCCESS"
    assert seen.headers["x-ssl-client-fingerprint"] == seen.sent_fingerprint != ""
    assert seen.duration > 0


@pytest.mark.parametrize("version", VERSIONS)
def test_nginx_refuses_with_a_page_after_a_finished_handshake(running_lab: RunningLab, version: str) -> None:
    seen = attempt(to_mtls(running_lab, None, tls_version=version))
    assert (seen.phase, seen.status) == (Phase.DONE, 400)
    assert seen.title == "400 No required SSL certificate was sent"
    assert "No required SSL certificate was sent" in seen.body
    assert (seen.alert, seen.closed, seen.sent_fingerprint) == ("", False, "")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_asks_for_no_certificate_is_seen_not_to_ask(running_lab: RunningLab, version: str) -> None:
    seen = attempt(to_mtls(running_lab, port=running_lab.context.tls_port, tls_version=version))
    assert seen.status == 200
    assert seen.certificate_requested is False


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_without_the_ca_ends_the_handshake_itself(running_lab: RunningLab, version: str) -> None:
    seen = attempt(to_mtls(running_lab, cacert=None, tls_version=version))
    assert (seen.phase, seen.side, seen.status) == (Phase.HANDSHAKE, Side.LOCAL, None)
    assert (seen.verify_code, seen.verify_error) == (20, "unable to get local issuer certificate")
    assert (seen.alert, seen.alert_from) == ("unknown_ca", Side.LOCAL)


def test_the_wrong_host_name_is_an_error_of_verification(running_lab: RunningLab) -> None:
    seen = attempt(to_mtls(running_lab, host="example.test"))
    assert (seen.phase, seen.side, seen.verify_code) == (Phase.HANDSHAKE, Side.LOCAL, 62)
    assert attempt(to_mtls(running_lab, host="example.test", check_hostname=False)).status == 200


def test_insecure_accepts_a_server_that_nobody_vouches_for(running_lab: RunningLab) -> None:
    assert attempt(to_mtls(running_lab, cacert=None, insecure=True, host="example.test")).status == 200


def test_a_closed_port_is_nobodys_refusal() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        seen = attempt(Attempt(port=held.getsockname()[1], address="127.0.0.1"))
    assert (seen.phase, seen.side, seen.error, seen.heard) == (Phase.CONNECT, Side.NONE, "Connection refused", False)


def test_an_unknown_host_is_nobodys_refusal() -> None:
    seen = attempt(Attempt(port=443, host="no-such-host.invalid"))
    assert (seen.phase, seen.side) == (Phase.CONNECT, Side.NONE)
    assert seen.error


def test_a_key_of_another_certificate_never_leaves_the_client(running_lab: RunningLab) -> None:
    certs = running_lab.directory / "certs"
    seen = attempt(Attempt(port=1, credential=KeyFiles(certs / "client.crt", certs / "server.key")))
    assert (seen.phase, seen.side, seen.error) == (Phase.LOAD, Side.LOCAL, "key values mismatch")


def test_a_missing_file_is_a_local_failure_that_names_the_file(tmp_path: Path) -> None:
    seen = attempt(Attempt(port=1, cacert=tmp_path / "gone.crt"))
    assert (seen.phase, seen.side) == (Phase.LOAD, Side.LOCAL)
    assert "gone.crt" in seen.error


def test_an_encrypted_key_is_a_local_failure_and_no_question_on_the_terminal(
    running_lab: RunningLab, tmp_path: Path
) -> None:
    key = tmp_path / "client.key"
    encryption = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(new_key("ec-p256").private_bytes(serialization.Encoding.PEM, form, encryption))
    seen = attempt(Attempt(port=1, credential=KeyFiles(running_lab.directory / "certs/client.crt", key)))
    assert (seen.phase, seen.side) == (Phase.LOAD, Side.LOCAL)


@pytest.mark.parametrize("tickets", [0, 2])
@pytest.mark.parametrize(
    ("version", "credential", "alert"),
    [
        ("1.2", None, "handshake_failure"),
        ("1.3", None, "certificate_required"),
        ("1.2", "other-ca", "unknown_ca"),
        ("1.3", "other-ca", "unknown_ca"),
        ("1.3", "expired", "certificate_expired"),
    ],
)
def test_an_alert_of_the_server_is_read_before_the_connection_is_gone(
    running_lab: RunningLab, version: str, credential: str | None, alert: str, tickets: int
) -> None:
    with alerting_server(running_lab.directory, tickets=tickets) as port:
        seen = [attempt(to_mtls(running_lab, credential, port=port, tls_version=version)) for _ in range(10)]
    assert {(item.alert, item.alert_from, item.side, item.status) for item in seen} == {
        (alert, Side.PEER, Side.PEER, None)
    }
    assert {item.phase for item in seen} == {Phase.HANDSHAKE if version == "1.2" else Phase.READ}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_refuses_with_alerts_serves_the_right_client(running_lab: RunningLab, version: str) -> None:
    with alerting_server(running_lab.directory) as port:
        seen = attempt(to_mtls(running_lab, port=port, path="/", tls_version=version))
    assert (seen.status, seen.body, seen.alert) == (200, "hello", "")


def test_a_version_that_the_server_does_not_speak_is_refused_with_an_alert(running_lab: RunningLab) -> None:
    def older_only(conf: str) -> str:
        return conf.replace("ssl_protocols TLSv1.2 TLSv1.3", "ssl_protocols TLSv1.2")

    with running_lab.sabotaged(older_only):
        seen = attempt(to_mtls(running_lab, tls_version="1.3"))
    assert (seen.phase, seen.side, seen.alert) == (Phase.HANDSHAKE, Side.PEER, "protocol_version")


def test_a_port_that_speaks_plain_http_is_told_by_its_first_bytes() -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with tcp_server(plain) as port:
        seen = attempt(Attempt(port=port, address="127.0.0.1", insecure=True))
    assert (seen.phase, seen.side) == (Phase.HANDSHAKE, Side.LOCAL)
    assert seen.preface.startswith("HTTP/1.1 400")


def test_a_connection_that_is_dropped_at_once_says_that_nothing_was_heard() -> None:
    def drop(connection: socket.socket) -> None:
        connection.recv(4096)

    with tcp_server(drop) as port:
        seen = attempt(Attempt(port=port, address="127.0.0.1", insecure=True))
    assert (seen.phase, seen.side, seen.closed, seen.heard) == (Phase.HANDSHAKE, Side.PEER, True, False)


def test_a_reset_connection_is_the_same_class_as_a_closed_one() -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with tcp_server(reset) as port:
        seen = attempt(Attempt(port=port, address="127.0.0.1", insecure=True))
    assert (seen.phase, seen.side, seen.closed) == (Phase.HANDSHAKE, Side.PEER, True)


def test_a_server_that_never_answers_is_given_up_and_nobodys_refusal() -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    with tcp_server(silent) as port:
        seen = attempt(Attempt(port=port, address="127.0.0.1", timeout=0.2))
    assert (seen.phase, seen.side, seen.closed) == (Phase.HANDSHAKE, Side.NONE, False)
    assert seen.error == "no answer within 0.2 s"


def _over_tls(lab: RunningLab, *answers: bytes) -> AbstractContextManager[int]:
    """A TLS server that answers every request with these bytes and leaves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(lab.directory / "certs/server.crt", lab.directory / "certs/server.key")

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(4096)
            for part in answers:
                tls.sendall(part)

    return tcp_server(answer)


def _get(port: int, **changes: Any) -> Attempt:
    return dataclasses.replace(Attempt(port=port, address="127.0.0.1", insecure=True), **changes)


def test_an_endless_answer_is_kept_within_bounds(running_lab: RunningLab) -> None:
    endless = b"x" * 1_000_000
    with _over_tls(running_lab, b"HTTP/1.1 200 OK\r\n\r\n", endless) as port:
        seen = attempt(_get(port))
    assert (seen.status, len(seen.body)) == (200, MAX_BODY)


def test_a_chunked_answer_is_decoded(running_lab: RunningLab) -> None:
    with _over_tls(
        running_lab, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"
    ) as port:
        assert attempt(_get(port)).body == "hello"


def test_an_answer_that_breaks_off_keeps_its_status(running_lab: RunningLab) -> None:
    with _over_tls(running_lab, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nno") as port:
        seen = attempt(_get(port))
    assert (seen.phase, seen.status, seen.body) == (Phase.DONE, 403, "no")


def test_what_is_not_http_is_not_taken_for_a_refusal(running_lab: RunningLab) -> None:
    with _over_tls(running_lab, b"220 mail.example ESMTP\r\n") as port:
        seen = attempt(_get(port))
    assert (seen.phase, seen.side, seen.status, seen.closed) == (Phase.READ, Side.LOCAL, None, False)


def test_a_server_that_leaves_without_an_answer_closed_the_connection(running_lab: RunningLab) -> None:
    with _over_tls(running_lab) as port:
        seen = attempt(_get(port))
    assert (seen.phase, seen.side, seen.closed, seen.heard) == (Phase.READ, Side.PEER, True, True)


def test_a_replaced_certificate_is_noticed_although_contexts_are_cached(
    running_lab: RunningLab, tmp_path: Path
) -> None:
    anchor = tmp_path / "anchor.crt"
    anchor.write_bytes((running_lab.directory / "certs/client-ca.crt").read_bytes())
    assert attempt(to_mtls(running_lab, cacert=anchor)).verify_code == 20
    replacement = tmp_path / "new.crt"
    replacement.write_bytes((running_lab.directory / "certs/server-ca.crt").read_bytes())
    os.replace(replacement, anchor)
    assert attempt(to_mtls(running_lab, cacert=anchor)).status == 200


def test_the_nonce_arrives_in_the_servers_log(running_lab: RunningLab) -> None:
    attempt(to_mtls(running_lab, "expired", nonce="a1b2&c=d"))
    log = running_lab.directory / "nginx-mtls.log"

    def entries() -> list[dict[str, str]]:
        lines = log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and "a1b2" in line]

    wait_until(lambda: bool(entries()))
    assert entries()[0]["probe"] == "a1b2%26c%3Dd"
    assert entries()[0]["client_verify"] == "FAILED:certificate has expired"


def test_attempts_side_by_side_do_not_mix_what_they_saw(running_lab: RunningLab) -> None:
    kinds = {
        "client": (200, "SUCCESS"),
        "expired": (400, "FAILED:certificate has expired"),
        "self-signed": (400, "FAILED:self-signed certificate"),
    }
    names = list(kinds) * 20
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda name: attempt(to_mtls(running_lab, name)), names))
    assert [(item.status, item.headers["x-ssl-client-verify"]) for item in seen] == [kinds[name] for name in names]


def test_an_ipv6_address_stands_in_brackets_in_the_url() -> None:
    assert Attempt(port=8889, host="::1").url == "https://[::1]:8889/hello-world.txt"

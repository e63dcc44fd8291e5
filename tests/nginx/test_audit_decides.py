"""What an audit can tell after all, where a single answer says little."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.nginx.test_audit_kinds import limited, report, told
from tests.support.foreign_servers import (
    Answer,
    crowd_server,
    make_certificates,
    nginx_server,
    openssl_server,
    python_server,
    server_context,
    tls_server,
)

_PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n"
_WEB_CAS = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certs"))


def finding(value: dict[str, Any], family: str) -> dict[str, Any]:
    return next(one for one in value["checks"] if one["id"].startswith(family))


@pytest.mark.parametrize("status", [500, 503, 526])
def test_a_server_that_errs_for_strangers_only_refuses_them(status: int, certs: Path) -> None:
    """The authorised client is served before, between and after them."""

    def decide(certificate: Any) -> Answer:
        return Answer() if certificate else Answer(status, b"sorry")

    with python_server(server_context(certs, ssl.CERT_OPTIONAL), decide) as port:
        assert told(report(port, certs)) == ("required", 0)


def test_a_server_that_errs_for_everybody_after_a_while_refuses_nobody(certs: Path) -> None:
    with python_server(server_context(certs, ssl.CERT_OPTIONAL), limited(2, Answer(503, b"slow down"))) as port:
        assert report(port, certs)["exit_code"] != 0


def test_a_good_refusal_beside_a_back_end_that_is_down_is_one(certs: Path) -> None:
    """Strangers are stopped by the handshake; the authorised client comes as far as the page that is not there."""
    with python_server(server_context(certs), lambda _certificate: Answer(502, b"bad gateway")) as port:
        value = report(port, certs)
    assert told(value) == ("required", 0)
    assert "gets no page" in value["verdict"]["sentence"]


def test_a_back_end_that_is_down_for_everybody_is_no_refusal(certs: Path) -> None:
    with python_server(server_context(certs, ssl.CERT_OPTIONAL), lambda _certificate: Answer(502, b"bad")) as port:
        assert report(port, certs)["exit_code"] == 6


def test_clients_are_made_with_keys_that_the_server_takes(certs: Path, nginx_binary: Path, tmp_path: Path) -> None:
    """It takes signatures of RSA only: clients with EC keys would send no certificate at all."""
    only = "ssl_protocols TLSv1.2; ssl_conf_command ClientSignatureAlgorithms RSA-PSS+SHA256:RSA+SHA256;"
    directives = f"ssl_verify_client on; {only} location / {{ return 200 yes; }}"
    ca = {"client_ca_cert": certs / "client-ca.crt", "client_ca_key": certs / "client-ca.key"}
    with nginx_server(nginx_binary, certs, tmp_path / "n", directives) as port:
        value = report(port, certs, control=False, **ca)
    assert told(value) == ("required", 0)
    assert finding(value, "refuses-stolen-certificate")["observed"]["alert"] == "decrypt_error"


def test_who_is_hung_up_on_before_he_has_said_a_word_is_refused(certs: Path) -> None:
    """The server speaks no HTTP: it hears the authorised client, and ends the connection of all others at once."""

    def answer(connection: socket.socket) -> None:
        with server_context(certs, ssl.CERT_OPTIONAL).wrap_socket(connection, server_side=True) as tls:
            if tls.getpeercert():
                tls.recv(65536)

    with crowd_server(answer) as port:
        value = report(port, certs)
    assert told(value) == ("required", 0)
    assert value["verdict"]["rests_on"] == "handshake"


@pytest.mark.parametrize(("verify", "verdict"), [(True, ("required", 0)), (False, ("requested-not-enforced", 1))])
def test_a_server_that_asks_after_the_request_is_answered(verify: bool, verdict: tuple[str, int], certs: Path) -> None:
    """TLS 1.3 asks after the handshake (RFC 8446 section 4.6.2), with a context of its own in the message."""
    context = server_context(certs, ssl.CERT_REQUIRED if verify else ssl.CERT_OPTIONAL)
    context.minimum_version, context.post_handshake_auth = ssl.TLSVersion.TLSv1_3, True

    def answer(tls: ssl.SSLSocket) -> None:
        tls.verify_client_post_handshake()
        tls.settimeout(0.1)
        with contextlib.suppress(TimeoutError):  # the certificate comes, and nothing more
            tls.recv(1)
        tls.sendall(_PAGE)

    with tls_server(context, answer) as port:
        value = report(port, certs)
    assert told(value) == verdict
    assert finding(value, "refuses-no-certificate")["observed"]["certificate_presented"] is False
    assert finding(value, "serves-authorised-client")["observed"]["certificate_presented"] is True


def test_a_list_of_the_webs_cas_is_a_warning(certs: Path, tmp_path: Path) -> None:
    """Whoever has a certificate of any of them gets in."""
    if not _WEB_CAS.exists():
        pytest.skip(f"no {_WEB_CAS}")
    many = tmp_path / "many.crt"
    many.write_bytes((certs / "client-ca.crt").read_bytes() + _WEB_CAS.read_bytes())
    insists = ("-Verify", "1", "-verify_return_error")
    with openssl_server(certs, *insists, "-CAfile", str(many)) as port:
        warned = report(port, certs)
    with openssl_server(certs, *insists) as port:
        usual = report(port, certs)
    assert finding(warned, "announces-no-public-ca")["result"] == "warn"
    assert told(warned) == told(usual) == ("required", 0)
    assert not [one for one in usual["checks"] if one["id"] == "announces-no-public-ca"]

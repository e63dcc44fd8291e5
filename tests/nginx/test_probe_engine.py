"""What an attempt can ask for beyond the usual request, and what is observed of it: against real sockets."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab.pki.servers import SERVER_CREDENTIALS
from mtlslab.plan.shell import shell_line
from mtlslab.probe import attempt as engine
from mtlslab.probe import connection
from mtlslab.probe.attempt import attempt
from mtlslab.probe.curl import curl_command
from mtlslab.probe.hello import NO_PROTECTION_SUITES, USUAL_SUITES, client_hello
from mtlslab.probe.http import MAX_READ, title_of
from mtlslab.probe.keys import AEAD_CIPHERS, SUITES, read_key_log, tls12_protection
from mtlslab.probe.model import Attempt, KeyFiles, Observation, Phase, Sender, Side
from mtlslab.probe.records import TLS_1_2

from tests.support.foreign_servers import crowd_server, make_certificates, require_program, server_context
from tests.support.verify_lab import NOW, tcp_server, write

VERSIONS = ("1.2", "1.3")
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
both_versions = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certs"))


@dataclasses.dataclass
class Heard:
    """What a server saw of one client."""

    address: str
    sni: str | None
    request: bytes


@dataclasses.dataclass
class Server:
    """A TLS server of Python's own, and what it has heard."""

    context: ssl.SSLContext
    answer: bytes = PAGE
    goodbye: bool = True
    heard: list[Heard] = dataclasses.field(default_factory=list)
    port: int = 0

    def serve(self, connection: socket.socket) -> None:
        names: list[str | None] = []
        self.context.sni_callback = lambda _tls, name, _context: names.append(name)
        with contextlib.suppress(OSError), self.context.wrap_socket(connection, server_side=True) as tls:
            self.heard.append(Heard(connection_address(tls), names[-1], tls.recv(65536)))
            tls.sendall(self.answer)
            if self.goodbye:
                tls.unwrap()


def connection_address(tls: ssl.SSLSocket) -> str:
    return str(tls.getpeername()[0])


@contextlib.contextmanager
def serving(
    certs: Path, verify: ssl.VerifyMode = ssl.CERT_NONE, address: str = "127.0.0.1", **more: Any
) -> Iterator[Server]:
    server = Server(server_context(certs, verify), **more)
    with tcp_server(server.serve, address) as server.port:
        yield server


def to(server: Server, certs: Path, **more: Any) -> Attempt:
    return Attempt(port=server.port, address="127.0.0.1", cacert=certs / "server-ca.crt", **more)


def client(certs: Path) -> KeyFiles:
    return KeyFiles(certs / "client.crt", certs / "client.key")


# --- application protocols


@both_versions
def test_the_server_chooses_among_the_protocols_that_are_offered(certs: Path, version: str) -> None:
    with serving(certs) as server:
        server.context.set_alpn_protocols(["http/1.1"])
        chosen = attempt(to(server, certs, tls_version=version, alpn=("h2", "http/1.1")))
        unasked = attempt(to(server, certs, tls_version=version))
    assert (chosen.status, chosen.alpn) == (200, "http/1.1")
    assert (unasked.status, unasked.alpn) == (200, "")


def test_without_a_handshake_nothing_is_known_of_it() -> None:
    """Neither of what it would have chosen, nor of a session."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        seen = attempt(Attempt(port=held.getsockname()[1], address="127.0.0.1", alpn=("h2",)))
    assert (seen.alpn, seen.resumed, seen.session, seen.certificate_requested) == (None, None, None, None)
    assert (seen.chain, seen.body_size, seen.body_sha256) == ((), None, "")


def test_a_handshake_that_breaks_off_tells_no_choice(certs: Path) -> None:
    with serving(certs) as server:
        seen = attempt(Attempt(port=server.port, address="127.0.0.1", alpn=("h2",)))
    assert seen.verify_code == 20
    assert (seen.alpn, seen.resumed, seen.session) == (None, None, None)


# --- sessions


@both_versions
def test_a_session_is_resumed_and_then_nobody_asks_for_a_certificate(certs: Path, version: str) -> None:
    with serving(certs, ssl.CERT_REQUIRED) as server:
        what = to(server, certs, credential=client(certs), tls_version=version, keep_session=True)
        first = attempt(what)
        again = attempt(dataclasses.replace(what, session=first.session))
    assert (first.status, first.resumed, first.certificate_requested) == (200, False, True)
    assert (again.status, again.resumed, again.certificate_requested) == (200, True, None)
    assert len(first.chain) == 1
    assert again.chain == ()
    assert again.agreed
    assert "Session" not in repr(first)
    assert first.session is not None
    assert "SSLSession" not in repr(first.session)


@both_versions
def test_a_server_without_sessions_gives_none(certs: Path, version: str) -> None:
    with serving(certs) as server:
        server.context.options |= ssl.OP_NO_TICKET
        server.context.num_tickets = 0
        seen = attempt(to(server, certs, tls_version=version, keep_session=True))
        if seen.session is not None:  # TLS 1.2 may have a session without a ticket
            assert attempt(to(server, certs, tls_version=version, session=seen.session)).status == 200
    assert seen.status == 200
    assert (seen.session is None) or version == "1.2"


def test_a_session_does_not_lend_its_trust_to_another_attempt(certs: Path) -> None:
    """Whoever resumes with another anchor, or as another client, would seem to be somebody that he is not."""
    with serving(certs) as server:
        given = attempt(to(server, certs, insecure=True, keep_session=True))
        assert given.session is not None
        for changed in ({}, {"insecure": True, "credential": client(certs)}, {"insecure": True, "record": True}):
            seen = attempt(to(server, certs, session=given.session, **changed))
            assert (seen.phase, seen.side, seen.status) == (Phase.LOAD, Side.LOCAL, None)
            assert "cannot be resumed" in seen.error


def test_a_session_can_be_resumed_on_record(certs: Path) -> None:
    with serving(certs) as server:
        what = to(server, certs, record=True, ciphers=AEAD_CIPHERS, keep_session=True)
        first = attempt(what)
        again = attempt(dataclasses.replace(what, session=first.session))
    assert (again.status, again.resumed) == (200, True)
    assert first.recording is not None
    assert again.recording is not None
    assert first.recording.secrets.keys() == again.recording.secrets.keys()
    assert set(first.recording.secrets.values()).isdisjoint(again.recording.secrets.values())


# --- the request


def test_the_request_is_as_it_always_was(certs: Path) -> None:
    with serving(certs) as server:
        attempt(to(server, certs, nonce="a b"))
    assert server.heard[0].request.decode().split("\r\n") == [
        "GET /hello-world.txt?probe=a%20b HTTP/1.1",
        f"Host: localhost:{server.port}",
        "User-Agent: mtlslab",
        "Accept: */*",
        "Connection: close",
        "",
        "",
    ]


def test_method_version_host_and_headers_are_the_attempts(certs: Path) -> None:
    with serving(certs) as server:
        seen = attempt(
            to(
                server,
                certs,
                method="POST",
                http_version="1.0",
                host_header="elsewhere.test",
                headers=(("user-agent", "curl/8"), ("X-SSL-Client-Verify", "SUCCESS")),
            )
        )
    assert seen.status == 200
    assert server.heard[0].sni == "localhost"
    assert server.heard[0].request.decode().split("\r\n") == [
        "POST /hello-world.txt HTTP/1.0",
        "Host: elsewhere.test",
        "Accept: */*",
        "Connection: close",
        "user-agent: curl/8",
        "X-SSL-Client-Verify: SUCCESS",
        "",
        "",
    ]


def test_the_answer_to_head_has_no_body(certs: Path) -> None:
    with serving(certs, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") as server:
        seen = attempt(to(server, certs, method="HEAD"))
    assert (seen.status, seen.body, seen.body_size) == (200, "", 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"http_version": "3"},
        {"headers": (("X", "a\r\nX-Other: b"),)},
        {"host_header": "a\nb"},
        {"method": "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"},
        {"path": "/\r\nX: y"},
    ],
    ids=str,
)
def test_what_is_no_request_is_never_sent(changes: dict[str, Any]) -> None:
    """It ends before there is a connection, as a failure of ours."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        seen = attempt(Attempt(port=listener.getsockname()[1], address="127.0.0.1", insecure=True, **changes))
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert (seen.phase, seen.side) == (Phase.LOAD, Side.LOCAL)
    assert seen.error


@pytest.mark.clients
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "HEAD"},
        {"method": "DELETE", "http_version": "1.0"},
        {"host_header": "elsewhere.test", "headers": (("User-Agent", "curl/8"), ("X-A", "it's")), "nonce": ""},
        {"source": "127.0.0.2", "address": "127.0.0.3"},
    ],
    ids=str,
)
def test_the_printed_curl_command_asks_for_the_same(certs: Path, changes: dict[str, Any]) -> None:
    require_program("curl")
    address = changes.get("address", "127.0.0.1")
    with serving(certs, address=address) as server:
        what = dataclasses.replace(to(server, certs), **changes)
        assert attempt(what).status == 200
        done = subprocess.run(
            ["sh", "-c", f"{shell_line(curl_command(what, certs))} --silent"], cwd=certs, check=False, timeout=30
        )
    assert done.returncode == 0
    ours, curls = server.heard
    assert (ours.address, ours.sni) == (curls.address, curls.sni)
    first, *fields = ours.request.decode().split("\r\n")
    assert curls.request.decode().startswith(f"{first}\r\n")
    named = {field.partition(":")[0] for field in fields} - {"Connection", "User-Agent"}
    assert {field for field in fields if field.partition(":")[0] in named} <= set(curls.request.decode().split("\r\n"))


# --- names and addresses


@pytest.mark.parametrize(("sni", "sent"), [("", None), ("elsewhere.test", "elsewhere.test"), (None, "localhost")])
def test_the_name_in_sni_is_another_than_the_one_that_is_checked(
    certs: Path, sni: str | None, sent: str | None
) -> None:
    with serving(certs) as server:
        right = attempt(to(server, certs, sni=sni))
        wrong = attempt(to(server, certs, sni=sni, host="example.test"))
        unchecked = attempt(to(server, certs, sni=sni, host="example.test", check_hostname=False))
    assert (right.status, unchecked.status) == (200, 200)
    assert server.heard[0].sni == sent
    assert (wrong.phase, wrong.side, wrong.status, wrong.verify_code) == (Phase.HANDSHAKE, Side.LOCAL, None, 62)
    assert wrong.verify_error == "Hostname mismatch, certificate is not valid for 'example.test'."


def test_an_untrusted_server_stays_untrusted_whatever_sni_says(certs: Path) -> None:
    with serving(certs) as server:
        seen = attempt(Attempt(port=server.port, address="127.0.0.1", sni="", cacert=certs / "client-ca.crt"))
    assert seen.verify_code == 20
    assert server.heard == []


@pytest.mark.parametrize("sni", [None, ""])
@pytest.mark.parametrize(("host", "code"), [("127.0.0.1", None), ("127.0.0.9", 64)])
def test_an_address_is_checked_as_an_address(certs: Path, host: str, code: int | None, sni: str | None) -> None:
    """With and without a name in SNI the same comes out."""
    with serving(certs) as server:
        seen = attempt(to(server, certs, host=host, sni=sni))
    assert seen.verify_code == code


@pytest.fixture(scope="module")
def common_name(tmp_path_factory: pytest.TempPathFactory, certs: Path) -> Path:
    """Certificates of a server that names its host in the common name alone."""
    from mtlslab.pki import load_credential

    ca = load_credential((certs / "server-ca.crt").read_bytes(), (certs / "server-ca.key").read_bytes())
    credential = SERVER_CREDENTIALS["common-name-only"].build(ca, NOW).credential
    directory = tmp_path_factory.mktemp("common-name")
    for name in ("server-ca.crt", "client-ca.crt"):
        (directory / name).write_bytes((certs / name).read_bytes())
    write(directory / "server", credential.certificate_pem(), credential.key_pem())
    return directory


@pytest.mark.parametrize("sni", [None, ""])
@pytest.mark.parametrize(("strict", "code"), [(False, None), (True, 62)])
def test_strict_names_stand_in_the_subject_alternative_name(
    common_name: Path, sni: str | None, strict: bool, code: int | None
) -> None:
    with serving(common_name) as server:
        seen = attempt(to(server, common_name, sni=sni, strict_names=strict))
    assert seen.verify_code == code


def test_the_client_connects_from_the_address_that_it_is_given(certs: Path) -> None:
    with serving(certs) as server:
        assert attempt(to(server, certs, source="127.0.0.2")).status == 200
        assert attempt(to(server, certs)).status == 200
        nowhere = attempt(to(server, certs, source="192.0.2.1"))
    assert [one.address for one in server.heard] == ["127.0.0.2", "127.0.0.1"]
    assert (nowhere.phase, nowhere.status) == (Phase.CONNECT, None)


# --- without TLS


def test_a_plain_request_is_answered_in_clear() -> None:
    asked = []

    def answer(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(PAGE)

    with tcp_server(answer) as port:
        what = Attempt(port=port, address="127.0.0.1", plain=True)
        seen = attempt(what)
    assert (seen.phase, seen.status, seen.body, seen.body_size) == (Phase.DONE, 200, "hello", 5)
    assert (seen.tls_version, seen.alpn, seen.resumed, seen.certificate_requested) == ("", None, None, None)
    assert asked[0].startswith(b"GET /hello-world.txt HTTP/1.1\r\n")
    assert what.url.startswith("http://")


@pytest.mark.parametrize(
    ("said", "side", "alert", "closed"),
    [
        (b"", Side.PEER, "", True),
        (bytes.fromhex("15 0301 0002 02 46"), Side.PEER, "protocol_version", False),
        (b"\x16\x03\x03\x00\x04what", Side.LOCAL, "", False),
    ],
    ids=["nothing", "an alert", "nonsense"],
)
def test_what_is_no_answer_to_a_plain_request(said: bytes, side: Side, alert: str, closed: bool) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(said)

    with tcp_server(answer) as port:
        seen = attempt(Attempt(port=port, address="127.0.0.1", plain=True))
    assert (seen.phase, seen.side, seen.alert, seen.closed) == (Phase.READ, side, alert, closed)
    assert (seen.status, seen.preface, seen.heard) == (None, "", bool(said))


# --- a ClientHello made by hand


def test_the_servers_first_record_answers_a_hello_made_by_hand(certs: Path) -> None:
    agreeable = client_hello(TLS_1_2, USUAL_SUITES, "localhost")
    broken = client_hello(TLS_1_2, NO_PROTECTION_SUITES, "localhost")
    with serving(certs) as server:
        agreed, refused = (attempt(to(server, certs, hello=message)) for message in (agreeable, broken))
    assert (agreed.phase, agreed.side, agreed.agreed) == (Phase.HANDSHAKE, Side.LOCAL, True)
    assert (agreed.tls_version, agreed.cipher) == ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
    assert (refused.agreed, refused.alert, refused.alert_from) == (False, "handshake_failure", Side.PEER)


# --- the body


def observe(certs: Path, answer: bytes, *, goodbye: bool = True) -> Observation:
    with serving(certs, answer=answer, goodbye=goodbye) as server:
        return attempt(to(server, certs))


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (HEAD + b"Content-Length: 9000\r\n\r\n" + b"x" * 9000, b"x" * 9000),
        (HEAD + b"\r\n" + b"y" * 70000, b"y" * 70000),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (HEAD + b"\r\n" + b"z" * MAX_READ, b"z" * MAX_READ),
    ],
    ids=["with a length", "to the end of the connection", "in chunks", "as much as is read"],
)
def test_a_whole_body_has_a_size_and_a_digest(certs: Path, answer: bytes, body: bytes) -> None:
    seen = observe(certs, answer)
    assert (seen.body_size, seen.body_sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert seen.body == body[:2048].decode()


@pytest.mark.parametrize(
    ("answer", "goodbye"),
    [
        (HEAD + b"Content-Length: 9\r\n\r\nhello", True),
        (CHUNKED + b"5\r\nhello\r\n", True),
        (HEAD + b"\r\nhello", False),  # RFC 9112 section 8: without a close_notify it may have been cut
        (HEAD + b"\r\n" + b"z" * (MAX_READ + 1), True),
    ],
    ids=["shorter than it says", "without the last chunk", "without a goodbye", "more than is read"],
)
def test_a_body_whose_end_was_not_seen_has_none(certs: Path, answer: bytes, goodbye: bool) -> None:
    seen = observe(certs, answer, goodbye=goodbye)
    assert (seen.status, seen.body_size, seen.body_sha256) == (200, None, "")
    assert seen.body[:5] in ("hello", "zzzzz")


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<html><TITLE>\n  400 Bad\n </title>", "400 Bad"),
        ("<title></title>", ""),
        ("<title>no end", "no end"),
        ("no title", ""),
        ("<title>" + " " * 10_000_000, ""),
        ("<title>" * 1_000_000, ""),
    ],
    ids=["usual", "empty", "no end", "none", "spaces", "many"],
)
def test_the_title_of_a_page(page: str, title: str) -> None:
    assert title_of(page) == title


# --- the server's certificates


@both_versions
def test_the_servers_chain_is_seen_even_where_it_is_not_trusted(certs: Path, tmp_path: Path, version: str) -> None:
    chain = tmp_path / "chain.crt"
    chain.write_bytes((certs / "server.crt").read_bytes() + (certs / "server-ca.crt").read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, certs / "server.key")
    sent = tuple(ssl.PEM_cert_to_DER_cert((certs / name).read_text()) for name in ("server.crt", "server-ca.crt"))
    server = Server(context)
    with tcp_server(server.serve) as server.port:
        trusted = attempt(to(server, certs, tls_version=version))
        untrusted = attempt(to(server, certs, tls_version=version, host="example.test"))
    assert (trusted.status, trusted.chain) == (200, sent)
    assert (untrusted.verify_code, untrusted.chain) == (62, sent)


# --- recordings


@both_versions
def test_a_recording_holds_all_bytes_and_the_secrets_that_open_them(certs: Path, version: str) -> None:
    with serving(certs) as server:
        seen = attempt(to(server, certs, tls_version=version, ciphers=AEAD_CIPHERS, record=True))
    assert seen.recording is not None
    assert [sender for sender, _ in seen.recording.chunks][:2] == [Sender.CLIENT, Sender.SERVER]
    label = "CLIENT_RANDOM" if version == "1.2" else "CLIENT_TRAFFIC_SECRET_0"
    assert len(seen.recording.secrets[label]) == 48
    assert seen.recording.secrets[label].hex() not in repr(seen)
    assert repr(seen.recording) == "Recording()"


def test_nothing_is_kept_unless_it_is_asked_for(certs: Path) -> None:
    with serving(certs) as server:
        seen = attempt(to(server, certs))
    assert (seen.status, seen.recording, seen.session) == (200, None, None)


@pytest.mark.parametrize("changes", [{"record": True}, {"renegotiate": True, "tls_version": "1.2"}], ids=str)
def test_secrets_have_no_name_on_disk_while_the_client_is_connected(
    certs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    lying_there = []

    def connect(*arguments: Any) -> socket.socket:
        lying_there.append(list(tmp_path.iterdir()))
        return real(*arguments)

    real = connection.connect
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(engine, "connect", connect)
    with serving(certs) as server:
        seen = attempt(to(server, certs, ciphers=AEAD_CIPHERS, **changes))
    assert seen.tls_version
    assert lying_there == [[]]
    assert list(tmp_path.iterdir()) == []


def test_a_context_that_others_use_logs_no_secrets(certs: Path) -> None:
    """An attempt on record has a context of its own."""
    with serving(certs) as server:
        what = to(server, certs, keep_session=True)
        first, recorded, second = (attempt(one) for one in (what, dataclasses.replace(what, record=True), what))
    contexts = [one.session.context for one in (first, recorded, second) if one.session is not None]
    assert len(contexts) == 3
    assert contexts[0] is contexts[2]
    assert contexts[0] is not contexts[1]
    assert [context.keylog_filename for context in contexts] == [None, None, None]


# --- a second handshake


@pytest.mark.parametrize("end", ["alert", "end of the connection"])
def test_a_server_that_does_not_renegotiate_is_heard_to_say_so(certs: Path, end: str) -> None:
    context = server_context(certs, ssl.CERT_NONE)
    context.options |= ssl.OP_NO_RENEGOTIATION

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            if end == "alert":
                tls.recv(1)

    with crowd_server(answer) as port:
        seen = attempt(
            Attempt(
                port=port,
                address="127.0.0.1",
                cacert=certs / "server-ca.crt",
                tls_version="1.2",
                ciphers=AEAD_CIPHERS,
                renegotiate=True,
            )
        )
    assert seen.renegotiated is False
    assert (seen.phase, seen.side, seen.tls_version) == (Phase.SEND, Side.PEER, "1.2")
    assert (seen.alert == "no_renegotiation") if end == "alert" else (seen.closed or seen.alert == "close_notify")


def test_a_refused_first_handshake_is_no_refused_second_one(certs: Path) -> None:
    with serving(certs) as server:
        server.context.minimum_version = ssl.TLSVersion.TLSv1_3
        seen = attempt(to(server, certs, tls_version="1.2", ciphers=AEAD_CIPHERS, renegotiate=True))
    assert (seen.renegotiated, seen.alert, seen.phase) == (None, "protocol_version", Phase.HANDSHAKE)


@pytest.mark.parametrize("code", [0xC02B, 0xC02C, 0xCCA9], ids=lambda code: SUITES[code].name)
def test_what_is_sealed_can_be_opened(code: int) -> None:
    secrets = read_key_log(f"CLIENT_RANDOM {'11' * 32} {'22' * 48}")
    ours, theirs = (tls12_protection(SUITES[code], secrets, Sender.CLIENT, bytes(64), number=1) for _ in range(2))
    assert ours is not None
    assert theirs is not None
    for text in (b"first", b"second"):
        sealed = ours.seal(22, text)
        assert text not in sealed
        assert theirs.open(sealed[:5], sealed[5:]) == (22, text)

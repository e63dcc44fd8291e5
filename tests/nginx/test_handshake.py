"""The recorder shows every message of a real handshake, of whatever server, and never stumbles over what it is sent."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mtlslab.handshake import Message, Sender, Transcript, record, record_handshake
from mtlslab.handshake.decode import decode
from mtlslab.handshake.messages import NO_CERTIFICATE, describe
from mtlslab.pki import load_credential
from mtlslab.pki.faults import build
from mtlslab.probe import attempt as engine
from mtlslab.probe import connection
from mtlslab.probe.attempt import attempt as probe
from mtlslab.probe.model import Attempt, KeyFiles
from mtlslab.verify.context import credential_files
from mtlslab.verify.pictures import THIEF, examples, record_examples

from tests.support.verify_lab import NOW, RunningLab, alerting_server, make_lab, tcp_server

Recorded = tuple[list[tuple[Sender, bytes]], dict[str, bytes]]
"""The bytes that went over the wire, and the secrets that open them."""
VERSIONS = ("1.2", "1.3")
HELLOS_12 = ["ClientHello", "ServerHello", "Certificate", "ServerKeyExchange", "CertificateRequest", "ServerHelloDone"]
HELLOS_13 = [
    *("ClientHello", "ServerHello", "ChangeCipherSpec", "EncryptedExtensions", "CertificateRequest", "Certificate"),
    *("CertificateVerify", "Finished", "ChangeCipherSpec"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, nginx_binary: Path) -> Iterator[RunningLab]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        ports = (first.getsockname()[1], second.getsockname()[1])
    running = make_lab(tmp_path_factory.mktemp("lab"), nginx_binary, ports)
    steal(running.directory)
    running.start()
    yield running
    running.stop()


def steal(directory: Path) -> None:
    """Put the stolen certificate of the zoo into a workspace."""
    ca, server = (
        load_credential(*((directory / f"certs/{name}.{kind}").read_bytes() for kind in ("crt", "key")))
        for name in ("client-ca", "server")
    )
    stolen = build(THIEF, client_ca=ca, server=server, now=NOW)
    assert stolen.certificate is not None
    assert stolen.key is not None
    files = credential_files(directory, THIEF)
    files.certificate.parent.mkdir(exist_ok=True)
    files.certificate.write_bytes(stolen.certificate)
    files.key.write_bytes(stolen.key)


def attempt(lab: RunningLab, credential: str | None = "client", version: str | None = None, port: int = 0) -> Attempt:
    return Attempt(
        port=port or lab.context.mtls_port,
        address="127.0.0.1",
        cacert=lab.directory / "certs/server-ca.crt",
        credential=credential_files(lab.directory, credential) if credential else None,
        tls_version=version,
    )


def names(transcript: Transcript) -> list[str]:
    return [message.name for message in transcript.messages if message.name != "NewSessionTicket"]


def sent(transcript: Transcript, sender: Sender, name: str) -> Message:
    return next(message for message in transcript.messages if (message.sender, message.name) == (sender, name))


def test_a_served_client_in_tls_1_3(lab: RunningLab) -> None:
    transcript = record_handshake(attempt(lab, version="1.3"))
    assert names(transcript) == [
        *HELLOS_13,
        *("Certificate", "CertificateVerify", "Finished", "ApplicationData", "ApplicationData", "Alert"),
    ]
    assert transcript.ending == "served with HTTP 200"
    assert (transcript.tls_version, transcript.cipher) == ("1.3", "TLS_AES_256_GCM_SHA384")
    assert not transcript.error


def test_a_served_client_in_tls_1_2(lab: RunningLab) -> None:
    transcript = record_handshake(attempt(lab, version="1.2"))
    assert names(transcript) == [
        *HELLOS_12,
        *("Certificate", "ClientKeyExchange", "CertificateVerify", "ChangeCipherSpec", "Finished"),
        *("ChangeCipherSpec", "Finished", "ApplicationData", "ApplicationData", "Alert"),
    ]
    assert transcript.ending == "served with HTTP 200"
    assert transcript.tls_version == "1.2"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_without_a_certificate_sends_an_empty_one_and_is_refused_by_http(
    lab: RunningLab, version: str
) -> None:
    transcript = record_handshake(attempt(lab, None, version))
    assert sent(transcript, Sender.CLIENT, "Certificate").details == {"certificate": NO_CERTIFICATE}
    assert "CertificateVerify" not in [m.name for m in transcript.messages if m.sender is Sender.CLIENT]
    assert transcript.ending == "refused with HTTP 400"
    assert transcript.decisive is not None
    assert transcript.decisive.details["page"] == "400 No required SSL certificate was sent"
    assert transcript.decisive.details["X-SSL-Client-Verify"] == "NONE"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_thief_is_refused_by_an_alert(lab: RunningLab, version: str) -> None:
    """The alert is the last message: the client has read it before it would have sent its request."""
    transcript = record_handshake(attempt(lab, THIEF, version))
    last = transcript.messages[-1]
    assert (last.sender, last.label) == (Sender.SERVER, "Alert (fatal, decrypt_error)")
    assert transcript.decisive == last
    assert transcript.ending == "refused with the TLS alert decrypt_error"
    assert "decrypt error" in transcript.error


@pytest.mark.parametrize("version", VERSIONS)
def test_only_tls_1_3_hides_the_certificates(lab: RunningLab, version: str) -> None:
    transcript = record_handshake(attempt(lab, version=version))
    shown = [message for message in transcript.messages if message.name in ("Certificate", "CertificateRequest")]
    assert len(shown) == 3
    assert {message.encrypted for message in shown} == {version == "1.3"}
    hidden = [message for message in transcript.messages if message.name in ("Finished", "ApplicationData")]
    assert len(hidden) >= 4
    assert all(message.encrypted for message in hidden)


@pytest.mark.parametrize("version", VERSIONS)
def test_who_is_who_stands_in_the_messages(lab: RunningLab, version: str) -> None:
    transcript = record_handshake(attempt(lab, version=version))
    hello = sent(transcript, Sender.CLIENT, "ClientHello").details
    assert (hello["server name"], hello["versions"]) == ("localhost", f"TLS {version}")
    assert sent(transcript, Sender.SERVER, "ServerHello").details["version"] == f"TLS {version}"
    request = sent(transcript, Sender.SERVER, "CertificateRequest").details
    certificate = sent(transcript, Sender.CLIENT, "Certificate").details
    assert request["CA names"] == certificate["issuer"] == "CN=lecture client CA,O=lecture"
    assert certificate["subject"] == "CN=client,O=lecture"
    assert sent(transcript, Sender.SERVER, "Certificate").details["issuer"] == "CN=lecture server CA,O=lecture"
    assert sent(transcript, Sender.CLIENT, "CertificateVerify").details["signature"] == "ecdsa_secp256r1_sha256"


def test_without_a_wish_both_versions_are_offered(lab: RunningLab) -> None:
    transcript = record_handshake(attempt(lab))
    assert sent(transcript, Sender.CLIENT, "ClientHello").details["versions"] == "TLS 1.3, TLS 1.2"


def test_the_nonce_is_asked_for_as_a_probe_asks(lab: RunningLab) -> None:
    transcript = record_handshake(dataclasses.replace(attempt(lab), nonce="a1b2"))
    assert sent(transcript, Sender.CLIENT, "ApplicationData").label == "GET /hello-world.txt?probe=a1b2 HTTP/1.1"


@pytest.mark.parametrize("credential", ["client", None, THIEF])
@pytest.mark.parametrize("version", VERSIONS)
def test_recorder_and_probe_see_the_same(lab: RunningLab, version: str, credential: str | None) -> None:
    """Two ways to look at the messages, one private to CPython and one public, agree on how it ended."""
    what = attempt(lab, credential, version)
    seen, transcript = probe(what), record_handshake(what)
    decisive = transcript.decisive
    assert decisive is not None
    assert (seen.status, seen.alert) == (decisive.status, decisive.details.get("description", ""))
    assert seen.certificate_requested == ("CertificateRequest" in names(transcript))


def test_a_client_that_does_not_trust_the_server_says_so_itself(lab: RunningLab) -> None:
    transcript = record_handshake(dataclasses.replace(attempt(lab), cacert=None))
    assert transcript.ending == "the client refuses the server with the TLS alert unknown_ca"
    assert transcript.messages[-1].sender is Sender.CLIENT
    assert transcript.error == "unable to get local issuer certificate"


@pytest.mark.parametrize(("version", "alert"), [("1.2", "handshake_failure"), ("1.3", "certificate_required")])
def test_a_python_server_refuses_a_client_without_certificate_by_an_alert(
    lab: RunningLab, version: str, alert: str
) -> None:
    with alerting_server(lab.directory) as port:
        transcript = record_handshake(attempt(lab, None, version, port))
    assert transcript.ending == f"refused with the TLS alert {alert}"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_python_server_refuses_an_unknown_ca_by_an_alert(lab: RunningLab, version: str) -> None:
    with alerting_server(lab.directory, tickets=0) as port:
        transcript = record_handshake(attempt(lab, "other-ca", version, port))
    assert transcript.ending == "refused with the TLS alert unknown_ca"


@contextlib.contextmanager
def special_server(lab: RunningLab, *, ciphers: str = "", curve: str = "") -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(lab.directory / "certs/server.crt", lab.directory / "certs/server.key")
    if ciphers:
        context.set_ciphers(ciphers)
    if curve:
        context.set_ecdh_curve(curve)

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(4096)
            tls.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            tls.sendall(b"hello ")
            tls.sendall(b"again")

    with tcp_server(answer) as port:
        yield port


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"])
def test_other_aead_suites_are_opened_too(lab: RunningLab, cipher: str) -> None:
    with special_server(lab, ciphers=cipher) as port:
        transcript = record_handshake(attempt(lab, None, "1.2", port))
    assert transcript.ending == "served with HTTP 200"
    assert "encrypted record" not in names(transcript)


def test_a_hello_retry_request_is_followed(lab: RunningLab) -> None:
    """A server that wants another group than the client guessed asks for a second ClientHello."""
    with special_server(lab, curve="secp384r1") as port:
        transcript = record_handshake(attempt(lab, None, "1.3", port))
    hellos = [name for name in names(transcript) if name.startswith(("Client", "Server", "Hello"))]
    assert hellos == ["ClientHello", "HelloRetryRequest", "ClientHello", "ServerHello"]
    assert transcript.ending == "served with HTTP 200"


def test_what_goes_over_the_wire_is_told_to_its_end(lab: RunningLab) -> None:
    """Also where the answer was complete before: the last word is the server's close_notify."""
    transcript = record_handshake(attempt(lab))
    assert transcript.messages[-1].sender is Sender.SERVER
    assert transcript.messages[-1].label == "Alert (warning, close_notify)"


def test_an_answer_in_several_records_is_one_message(lab: RunningLab) -> None:
    with special_server(lab) as port:
        transcript = record_handshake(attempt(lab, None, None, port))
    answers = [m for m in transcript.messages if (m.sender, m.name) == (Sender.SERVER, "ApplicationData")]
    assert [(m.size, m.details["page"]) for m in answers] == [(30, "hello again")]


def test_a_server_without_aead_is_told_as_a_refusal(lab: RunningLab) -> None:
    with special_server(lab, ciphers="ECDHE-ECDSA-AES128-SHA256") as port:
        transcript = record_handshake(attempt(lab, None, "1.2", port))
    assert transcript.ending == "refused with the TLS alert handshake_failure"


def test_a_port_that_does_not_speak_tls_is_quoted(lab: RunningLab) -> None:
    with tcp_server(lambda connection: connection.sendall(b"220 mail.example ESMTP\r\n")) as port:
        transcript = record_handshake(attempt(lab, None, None, port))
    assert transcript.ending == "the port does not speak TLS"
    assert transcript.decisive is not None
    assert transcript.decisive.details == {"text": "220 mail.example ESMTP"}


def test_a_closed_port_leaves_no_messages_and_a_reason(lab: RunningLab, free_ports: tuple[int, int]) -> None:
    transcript = record_handshake(attempt(lab, port=free_ports[0]))
    assert transcript.messages == ()
    assert transcript.ending == "no answer: Connection refused"


def hears_a_byte(connection: socket.socket) -> None:
    connection.recv(1)


def test_a_server_that_hangs_up_leaves_the_clients_half(lab: RunningLab) -> None:
    with tcp_server(hears_a_byte) as port:
        transcript = record_handshake(attempt(lab, None, None, port))
    assert names(transcript) == ["ClientHello"]
    assert transcript.ending.startswith("no answer: ")


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(lab: RunningLab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        what = dataclasses.replace(attempt(lab, None, None, silent.getsockname()[1]), timeout=0.1)
        transcript = record_handshake(what)
    assert transcript.ending == "no answer within 0.1 s"
    assert names(transcript) == ["ClientHello"]


def test_a_missing_key_is_a_reason_not_an_exception(lab: RunningLab) -> None:
    gone = KeyFiles(lab.directory / "certs/client.crt", lab.directory / "certs/gone.key")
    transcript = record_handshake(dataclasses.replace(attempt(lab), credential=gone))
    assert transcript.messages == ()
    assert transcript.error == "No such file or directory"


def test_the_secrets_leave_no_file_behind(lab: RunningLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for a moment in which the program could be killed: the name is gone before anything is sent."""
    left_while_connecting = []

    real = connection.connect

    def connecting(*arguments: Any) -> socket.socket:
        left_while_connecting.append(list(tmp_path.iterdir()))
        return real(*arguments)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(engine, "connect", connecting)
    assert record_handshake(attempt(lab)).ending == "served with HTTP 200"
    assert left_while_connecting == [[]]
    assert list(tmp_path.iterdir()) == []


def test_the_three_examples_end_in_three_ways(lab: RunningLab) -> None:
    asked_for: list[str] = []
    pictures = record_examples(lab.context, asked_for.extend)
    assert asked_for == [THIEF]
    assert [picture.transcript.ending for picture in pictures] == [
        "served with HTTP 200",
        "refused with HTTP 400",
        "refused with the TLS alert decrypt_error",
    ]
    assert [picture.id for picture in pictures] == [example.id for example in examples(lab.context)]


def test_a_transcript_goes_into_json(lab: RunningLab) -> None:
    mapping = json.loads(json.dumps(record_handshake(attempt(lab)).to_mapping()))
    assert mapping["ending"] == "served with HTTP 200"
    assert mapping["messages"][0]["direction"] == "client -> server"
    assert {"name", "size", "encrypted", "details"} < mapping["messages"][0].keys()


@pytest.fixture(scope="module", params=VERSIONS)
def recorded(lab: RunningLab, request: pytest.FixtureRequest) -> Recorded:
    """The bytes and the secrets of a real attempt."""
    kept = []

    def keep(chunks: list[tuple[Sender, bytes]], secrets: dict[str, bytes]) -> object:
        kept.append((chunks, secrets))
        return decode(chunks, secrets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "decode", keep)
        record_handshake(attempt(lab, version=request.param))
    return kept[0]


def test_without_the_secrets_encrypted_records_stay_closed(recorded: Recorded) -> None:
    """What the recorder shows beyond that is really the work of the secrets."""
    chunks, secrets = recorded
    closed, opened = decode(chunks, {}), decode(chunks, secrets)
    assert "encrypted record" in [message.name for message in closed.messages]
    assert not [message for message in closed.messages if message.status]
    assert "encrypted record" not in [message.name for message in opened.messages]


def test_no_damaged_byte_makes_it_stumble(recorded: Recorded) -> None:
    chunks, secrets = recorded
    for index, (sender, data) in enumerate(chunks):
        for position in range(0, len(data), max(1, len(data) // 60)):
            damaged = bytearray(data)
            damaged[position] ^= 0xFF
            decoded = decode([*chunks[:index], (sender, bytes(damaged)), *chunks[index + 1 :]], secrets)
            assert decoded.messages


def test_no_early_end_makes_it_stumble(recorded: Recorded) -> None:
    chunks, secrets = recorded
    for index, (sender, data) in enumerate(chunks):
        for length in range(0, len(data), max(1, len(data) // 30)):
            decode([*chunks[:index], (sender, data[:length])], secrets)


@given(st.lists(st.tuples(st.sampled_from(list(Sender)), st.binary(max_size=80)), max_size=6))
def test_no_garbage_makes_it_stumble(chunks: list[tuple[Sender, bytes]]) -> None:
    decode(chunks, {"CLIENT_RANDOM": bytes(48)})


@given(st.integers(0, 30), st.binary(max_size=200), st.sampled_from(["", "1.2", "1.3"]))
def test_no_content_of_a_message_makes_it_stumble(kind: int, body: bytes, version: str) -> None:
    name, details = describe(bytes([kind]) + len(body).to_bytes(3) + body, version)
    assert name
    assert all(text.isprintable() for text in details.values())

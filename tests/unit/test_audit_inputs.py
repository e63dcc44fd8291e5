"""What the audit is given, and how it judges: bad input is refused with words, equal facts get equal verdicts."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mtlslab import pki
from mtlslab.audit import make_request, parse_target
from mtlslab.audit.judge import Scene, judge_authorised, judge_unauthorised
from mtlslab.errors import SpecError
from mtlslab.handshake.authorities import announced_names
from mtlslab.probe.model import Observation, Phase, Side
from mtlslab.verify.checks.model import Result

from tests.support.cli import mtlslab
from tests.support.foreign_servers import make_certificates


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certs"))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://localhost", ("localhost", 443, "/")),
        ("https://LOCALHOST:8889/", ("localhost", 8889, "/")),
        ("https://[::1]:8889", ("::1", 8889, "/")),
        ("https://[0:0::1]", ("::1", 443, "/")),
        ("https://127.0.0.1:1/a/b?c=d", ("127.0.0.1", 1, "/a/b?c=d")),
        ("https://bücher.example", ("xn--bcher-kva.example", 443, "/")),
        ("https://a_b.example./ä", ("a_b.example.", 443, "/%C3%A4")),
    ],
)
def test_a_url_is_taken_apart(url: str, target: tuple[str, int, str]) -> None:
    assert dataclasses.astuple(parse_target(url)) == target


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "https://"),
        ("localhost:8889", "https://"),
        ("http://localhost", "https://"),
        ("https://", "no host"),
        ("https://:8889", "no host"),
        ("https://user:secret@localhost", "no user name or password"),
        ("https://localhost/#top", "no fragment"),
        ("https://localhost/#", "no fragment"),
        ("https://localhost:0", "port 0"),
        ("https://localhost:65536", "ort"),
        ("https://localhost:http", "ort"),
        ("https://[::1", "IPv6"),
        ("https://[fe80::1%25eth0]", "no host name or address"),
        ("https://-x.example", "no host name"),
        ("https://a..b", "no host name"),
        ("https://127.1", "no host name"),
        ("https://1.2.3.400", "no host name"),
        (f"https://{'a' * 64}.example", "no host name"),
        ("https://local host", "spaces"),
        ("https://localhost/\r\nX-Evil: 1", "control characters"),
        ("https://localhost\x00", "control characters"),
    ],
)
def test_what_is_no_such_url_is_refused_with_the_reason(url: str, problem: str) -> None:
    with pytest.raises(SpecError, match="is no URL that can be audited") as caught:
        parse_target(url)
    assert problem in caught.value.why


@pytest.mark.parametrize(
    ("url", "path"), [("https://a/b", "/c"), ("https://a", "c"), ("https://a", "/c d"), ("https://a", "/c#d")]
)
def test_a_path_is_named_once_and_is_one(url: str, path: str) -> None:
    with pytest.raises(SpecError):
        parse_target(url, path)


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    """No exception of another kind, and nothing in the request line that could end it."""
    for url in (text, f"https://{text}", f"https://localhost/{text}"):
        try:
            target = parse_target(url)
        except SpecError:
            continue
        assert target.host.isascii()
        assert target.host.isprintable()
        assert target.path.isascii()
        assert not set(target.path) & set(" \r\n#")


BAD_FILES: dict[str, tuple[tuple[str, ...], str]] = {
    "no cacert": (("--cacert", "none.crt"), "no such file"),
    "a directory": (("--cacert", "."), "no regular file"),
    "a fifo": (("--cacert", "fifo"), "no regular file"),
    "an empty cacert": (("--cacert", "empty"), "it is empty"),
    "cacert and insecure": (("--cacert", "server-ca.crt", "--insecure"), "contradict"),
    "key alone": (("--key", "client.key"), "needs the certificate"),
    "cert without its key": (("--cert", "client.crt"), "cannot be used"),
    "another's key": (("--cert", "client.crt", "--key", "server.key"), "--key server.key cannot be used"),
    "a certificate as key": (("--cert", "client.crt", "--key", "client.crt"), "no private key in it"),
    "half a key": (("--cert", "client.crt", "--key", "half.key"), "--key half.key cannot be used"),
    "a key of OpenSSH": (("--cert", "client.crt", "--key", "ssh.key"), "another form of PEM: ssh-keygen"),
    "a key as anchors": (("--cacert", "client.key"), "it is a private key in PEM"),
    "an encrypted key": (("--cert", "client.crt", "--key", "locked.key"), "a password is needed"),
    "CA key alone": (("--client-ca-key", "client-ca.key"), "needs the CA's certificate"),
    "a client as CA": (("--client-ca-cert", "client.crt"), "no certificate of a CA"),
    "garbage as CA": (("--client-ca-cert", "empty"), "it is empty"),
    "another CA's key": (
        ("--client-ca-cert", "client-ca.crt", "--client-ca-key", "server-ca.key"),
        "does not belong to the certificate",
    ),
    "no time": (("--timeout", "0"), "more than 0"),
    "no number": (("--timeout", "nan"), "more than 0"),
    "for ever": (("--timeout", "inf"), "more than 0"),
    "no format": (("-o", "yaml"), "text, short, json, junit, tap, html"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_input_is_refused_before_anything_is_sent(name: str, certs: Path) -> None:
    """Exit status 2, in words; the port is closed, and nobody notices."""
    options, words = BAD_FILES[name]
    (certs / "empty").write_text("")
    if not (certs / "fifo").exists():
        os.mkfifo(certs / "fifo")
        _lock(certs / "client.key", certs / "locked.key")
        (certs / "half.key").write_bytes((certs / "client.key").read_bytes()[:60])
        (certs / "ssh.key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    done = mtlslab("audit", "https://localhost:1", *options, cwd=certs)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def _lock(key: Path, locked: Path) -> None:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    encryption = BestAvailableEncryption(b"secret")
    loaded = pki.load_key(key.read_bytes())
    locked.write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


def test_certificate_and_key_may_lie_in_one_file(certs: Path) -> None:
    both = certs / "both.pem"
    both.write_bytes((certs / "client.crt").read_bytes() + (certs / "client.key").read_bytes())
    request = make_request("https://localhost", cert=both)
    assert request.credential
    assert request.credential.key == both


def answer(status: int, body: str = "page", **more: Any) -> Observation:
    return Observation(phase=Phase.DONE, status=status, body=body, heard=True, certificate_requested=True, **more)


NGINX_PAGE = "<title>400 No required SSL certificate was sent</title>"
ALERT = Observation(
    phase=Phase.HANDSHAKE, side=Side.PEER, alert="unknown_ca", alert_from=Side.PEER, certificate_requested=True
)
EARLY_ALERT = dataclasses.replace(ALERT, alert="internal_error", certificate_requested=None)
CLOSED = Observation(phase=Phase.READ, side=Side.PEER, closed=True, heard=True, presented=True)
SILENT = Observation(phase=Phase.READ, error="no answer within 5 s")
GOOD = answer(200)
PAGE = "Hello to whom it may concern"


@pytest.mark.parametrize(
    ("seen", "right", "result"),
    [
        (GOOD, None, Result.FAIL),
        (GOOD, GOOD, Result.FAIL),
        (answer(204, ""), GOOD, Result.FAIL),
        (answer(400, NGINX_PAGE), None, Result.PASS),
        (answer(400, NGINX_PAGE), answer(400, NGINX_PAGE), Result.INCONCLUSIVE),
        (answer(496, ""), None, Result.PASS),
        (answer(403), None, Result.INCONCLUSIVE),
        (answer(403, "403.7 - client certificate required"), None, Result.PASS),
        (answer(403), GOOD, Result.PASS),
        (answer(403), answer(403), Result.INCONCLUSIVE),
        (answer(403), answer(403, "other"), Result.INCONCLUSIVE),
        (answer(404), answer(404), Result.FAIL),
        (answer(404), None, Result.INCONCLUSIVE),
        (answer(302, headers={"location": "/login"}), GOOD, Result.PASS),
        (answer(302, headers={"location": "/a"}), answer(302, headers={"location": "/b"}), Result.INCONCLUSIVE),
        (answer(403, f"Refused. {PAGE}"), answer(200, PAGE), Result.FAIL),
        (answer(403, f"Refused. {PAGE}"), answer(404, PAGE), Result.PASS),
        (answer(502), GOOD, Result.INCONCLUSIVE),
        (answer(101), GOOD, Result.INCONCLUSIVE),
        (ALERT, None, Result.PASS),
        (ALERT, GOOD, Result.PASS),
        (EARLY_ALERT, None, Result.INCONCLUSIVE),
        (EARLY_ALERT, GOOD, Result.PASS),
        (EARLY_ALERT, EARLY_ALERT, Result.INCONCLUSIVE),
        (CLOSED, None, Result.INCONCLUSIVE),
        (CLOSED, GOOD, Result.PASS),
        (CLOSED, CLOSED, Result.INCONCLUSIVE),
        (SILENT, GOOD, Result.INCONCLUSIVE),
        (dataclasses.replace(GOOD, presented=False), GOOD, Result.INCONCLUSIVE),
    ],
)
def test_what_becomes_of_a_stranger_is_judged(seen: Observation, right: Observation | None, result: Result) -> None:
    verdict = judge_unauthorised(seen, right, has_certificate=True)
    assert (verdict.result, verdict.reason.endswith((".", ")"))) == (result, True), verdict


def test_a_closed_connection_refuses_if_the_server_insists_elsewhere() -> None:
    """A server that has asked for a certificate in so many words hangs up on a bad one for a reason."""
    assert judge_unauthorised(CLOSED, None, has_certificate=True, insists=True).result is Result.PASS


def test_an_alert_without_a_reason_does_not_tell_who_may_come_in() -> None:
    """The server may look at the issuer, or compare a name only; only the authorised client can tell."""
    vague = dataclasses.replace(ALERT, alert="bad_certificate", presented=True)
    scene = Scene(vague=True)
    assert judge_unauthorised(vague, None, has_certificate=True, scene=scene).result is Result.INCONCLUSIVE
    assert judge_unauthorised(vague, None, has_certificate=True).result is Result.PASS
    assert judge_unauthorised(vague, GOOD, has_certificate=True, scene=scene).result is Result.PASS


def test_closing_instead_of_finishing_the_handshake_is_a_refusal() -> None:
    """It came after the question for a certificate; after the handshake it may be about anything."""
    unfinished = dataclasses.replace(CLOSED, certificate_requested=True, presented=False)
    finished = dataclasses.replace(unfinished, finished=True)
    assert judge_unauthorised(unfinished, None, has_certificate=False).result is Result.PASS
    assert judge_unauthorised(finished, None, has_certificate=False).result is Result.INCONCLUSIVE


def test_a_server_that_never_says_a_word_may_compare_a_name_only() -> None:
    """It hangs up on every certificate; one that has said that it wants one is about the certificate."""
    seen = dataclasses.replace(CLOSED, certificate_requested=True)
    assert judge_unauthorised(seen, None, has_certificate=True).result is Result.INCONCLUSIVE
    assert judge_unauthorised(seen, None, has_certificate=True, insists=True).result is Result.PASS


@pytest.mark.parametrize(
    ("seen", "result"),
    [
        (GOOD, Result.PASS),
        (answer(404), Result.WARN),
        (answer(302), Result.PASS),
        (answer(403), Result.INCONCLUSIVE),
        (answer(500), Result.INCONCLUSIVE),
        (answer(400, "The SSL certificate error"), Result.FAIL),
        (ALERT, Result.FAIL),
        (EARLY_ALERT, Result.INCONCLUSIVE),
        (CLOSED, Result.FAIL),
        (SILENT, Result.INCONCLUSIVE),
    ],
)
def test_what_becomes_of_the_right_client_is_judged(seen: Observation, result: Result) -> None:
    assert judge_authorised(seen).result is result


@given(st.binary(max_size=200), st.booleans())
def test_any_certificate_request_is_read(data: bytes, tls13: bool) -> None:
    """The server writes it: whatever it says, there are names in it or not."""
    assert announced_names(data, tls13=tls13) is not None


def test_names_that_cannot_be_read_are_left_out() -> None:
    good = pki.distinguished_name("a CA", "Ä").public_bytes()
    names = b"".join(len(name).to_bytes(2) + name for name in (b"junk", good, b"\x30\x00"))
    body = b"\x01\x01" + b"\x00\x02\x04\x03" + len(names).to_bytes(2) + names
    found = announced_names(b"\x0d" + len(body).to_bytes(3) + body, tls13=False)
    assert [name.rfc4514_string() for name in found] == ["CN=a CA,O=Ä", ""]

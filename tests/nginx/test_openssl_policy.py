"""The OpenSSL policy of a machine (OPENSSL_CONF) is its clients' affair: no server and no key is blamed for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brought import PORTS, rendered, served, verified
from tests.support.cli import mtlslab, python

_HEAD = "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = sys\n[sys]\n"
# Policies under which everything can be judged: the checks name their versions themselves.
HARMLESS = {
    "level-3": "CipherString = DEFAULT@SECLEVEL=3",
    "newest-only": "MinProtocol = TLSv1.3",
    "one-suite": "CipherString = ECDHE-ECDSA-AES256-GCM-SHA384\nCiphersuites = TLS_AES_256_GCM_SHA384",
}
# Policies under which clients have nothing in common with the server, and the words for what is lacking.
NARROW = {
    "old-only": ("MaxProtocol = TLSv1.2", "TLS 1.3"),
    "other-group": ("Groups = P-521", "X25519 or P-256"),
    "no-usable-group": ("Groups = brainpoolP256r1", "no suitable groups"),
    "other-signatures": ("SignatureAlgorithms = RSA+SHA512", "signatures by EC keys (P-256)"),
    "no-suites": ("Ciphersuites = ", "anything (no ciphers available)"),
    "nothing": ("MaxProtocol = TLSv1.1", "anything (no protocols available)"),
}
NO_ALGORITHMS = "openssl_conf = init\n[init]\nalg_section = algs\n[algs]\ndefault_properties = fips=yes\n"
NO_PROVIDER = (
    "openssl_conf = init\n[init]\nproviders = all\n[all]\nnone = one\n[one]\nmodule = /none.so\nactivate = 1\n"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, nginx_binary: Path) -> Iterator[Path]:
    """A lab that was started without a policy."""
    directory = rendered(tmp_path_factory.mktemp("policy"))
    with served(directory, "--nginx", str(nginx_binary)) as up:
        assert up.code == 0, up.err
        yield directory


def policy(place: Path, text: str, head: str = _HEAD) -> str:
    file = place / "policy.cnf"
    file.write_text(head + text + "\n")
    return str(file)


@pytest.mark.nginx
@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_a_policy_that_leaves_enough_changes_no_verdict(lab: Path, tmp_path: Path, text: str) -> None:
    """Nothing fails, nothing goes untried, and nginx is heard: its own environment has no such policy."""
    done, findings = verified(lab, OPENSSL_CONF=policy(tmp_path, text))
    assert done.code == 0, done.out
    assert {one["result"] for one in findings.values()} <= {"pass", "warn"}
    assert "config-is-told-by-nginx" in findings


@pytest.mark.nginx
def test_a_security_level_blames_no_server(lab: Path, tmp_path: Path) -> None:
    """Debian's Python takes the level of a policy, and has then nothing in common with the lab; others do not."""
    place = policy(tmp_path, "CipherString = DEFAULT@SECLEVEL=4")
    ask = "import ssl; print(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).security_level)"
    level = python(ask, cwd=tmp_path, OPENSSL_CONF=place)
    assert level.code == 0, level.err
    done, findings = verified(lab, OPENSSL_CONF=place)
    assert done.code == (6 if level.out.strip() == "4" else 0)
    assert [name for name, one in findings.items() if one["result"] == "fail"] == []


@pytest.mark.nginx
@pytest.mark.parametrize(("text", "words"), NARROW.values(), ids=NARROW)
def test_what_this_machines_clients_cannot_speak_is_not_judged(
    lab: Path, tmp_path: Path, text: str, words: str
) -> None:
    """The server, which is right, fails no check; the report names the policy and what it takes away."""
    place = policy(tmp_path, text)
    done, findings = verified(lab, OPENSSL_CONF=place)
    assert done.code == 6
    assert [name for name, one in findings.items() if one["result"] == "fail"] == []
    reasons = [one["reason"] for one in findings.values() if one["result"] == "inconclusive"]
    assert any(place in reason and words in reason for reason in reasons), reasons


@pytest.mark.nginx
def test_a_server_that_fails_for_another_reason_is_blamed_under_a_policy_too(lab: Path, tmp_path: Path) -> None:
    """A policy excuses what it explains: a server that serves anybody is none of it."""
    conf = lab / "nginx-mtls" / "nginx.conf"
    good = conf.read_text()
    conf.write_text(good.replace("ssl_verify_client on;", "ssl_verify_client off;"))
    try:
        assert mtlslab("reload", cwd=lab).code == 0
        done, findings = verified(lab, OPENSSL_CONF=policy(tmp_path, "MaxProtocol = TLSv1.2"))
    finally:
        conf.write_text(good)
        mtlslab("reload", cwd=lab)
    assert done.code == 1
    assert findings["mtls-refuses-no-certificate.tls12"]["result"] == "fail"


@pytest.mark.nginx
@pytest.mark.parametrize(("code", "command"), [(6, ("verify",)), (3, ("certs", "issue", "alice"))])
def test_no_key_is_called_damaged_where_openssl_has_no_algorithms(
    lab: Path, tmp_path: Path, code: int, command: tuple[str, ...]
) -> None:
    done = mtlslab(*command, cwd=lab, OPENSSL_CONF=policy(tmp_path, "", NO_ALGORITHMS))
    assert done.code == code, done.err
    assert "This machine's OpenSSL cannot compute SHA-256" in done.err
    assert "damaged" not in done.err


@pytest.mark.nginx
@pytest.mark.parametrize(
    ("code", "command"),
    [
        (3, ("up", "--dir", "other", "--runtime", "embedded", *PORTS)),
        (3, ("audit", "https://localhost:1", "--cacert", "certs/server-ca.crt")),
        (3, ("audit", "https://localhost:1", "--cert", "certs/client.crt", "--key", "certs/client.key")),
        (6, ("verify",)),
    ],
    ids=["up", "audit-cacert", "audit-cert", "verify"],
)
def test_where_openssl_has_no_ciphers_no_file_is_blamed_and_nobody_waits(
    lab: Path, tmp_path: Path, code: int, command: tuple[str, ...]
) -> None:
    """A provider that is named and missing takes the default ones along."""
    done = mtlslab(*command, cwd=lab, OPENSSL_CONF=policy(tmp_path, "", NO_PROVIDER))
    assert done.code == code, done.err
    assert "This machine's OpenSSL cannot make a TLS client" in done.err
    assert "cannot be used" not in done.err
    assert not (lab / "other").exists()


@pytest.mark.nginx
def test_certificates_that_cannot_be_described_here_are_no_bug(lab: Path, tmp_path: Path) -> None:
    done = mtlslab("certs", "list", cwd=lab, OPENSSL_CONF=policy(tmp_path, "", NO_ALGORITHMS))
    assert done.code == 3
    assert "This machine's OpenSSL cannot compute SHA-256" in done.err


@pytest.mark.nginx
def test_a_key_log_that_cannot_be_written_harms_nothing(lab: Path) -> None:
    done, findings = verified(lab, SSLKEYLOGFILE="/nonexistent/keys.log")
    assert done.code == 0
    assert {one["result"] for one in findings.values()} <= {"pass", "warn"}

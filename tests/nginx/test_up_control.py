"""``up`` says that the lab's client is served after it has been served, and else why it was not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.brought import bring, leaf_of, rendered, served, usual, verified
from tests.support.cli import mtlslab

CONF, PAGE = "nginx-mtls/nginx.conf", "nginx-mtls/hello-world.txt"


@pytest.fixture
def lab(tmp_path: Path, nginx_binary: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab that does not run yet."""
    monkeypatch.setenv("MTLSLAB_NGINX", str(nginx_binary))
    return rendered(tmp_path)


def edit(lab: Path, old: str, new: str) -> None:
    conf = lab / CONF
    assert old in conf.read_text()
    conf.write_text(conf.read_text().replace(old, new))


def other_ca(lab: Path) -> None:
    """The server trusts the intermediate CA alone, as somebody without its root would have it."""
    ca = usual("Client CA", issuer=usual("Root"))
    bring(lab, usual("Server Root"), ca)


def for_servers(lab: Path) -> None:
    """The client's certificate is for servers."""
    ca = usual("Client Root")
    bring(lab, usual("Server Root"), ca)
    client = leaf_of(ca, "client", ExtendedKeyUsageOID.SERVER_AUTH)
    (lab / "certs" / "client.crt").write_bytes(client.certificate_pem())
    (lab / "certs" / "client.key").write_bytes(client.key_pem())


def forbidden(lab: Path) -> None:
    edit(lab, "include listen.conf;", "include listen.conf; if ($uri) { return 403; }")


def nothing_there(lab: Path) -> None:
    edit(lab, "include listen.conf;", "include listen.conf; if ($uri) { return 204; }")


def another_page(lab: Path) -> None:
    edit(lab, "include listen.conf;", 'include listen.conf; if ($uri) { return 200 "Hello!\\n"; }')


@pytest.mark.nginx
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_ca, "HTTP 400 (FAILED:unable to get issuer certificate)"),
        (for_servers, "HTTP 400 (FAILED:unsuitable certificate purpose)"),
        (forbidden, "HTTP 403"),
        (nothing_there, "HTTP 204"),
        (another_page, f"HTTP 200, with another page than {PAGE}"),
    ],
)
def test_a_client_that_is_not_served_is_told_with_the_reason(
    lab: Path, change: Callable[[Path], None], reason: str
) -> None:
    """Exit status 5; the lab runs on, so that it can be looked at."""
    change(lab)
    with served(lab) as up:
        assert up.code == 5, up.out
        assert "is served" not in up.out
        assert f"is NOT served: {reason}" in up.out
        assert reason in up.err
        assert mtlslab("status", cwd=lab).code == 0
        done, _ = verified(lab)
    assert done.code == 1


@pytest.mark.nginx
def test_a_client_that_is_served_is_told_so(lab: Path) -> None:
    """The page may be the user's own."""
    (lab / PAGE).write_text("A page of my own\n")
    with served(lab) as up:
        assert up.code == 0, up.err
        assert "is served: the certificate comes from the client CA" in up.out
        again = mtlslab("up", cwd=lab)
        assert (again.code, "is served" in again.out) == (0, True)


@pytest.mark.nginx
def test_a_policy_of_this_machine_is_given_as_the_reason(lab: Path, tmp_path: Path) -> None:
    """``up`` does not wait for a server that runs: its own client cannot speak to it."""
    policy = tmp_path / "policy.cnf"
    policy.write_text("openssl_conf = i\n[i]\nssl_conf = s\n[s]\nsystem_default = d\n[d]\nGroups = P-521\n")
    up = mtlslab("up", "--runtime", "embedded", cwd=lab, OPENSSL_CONF=str(policy))
    try:
        assert up.code == 5
        assert f"OPENSSL_CONF={policy}" in up.err
        assert mtlslab("status", cwd=lab).code == 0
    finally:
        mtlslab("down", cwd=lab)

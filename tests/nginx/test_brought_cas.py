"""Users bring CAs of every shape: what is expected follows from the certificates at hand, so that no check fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from mtlslab import pki

from tests.support.brought import authority, bring, rendered, served, usual, verified, without_key_usage

Bring = Callable[[Path], None]


def no_key_usage(lab: Path) -> None:
    bring(lab, without_key_usage("Server Root"), without_key_usage("Client Root"))


def no_room_for_cas(lab: Path) -> None:
    bring(lab, usual("Server Root", 0), usual("Client Root", 0))


def one_root(lab: Path) -> None:
    root = usual("The Root")
    bring(lab, root, root)


def one_root_for_any_purpose(lab: Path) -> None:
    root = without_key_usage("The Root")
    bring(lab, root, root, usages=())


def one_root_and_servers_that_are_clients(lab: Path) -> None:
    root = usual("The Root")
    bring(lab, root, root, usages=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH))


def servers_for_any_purpose(lab: Path) -> None:
    bring(lab, usual("Server Root"), usual("Client Root"), usages=())


def last_of_three_anchors(lab: Path) -> None:
    ca = usual("Client Root")
    bring(lab, usual("Server Root"), ca, anchors=(usual("Expired Root", days=-10), usual("Other Root"), ca))


def after_one_of_the_same_name(lab: Path) -> None:
    ca = usual("Client Root")
    bring(lab, usual("Server Root"), ca, anchors=(usual("Client Root"), ca))


def below_a_root(lab: Path) -> None:
    root = usual("Root")
    ca = usual("Client CA", issuer=root)
    bring(lab, usual("Server Root"), ca, anchors=(root, ca))


def for_clients_only(lab: Path) -> None:
    usage = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    constraints = (x509.BasicConstraints(ca=True, path_length=None), True)
    ca = authority("Client Root", constraints, (pki.key_usage("key_cert_sign"), True), usage)
    bring(lab, usual("Server Root"), ca)


SHAPES: dict[Bring, set[str]] = {
    no_key_usage: {"mtls-refuses-client-ca-certificate"},
    no_room_for_cas: set(),
    one_root: {
        *("mtls-refuses-client-of-server-ca", "tls-untrusted-with-client-ca", "mtls-untrusted-with-client-ca"),
        "mtls-keys-have-one-role",
    },
    one_root_for_any_purpose: {
        *("mtls-refuses-client-of-server-ca", "tls-untrusted-with-client-ca", "mtls-untrusted-with-client-ca"),
        *("mtls-refuses-client-ca-certificate", "mtls-refuses-server-certificate", "mtls-keys-have-one-role"),
    },
    one_root_and_servers_that_are_clients: {
        *("mtls-refuses-client-of-server-ca", "tls-untrusted-with-client-ca", "mtls-untrusted-with-client-ca"),
        *("mtls-refuses-server-certificate", "mtls-keys-have-one-role", "mtls-certificates-have-one-purpose"),
        "mtls-servers-show-good-certificates",
    },
    servers_for_any_purpose: set(),
    last_of_three_anchors: {"config-trusts-the-client-ca-only"},
    after_one_of_the_same_name: {"config-trusts-the-client-ca-only"},
    below_a_root: {"config-trusts-the-client-ca-only"},
    for_clients_only: set(),
}
# What the lab's own CAs are warned of, too; the rest of the warnings must follow from the shape.
USUAL = ("mtls-accepts-", "mtls-refuses-revoked")


@pytest.mark.nginx
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_ca_of_any_shape_fails_no_check(tmp_path: Path, nginx_binary: Path, shape: Bring) -> None:
    """``up`` takes the certificates as they are, no check fails or goes untried, and warnings follow from the shape."""
    lab = rendered(tmp_path)
    shape(lab)
    before = {path: path.read_bytes() for path in (lab / "certs").glob("*.*")}
    with served(lab, "--nginx", str(nginx_binary)) as up:
        assert up.code == 0, up.err
        done, findings = verified(lab)
    assert {path: path.read_bytes() for path in before} == before
    assert done.code == 0, [one for one in findings.values() if one["result"] == "fail"]
    assert {one["result"] for one in findings.values()} <= {"pass", "warn"}
    warned = {name.partition(".")[0] for name, one in findings.items() if one["result"] == "warn"}
    assert {name for name in warned if not name.startswith(USUAL)} == SHAPES[shape]


@pytest.mark.nginx
def test_a_second_ca_in_the_labs_own_file_is_none_that_the_user_brought(tmp_path: Path, nginx_binary: Path) -> None:
    """In a file that mtlslab wrote, a CA that was not there before lets strangers in, wherever it stands."""
    lab = rendered(tmp_path)
    anchors = lab / "certs" / "client-ca.crt"
    anchors.write_bytes(usual("A Stranger").certificate_pem() + anchors.read_bytes())
    with served(lab, "--nginx", str(nginx_binary)) as up:
        assert up.code == 0, up.err
        done, findings = verified(lab)
    assert done.code == 1
    failed = {name.partition(".")[0] for name, one in findings.items() if one["result"] == "fail"}
    assert failed == {"config-trusts-the-client-ca-only", "mtls-announces-client-ca"}


@pytest.mark.nginx
@pytest.mark.parametrize("shape", [None, one_root_for_any_purpose, last_of_three_anchors])
def test_without_the_keys_of_the_cas_the_basic_checks_run(
    tmp_path: Path, nginx_binary: Path, shape: Bring | None
) -> None:
    """What only a CA's key can make is not tried, with that reason; everything else is judged."""
    lab = rendered(tmp_path)
    if shape:
        shape(lab)
    for name in ("server-ca.key", "client-ca.key"):
        (lab / "certs" / name).unlink()
    with served(lab, "--nginx", str(nginx_binary)) as up:
        assert up.code == 0, up.err
        done, findings = verified(lab)
        some, _ = verified(lab, "--only", "mtls-refuses-expired")
    assert done.code == 0, done.err
    untried = {name.partition(".")[0]: one for name, one in findings.items() if one["result"] == "skip"}
    assert {one["result"] for one in findings.values()} <= {"pass", "warn", "skip"}
    assert all("-ca.key is not in " in one["reason"] for one in untried.values())
    assert {"mtls-refuses-expired", "client-accepts-good-server"} <= set(untried)
    tried = {name.partition(".")[0] for name in findings} - set(untried)
    assert {"mtls-refuses-no-certificate", "mtls-refuses-self-signed", "mtls-refuses-other-ca"} <= tried
    # Whoever asks for such a check alone has no answer.
    assert some.code == 6


@pytest.mark.nginx
def test_without_the_keys_of_the_cas_a_hole_is_found(tmp_path: Path, nginx_binary: Path) -> None:
    """A server that serves anybody does so for credentials that need no CA, too."""
    lab = rendered(tmp_path)
    for name in ("server-ca.key", "client-ca.key"):
        (lab / "certs" / name).unlink()
    conf = lab / "nginx-mtls" / "nginx.conf"
    conf.write_text(conf.read_text().replace("ssl_verify_client on;", "ssl_verify_client optional_no_ca;"))
    with served(lab, "--nginx", str(nginx_binary)) as up:
        assert up.code == 0, up.err
        done, findings = verified(lab)
    assert done.code == 1
    assert findings["mtls-refuses-self-signed.tls13"]["result"] == "fail"

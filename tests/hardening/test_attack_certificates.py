"""Certificates of other people: shown if anybody can read them, named if nobody can, never a bug of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mtlslab import pki
from mtlslab.pki.bundle import read_bundle
from mtlslab.pki.formats import format_of

from tests.support.brought import rendered, usual
from tests.support.cli import mtlslab
from tests.support.odd_certificates import ODD, odd, openssl_reads
from tests.support.other_user import _python_for_all, root_only, run_as


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("warnings", ["", "error"])
def test_an_odd_certificate_is_shown_without_a_warning(tmp_path: Path, kind: str, warnings: str) -> None:
    """Whatever the library raises or warns of: what OpenSSL reads is shown, harmless, without a word of Python."""
    assert openssl_reads(ODD[kind]), "the input is for the second reader"
    (tmp_path / "odd.pem").write_bytes(ODD[kind])
    run = mtlslab("certs", "show", "odd.pem", cwd=tmp_path, PYTHONWARNINGS=warnings)
    assert run.code == 0, run.err
    assert "Warning" not in run.err
    assert "subject" in run.out
    assert "\x1b" not in run.out
    assert "\nsubject    CN=root" not in run.out


def test_one_odd_certificate_does_not_hide_the_others(tmp_path: Path) -> None:
    """``certs list`` tells of the rest of the lab and of the rest of the file, and names the place of the odd one."""
    lab = rendered(tmp_path)
    ca = lab / "certs" / "client-ca.crt"
    ca.write_bytes(ODD["version 4"] + ca.read_bytes())
    (lab / "certs" / "other.crt").write_bytes(usual("Other").certificate_pem() + b"-----BEGIN CERTIFICATE-----\nAAAA")
    run = mtlslab("certs", "list", "--dir", lab, cwd=tmp_path)
    assert run.code == 2
    assert len(run.out.splitlines()) == 5
    assert "certs/client-ca.crt (1 of 2)" in run.err
    assert "certs/other.crt (2 of 2)" in run.err


def test_the_right_ca_may_stand_after_one_that_cannot_be_read(tmp_path: Path) -> None:
    """A file of trust anchors is looked through to its end, and ``up`` would keep what is there."""
    lab = rendered(tmp_path)
    ca = lab / "certs" / "client-ca.crt"
    ca.write_bytes(odd(version=3) + odd(version=4) + ca.read_bytes())
    before = ca.read_bytes()
    run = mtlslab("certs", "issue", "alice", "--dir", lab, cwd=tmp_path)
    assert run.code == 0, run.err
    run = mtlslab("render", "--dir", lab, cwd=tmp_path)
    assert run.code == 0, run.err
    assert ca.read_bytes() == before


def test_the_format_is_blamed_only_when_it_is_to_blame(tmp_path: Path) -> None:
    """DER is named, with the command that converts it, and the command does; damage is not called a format."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    ca = usual("A CA")
    (tmp_path / "a.der").write_bytes(ca.certificate.public_bytes(Encoding.DER))
    run = mtlslab("certs", "show", "a.der", cwd=tmp_path)
    assert run.code == 2
    assert "PEM is needed: openssl x509 -inform DER -in a.der -out a.pem" in run.err
    command = run.err.split("PEM is needed: ")[1].splitlines()[0]
    assert os.system(f"cd {tmp_path} && {command}") == 0  # noqa: S605  it was printed to be pasted
    assert x509.load_pem_x509_certificate((tmp_path / "a.pem").read_bytes()) == ca.certificate
    (tmp_path / "cut.pem").write_bytes(ca.certificate_pem()[:200])
    run = mtlslab("certs", "show", "cut.pem", cwd=tmp_path)
    assert run.code == 2
    assert "cut off" in run.err
    assert "PEM is needed" not in run.err


def test_every_position_of_a_bundle_is_told() -> None:
    """A file is read certificate by certificate, in any order, whatever stands between them."""
    good = usual("A CA").certificate_pem()
    bundle = read_bundle(b"text\n" + odd(version=3) + b"# a comment\n" + good + odd(version=4) + good)
    assert [one.position for one in bundle.unread] == [1, 3]
    assert (len(bundle.certificates), bundle.count) == (2, 4)


def test_what_is_no_key_is_called_what_it_is() -> None:
    """A password, a certificate, another format and nothing at all are four different things."""
    from cryptography.hazmat.primitives import serialization as ser

    key = pki.new_key("ec-p256")
    protected = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.BestAvailableEncryption(b"secret"))
    ssh = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.OpenSSH, ser.NoEncryption())
    der = key.private_bytes(ser.Encoding.DER, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    wanted = {
        protected: "password",
        ssh: "OpenSSH",
        der: "DER",
        usual("A CA").certificate_pem(): "certificates only",
        b"": "empty",
    }
    for content, words in wanted.items():
        with pytest.raises(ValueError, match=words):
            pki.load_key(content)
    assert format_of(key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())).name == "key"


@root_only
def test_a_user_without_home_and_name_has_a_lab(tmp_path: Path) -> None:
    """A random uid in a container, a job of cron: doctor, up and down work without HOME and without a passwd entry."""
    from tests.support.other_user import home_of

    uid = 61818
    here = home_of(uid, tmp_path)
    python, path = _python_for_all()
    environment = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    lab = ("--name", f"t-nohome-{os.getpid()}")
    ports = ("--tls-port", "0", "--mtls-port", "0", "--runtime", "embedded")
    for words in (("doctor",), ("up", *lab, *ports), ("status", *lab), ("down", *lab, "--purge")):
        run = run_as(uid, python, "-m", "mtlslab", *words, cwd=here, **environment)
        assert run.code == 0, (words, run.err)

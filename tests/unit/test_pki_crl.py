"""Revocation lists: what they say, who signed them, and what OpenSSL makes of them."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import pytest
from mtlslab import pki
from mtlslab.pki.crl import is_crl_of, issue_crl, read_crl
from mtlslab.plan.spec import KEY_TYPES, LabSpec

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module", params=KEY_TYPES)
def made(request: pytest.FixtureRequest) -> pki.Pki:
    return pki.issue_pki(LabSpec(key_type=request.param), now=NOW)


def test_a_list_says_what_was_put_on_it(made: pki.Pki) -> None:
    revoked = {5: NOW - DAY, made.client.certificate.serial_number: NOW}
    info = read_crl(issue_crl(made.client_ca, revoked, now=NOW, number=7))
    assert info.revoked == revoked
    assert info.number == 7
    assert info.issuer == "CN=mtls-lab client CA,O=mtls-lab"
    assert info.this_update == NOW - datetime.timedelta(minutes=5)
    assert info.next_update == NOW + 30 * DAY


def test_a_list_expires_at_its_next_update(made: pki.Pki) -> None:
    info = read_crl(issue_crl(made.client_ca, {}, now=NOW, number=1, days=2))
    assert info.revoked == {}
    assert not info.expired(NOW + 1.9 * DAY)
    assert info.expired(NOW + 2 * DAY)


def test_a_list_belongs_to_the_ca_that_signed_it_and_to_no_other(made: pki.Pki) -> None:
    pem = issue_crl(made.client_ca, {}, now=NOW, number=1)
    assert is_crl_of(pem, made.client_ca.certificate)
    assert not is_crl_of(pem, made.server_ca.certificate)


def test_a_ca_of_the_same_name_did_not_sign_it(made: pki.Pki) -> None:
    pem = issue_crl(made.client_ca, {}, now=NOW, number=1)
    again = pki.issue_lab_ca("client", LabSpec(), pki.new_key("ec-p256"), now=NOW)
    assert again.certificate.subject == made.client_ca.certificate.subject
    assert not is_crl_of(pem, again.certificate)


@pytest.mark.parametrize(("revoke", "verdict"), [(False, 0), (True, 2)])
def test_openssl_refuses_exactly_the_revoked_certificate(
    made: pki.Pki, tmp_path: Path, revoke: bool, verdict: int
) -> None:
    """The list is valid for OpenSSL at once, and revokes nobody else."""
    revoked = {made.client.certificate.serial_number if revoke else 5: NOW}
    (tmp_path / "crl").write_bytes(issue_crl(made.client_ca, revoked, now=NOW, number=1))
    (tmp_path / "ca").write_bytes(made.client_ca.certificate_pem())
    (tmp_path / "leaf").write_bytes(made.client.certificate_pem())
    command = ["openssl", "verify", "-x509_strict", "-crl_check", "-CRLfile", "crl", "-CAfile", "ca", "leaf"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == verdict, done.stderr
    assert (b"certificate revoked" in done.stderr) == revoke


@pytest.mark.parametrize("pem", [b"", b"hello", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"])
def test_what_is_no_list_is_refused_in_words(pem: bytes) -> None:
    with pytest.raises(ValueError, match="no readable CRL"):
        read_crl(pem)

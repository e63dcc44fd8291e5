"""The clients that an audit mints: what they are signed with, whom they imitate, and what cannot be made here."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from mtlslab import pki
from mtlslab.audit.unauthorised import UnauthorisedClient, Wanted, open_forge
from mtlslab.errors import MachineError
from mtlslab.pki import faults, mint
from mtlslab.pki.faults import FaultFiles, Severity
from mtlslab.pki.mint import ClientCa
from mtlslab.plan.spec import KEY_TYPES
from mtlslab.probe.model import KeyFiles

NOW = datetime.datetime.now(datetime.UTC)


def certificate_of(strangers: tuple[UnauthorisedClient, ...], name: str) -> bytes:
    [stranger] = [one for one in strangers if one.name == name]
    assert stranger.credential
    return stranger.credential.certificate.read_bytes()


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_forger_who_has_the_cas_certificate_only_signs_with_its_algorithm(key_type: str) -> None:
    """Another algorithm would keep the server from looking at the signature."""
    ca = pki.issue_ca("ca", pki.new_key(key_type), now=NOW, days=9)
    with open_forge(ClientCa(ca.certificate), now=NOW) as forge:
        forged = pki.load_certificates(certificate_of(forge.basic(()), "forged-authority-key-identifier"))[0]
    good = pki.issue_client_leaf(ca, pki.new_key("ec-p256"), "good", now=NOW, days=9).certificate
    assert forged.signature_algorithm_oid == good.signature_algorithm_oid
    assert forged.issuer == ca.certificate.subject


def test_the_look_alike_imitates_the_right_client(tmp_path: Path) -> None:
    ca = pki.issue_ca("ca", pki.new_key("ec-p256"), now=NOW, days=9, path_length=1)
    right = pki.issue_client_leaf(ca, pki.new_key("ec-p256"), "right", now=NOW, days=9)
    (tmp_path / "right.pem").write_bytes(right.certificate.public_bytes(Encoding.PEM))
    with open_forge(ClientCa(ca.certificate, ca), now=NOW) as forge:
        strangers = forge.faults(KeyFiles(tmp_path / "right.pem", tmp_path / "right.pem"))
        alike = pki.load_certificates(certificate_of(strangers, "look-alike"))[0]
    assert (alike.subject, alike.serial_number) == (right.certificate.subject, right.certificate.serial_number)
    assert not pki.issued_by(alike, ca.certificate)
    assert alike.not_valid_after_utc - NOW <= datetime.timedelta(hours=1)


def test_what_this_machine_cannot_make_is_not_tried_and_the_rest_is(monkeypatch: pytest.MonkeyPatch) -> None:
    ca = pki.issue_ca("ca", pki.new_key("ec-p256"), now=NOW, days=9, path_length=1)
    real = faults.build

    def build(
        name: str,
        *,
        client_ca: pki.Credential,
        server: pki.Credential,
        now: datetime.datetime,
        lifetime: datetime.timedelta,
        client: object,
        leaf_key: object,
    ) -> FaultFiles:
        if name == "md5-signature":
            raise MachineError("no", why="md5 is not supported")
        return real(name, client_ca=client_ca, server=server, now=now, lifetime=lifetime)

    monkeypatch.setattr(mint, "build", build)
    with open_forge(ClientCa(ca.certificate, ca), now=NOW) as forge:
        left_out = {one.name for one in forge.faults() if one.missing}
    assert left_out == {"md5-signature"}


@pytest.mark.parametrize(
    "name", ["client-ca-certificate", "sha1-signature", "intermediate-without-key-cert-sign", "eku-any"]
)
def test_what_only_the_ca_itself_can_make_is_a_hole_and_no_open_door(name: str) -> None:
    """Whoever holds the CA's key needs no trick: a server that lets this in enforces, with holes."""
    ca = pki.issue_ca("ca", pki.new_key("ec-p256"), now=NOW, days=9, path_length=1)
    with open_forge(ClientCa(ca.certificate, ca), now=NOW) as forge:
        made = {one.name: one for one in forge.faults()}[name]
    assert (made.wanted, made.severity) == (Wanted.REFUSED, Severity.ADVISORY)

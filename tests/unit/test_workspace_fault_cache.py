"""The zoo in a workspace is issued once and used again while it is right; the list is looked at as it lies."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from mtlslab import pki
from mtlslab.errors import MachineError
from mtlslab.lifecycle.asked import UpOptions
from mtlslab.lifecycle.render import write_lab
from mtlslab.pki import faults
from mtlslab.pki.crl import issue_crl
from mtlslab.pki.faults import FAULTS, FaultFiles
from mtlslab.pki.faults.model import Parts
from mtlslab.plan.paths import CLIENT_CA, CLIENT_CERT, CRL
from mtlslab.verify.checks import Result, catalogue
from mtlslab.verify.context import VerifyContext
from mtlslab.verify.report import Finding
from mtlslab.verify.runner import run_checks
from mtlslab.workspace.credentials import load_client_ca
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.fault_cache import KEPT, NOTE, issued
from mtlslab.workspace.target import Target

NAMES = ("expired", "self-signed", "rsa-1024")
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    target = Target("zoo", Workspace(tmp_path / "zoo"), None)
    write_lab(target, UpOptions({"name": "zoo", "key_type": "ec-p256", "crl": True}), lambda _: None)
    return target.workspace


def issue(workspace: Workspace, names: Sequence[str]) -> dict[str, bytes | None]:
    """Have them issued where needed; returns the certificates."""
    with issued(workspace) as issue_now:
        ready = issue_now(names)
        for name in names:
            ready(name)
    return {name: workspace.read(f"certs/faults/{name}.crt") for name in names}


def test_credentials_are_used_again(workspace: Workspace) -> None:
    assert issue(workspace, NAMES) == issue(workspace, NAMES)


def test_what_is_slow_to_make_is_there_when_it_is_asked_for(workspace: Workspace) -> None:
    with issued(workspace) as issue_now:
        ready = issue_now(["rsa-4096", "expired"])
        assert workspace.read("certs/faults/expired.key")
        ready("rsa-4096")
        assert workspace.read("certs/faults/rsa-4096.key")


def test_what_this_machine_cannot_make_fails_alone_and_when_it_is_asked_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy that leaves a digest or a curve out is no reason to know nothing about all others."""

    def unsupported(_parts: Parts) -> FaultFiles:
        raise UnsupportedAlgorithm("md5 is not supported")

    broken = {name: dataclasses.replace(FAULTS[name], build=unsupported) for name in ("md5-signature", "ec-brainpool")}
    monkeypatch.setattr(faults, "FAULTS", {**FAULTS, **broken})
    with issued(workspace) as issue_now:
        ready = issue_now([*broken, *NAMES])
        for name in NAMES:
            ready(name)
        for name in broken:
            with pytest.raises(MachineError) as caught:
                ready(name)
            assert caught.value.why == "md5 is not supported"
    assert not workspace.read("certs/faults/ec-brainpool.crt")
    assert workspace.read("certs/faults/expired.crt")
    note = workspace.read(NOTE)
    assert note
    assert set(json.loads(note)["credentials"]) == set(NAMES)


def test_the_look_alike_imitates_the_labs_client(workspace: Workspace) -> None:
    alike = pki.load_certificates(issue(workspace, ["look-alike"])["look-alike"] or b"")[0]
    client = pki.load_certificates(workspace.read(CLIENT_CERT) or b"")[0]
    assert (alike.serial_number, alike.subject) == (client.serial_number, client.subject)


def test_a_list_that_is_gone_is_issued_again_with_its_credential(workspace: Workspace) -> None:
    name = "revoked-by-intermediate"
    before = issue(workspace, [name])
    workspace.remove([f"certs/faults/{name}.crl"])
    assert issue(workspace, [name]) != before
    assert workspace.read(f"certs/faults/{name}.crl")


def test_what_is_true_for_a_moment_only_is_issued_each_time(workspace: Workspace) -> None:
    names = ["expired-a-second-ago"]
    assert issue(workspace, names) != issue(workspace, names)


def test_credentials_of_an_older_ca_are_issued_anew(workspace: Workspace) -> None:
    before = issue(workspace, NAMES)
    ca = workspace.read(CLIENT_CA)
    assert ca
    workspace.write(CLIENT_CA, ca + b"\n")
    after = issue(workspace, NAMES)
    assert not set(before.values()) & set(after.values())


def test_files_that_somebody_changed_are_issued_anew(workspace: Workspace) -> None:
    before = issue(workspace, NAMES)
    workspace.write("certs/faults/expired.crt", b"x")
    workspace.remove(["certs/faults/self-signed.key"])
    after = issue(workspace, NAMES)
    assert after["expired"] not in (b"x", before["expired"])
    assert after["self-signed"] != before["self-signed"]
    assert after["rsa-1024"] == before["rsa-1024"]


@pytest.mark.parametrize("note", [b"", b"{}", b"[]", b'{"base": 1, "credentials": 2}', b"\xff", b"[" * 100_000])
def test_a_damaged_note_costs_a_moment_and_nothing_else(workspace: Workspace, note: bytes) -> None:
    before = issue(workspace, NAMES)
    workspace.write(NOTE, note)
    assert None not in issue(workspace, NAMES).values()
    assert issue(workspace, NAMES) != before


def test_old_credentials_are_issued_anew(workspace: Workspace) -> None:
    before = issue(workspace, NAMES)
    note = workspace.read(NOTE)
    assert note
    document = json.loads(note)
    for entry in document["credentials"].values():
        entry["time"] = (datetime.datetime.fromisoformat(entry["time"]) - KEPT).isoformat()
    workspace.write(NOTE, json.dumps(document).encode())
    assert issue(workspace, NAMES) != before


def test_the_revoked_credential_stays_the_one_that_is_on_the_list(workspace: Workspace) -> None:
    """A running server has read the list: a new credential on a new list would not be refused."""
    listed = workspace.read("certs/faults/revoked.crt")
    assert listed
    assert issue(workspace, ["revoked"]) == issue(workspace, ["revoked"]) == {"revoked": listed}


# --- the list


def look(workspace: Workspace) -> Finding:
    context = VerifyContext(workspace.directory, "zoo", "", 1, 2, crl=True)
    checks = [check for check in catalogue(crl=True) if check.id == "mtls-crl-is-current"]
    return run_checks(context, checks=checks).findings[0]


@pytest.mark.parametrize(
    ("begun_days_ago", "days", "result", "words"),
    [
        (0, 30, Result.PASS, "is valid"),
        (29, 30, Result.WARN, "expires at"),
        (40, 30, Result.FAIL, "nginx refuses every client"),
    ],
)
def test_a_list_that_ends_soon_warns_and_one_that_has_ended_fails(
    workspace: Workspace, begun_days_ago: int, days: int, result: Result, words: str
) -> None:
    begin = NOW - datetime.timedelta(days=begun_days_ago)
    workspace.write(CRL, issue_crl(load_client_ca(workspace), {}, now=begin, number=9, days=days))
    found = look(workspace)
    assert (found.result, words in found.reason) == (result, True)
    assert found.command[:2] == ("openssl", "crl")
    assert found.hint


@pytest.mark.parametrize("content", [None, b"x"], ids=["missing", "damaged"])
def test_a_list_that_is_missing_or_damaged_fails(workspace: Workspace, content: bytes | None) -> None:
    workspace.remove([CRL])
    if content:
        workspace.write(CRL, content)
    assert look(workspace).result is Result.FAIL


def test_a_check_that_cannot_be_made_is_inconclusive(workspace: Workspace) -> None:
    context = VerifyContext(workspace.directory, "zoo", "", 1, 2)
    check = dataclasses.replace(catalogue()[0], depends=None)

    def broken(_what: object) -> object:
        raise OSError("out of sockets")

    finding = run_checks(context, checks=[check], probe=broken).findings[0]  # type: ignore[arg-type]
    assert (finding.result, "out of sockets" in finding.reason) == (Result.INCONCLUSIVE, True)

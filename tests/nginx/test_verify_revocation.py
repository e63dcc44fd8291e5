"""Revocation in force: what `certs revoke` leaves open, `verify` finds; an older list, a lost entry, an unread list."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab import pki
from mtlslab.errors import ExitCode
from mtlslab.pki.crl import issue_crl, read_crl
from mtlslab.plan.paths import CRL, CRL_NOTE
from mtlslab.workspace.credentials import load_client_ca
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.revocation import revoke
from mtlslab.workspace.revocation_note import Note, read_note

from tests.support.cli import Run, mtlslab

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
HOUR = 3600  # seconds
KNOCK, NEWEST, READ = "mtls-refuses-every-revoked-client", "mtls-crl-is-the-newest", "config-revocation-list-was-read"
ONLY = [word for check in (KNOCK, NEWEST, READ) for word in ("--only", check)]


def run(directory: Path, *arguments: str) -> Run:
    done = mtlslab(*arguments, cwd=directory)
    assert done.code == 0, done.err
    return done


def verified(directory: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit status, and the findings by family."""
    done = mtlslab("verify", *ONLY, "-o", "json", cwd=directory)
    return done.code, {finding["id"].partition(".")[0]: finding for finding in json.loads(done.out)["checks"]}


def failing(directory: Path) -> set[str]:
    return {family for family, finding in verified(directory)[1].items() if finding["result"] == "fail"}


def started(directory: Path, name: str, runtime: str, *more: str) -> Path:
    words = ("--runtime", runtime, "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256", *more)
    run(directory, "up", "--name", name, *words)
    return directory / name


@pytest.fixture
def bare(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    """The directory of a lab that runs without a list."""
    yield started(tmp_path, lab_name, "embedded")
    mtlslab("down", "--name", lab_name, cwd=tmp_path)


@pytest.fixture
def lab(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    """The directory of a lab that runs with a list."""
    yield started(tmp_path, lab_name, "embedded", "--crl")
    mtlslab("down", "--name", lab_name, cwd=tmp_path)


def put(directory: Path, *serials: int, number: int, removed: tuple[int, ...] = ()) -> None:
    """Put a list of one's own in place."""
    workspace = Workspace(directory)
    moments = dict.fromkeys((*serials, *removed), NOW)
    workspace.write(CRL, issue_crl(load_client_ca(workspace), moments, now=NOW, number=number, removed=removed))


def revoked(directory: Path) -> set[int]:
    return set(read_crl((directory / CRL).read_bytes()).revoked)


def test_what_revoke_leaves_open_is_said_and_is_red_until_it_is_done(bare: Path) -> None:
    """Without a list that nginx checks, and without a reload."""
    assert failing(bare) == set()
    run(bare, "certs", "issue", "alice")
    said = run(bare, "certs", "revoke", "alice").out.splitlines()[-1]
    assert said.startswith("Still open:")
    assert said.endswith("mtlslab up")
    code, found = verified(bare)
    assert (code, found[KNOCK]["result"]) == (ExitCode.CHECK_FAILED, "fail")
    assert "alice.crt" in found[KNOCK]["reason"]
    assert "./certs/alice.crt" in found[KNOCK]["command"]
    run(bare, "up")
    assert failing(bare) == set()

    run(bare, "certs", "issue", "bob")
    said = run(bare, "certs", "revoke", "bob").out.splitlines()[-1]
    assert said.startswith("Still open:")
    assert said.endswith("mtlslab reload")
    assert KNOCK in failing(bare)
    run(bare, "reload")
    assert failing(bare) == set()


def test_a_configuration_that_lost_ssl_crl_is_what_is_still_open(lab: Path) -> None:
    conf = lab / "nginx-mtls/nginx.conf"
    conf.write_text(conf.read_text().replace("ssl_crl", "# ssl_crl"))
    run(lab, "certs", "issue", "alice")
    assert run(lab, "certs", "revoke", "alice").out.splitlines()[-1].endswith("mtlslab up --overwrite")


def test_a_list_that_nginx_has_not_read_is_red_though_no_key_is_here(lab: Path) -> None:
    assert failing(lab) == set()
    run(lab, "certs", "revoke", "--serial", "0BAD")
    assert KNOCK not in failing(lab)
    later = NOW.timestamp() + HOUR
    os.utime(lab / CRL, (later, later))
    assert failing(lab) == {READ}


def test_an_older_list_in_place_is_red_and_the_next_revocation_mends_it(lab: Path) -> None:
    older = (lab / CRL).read_bytes()
    run(lab, "certs", "issue", "alice")
    run(lab, "certs", "revoke", "alice")
    Workspace(lab).write(CRL, older)
    run(lab, "reload")
    code, found = verified(lab)
    assert (code, found[NEWEST]["result"]) == (ExitCode.CHECK_FAILED, "fail")
    assert "older list" in found[NEWEST]["reason"]
    run(lab, "certs", "revoke", "--serial", "0BAD")
    run(lab, "reload")
    assert failing(lab) == set()
    alice = pki.load_certificates((lab / "certs/alice.crt").read_bytes())[0].serial_number
    assert {alice, 0x0BAD} <= revoked(lab)


def test_a_list_with_a_higher_number_that_lost_an_entry_is_red(lab: Path) -> None:
    before = revoked(lab)
    run(lab, "certs", "revoke", "--serial", "0BAD")
    put(lab, *before, number=99)
    run(lab, "reload")
    code, found = verified(lab)
    assert (code, found[NEWEST]["reason"]) == (ExitCode.CHECK_FAILED, "Of those who were revoked, 0BAD is missing.")


def test_remove_from_crl_takes_back_nothing(lab: Path) -> None:
    """The entry is there, and the client is served."""
    run(lab, "certs", "issue", "alice")
    alice = pki.load_certificates((lab / "certs/alice.crt").read_bytes())[0].serial_number
    put(lab, *revoked(lab), removed=(alice,), number=9)
    run(lab, "reload")
    assert failing(lab) == {KNOCK, NEWEST}


def test_whoever_removes_the_list_gives_up_all_revocations(lab: Path) -> None:
    """The program itself says so, where a list is damaged; the numbers go on."""
    run(lab, "certs", "revoke", "--serial", "0BAD")
    number = read_crl((lab / CRL).read_bytes()).number
    (lab / CRL).unlink()
    run(lab, "up")
    assert read_crl((lab / CRL).read_bytes()).number > number
    assert 0x0BAD not in revoked(lab)
    assert failing(lab) == set()


def test_a_note_of_another_ca_or_a_damaged_one_says_nothing(lab: Path) -> None:
    workspace = Workspace(lab)
    assert read_note(workspace).number >= 1
    document = json.loads((lab / CRL_NOTE).read_text())
    for content in ("{", "[]", json.dumps({**document, "ca": "0"}), json.dumps({**document, "revoked": {"x": 1}})):
        workspace.write(CRL_NOTE, content.encode())
        assert read_note(workspace) == Note()
        assert failing(lab) == set()


def test_new_cas_begin_a_new_note(lab: Path) -> None:
    run(lab, "certs", "revoke", "--serial", "0BAD")
    run(lab, "up", "--rotate-certs", "--crl")
    assert failing(lab) == set()
    assert 0x0BAD not in read_note(Workspace(lab)).revoked


def test_twenty_revoked_clients_are_tried_and_the_others_counted(lab: Path) -> None:
    workspace = Workspace(lab)
    ca, key = load_client_ca(workspace), pki.new_key("ec-p256")
    for number in range(25):
        leaf = pki.issue_client_leaf(ca, key, f"c{number}", now=NOW, days=1)
        workspace.write_key(f"certs/c{number}.key", leaf.key_pem())
        workspace.write(f"certs/c{number}.crt", leaf.certificate_pem())
        revoke(workspace, leaf.certificate.serial_number, now=NOW)
    run(lab, "reload")
    code, found = verified(lab)
    assert code == ExitCode.OK
    assert "All 20 revoked clients" in found[KNOCK]["reason"]
    assert "6 more" in found[KNOCK]["reason"]  # with the zoo's


@pytest.mark.engine
def test_a_container_that_has_not_read_the_list_is_found(engine: object, tmp_path: Path, lab_name: str) -> None:
    directory = started(tmp_path, lab_name, "docker", "--crl")
    try:
        assert failing(directory) == set()
        later = NOW.timestamp() + HOUR
        os.utime(directory / CRL, (later, later))
        assert failing(directory) == {READ}
    finally:
        mtlslab("down", "--name", lab_name, cwd=tmp_path)

"""Whom the server takes a client for: two clients are told apart, claims count for nothing."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from mtlslab import pki
from mtlslab.pki.crl import issue_crl
from mtlslab.verify.checks import Result
from mtlslab.verify.report import VerifyFinding
from mtlslab.verify.runner import run_checks
from mtlslab.workspace.credentials import load_client_ca
from mtlslab.workspace.directory import Workspace

from tests.support.verify_lab import RunningLab, serving_lab, write

NOW = datetime.datetime.now(datetime.UTC)
APART, KNOWN, CLAIMED = (
    "mtls-tells-clients-apart",
    "mtls-knows-client-whatever-it-claims",
    "mtls-refuses-claimed-identity",
)


@pytest.fixture(scope="module")
def lab(nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with serving_lab(tmp_path_factory.mktemp("lab"), nginx_binary) as running:
        yield running


def finding(lab: RunningLab, check_id: str, *, log: bool = True) -> VerifyFinding:
    report = run_checks(lab.context, [check_id], read_log=lab.read_log if log else None)
    return next(one for one in report.findings if one.id == check_id)


def without_headers(text: str) -> str:
    """The server does not say whom it verified; its log may."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if "add_header X-SSL-Client" not in line)


@pytest.fixture
def no_ca_key(lab: RunningLab) -> Iterator[None]:
    """The key of the client CA is kept elsewhere."""
    key = lab.directory / "certs/client-ca.key"
    content = key.read_bytes()
    key.unlink()
    yield
    Workspace(lab.directory).write_key("certs/client-ca.key", content)


@pytest.mark.parametrize("check_id", [APART, KNOWN, CLAIMED])
@pytest.mark.parametrize("log", [True, False])
def test_the_lab_as_rendered_knows_its_clients(lab: RunningLab, check_id: str, log: bool) -> None:
    assert finding(lab, check_id, log=log).result is Result.PASS


def test_two_clients_are_two_certificates_of_the_client_ca(lab: RunningLab) -> None:
    observed = finding(lab, APART).observed
    assert len(set(observed["clients"])) == len(set(observed["serials"])) == 2


def test_a_serial_number_that_is_the_same_for_both_is_named(lab: RunningLab) -> None:
    with lab.sabotaged(lambda text: text.replace("X-SSL-Client-Serial $ssl_client_serial", "X-SSL-Client-Serial 1F")):
        seen = finding(lab, APART)
    assert seen.result is Result.FAIL
    assert "serial number 1F" in seen.reason


def test_a_server_that_names_nobody_is_judged_by_its_log(lab: RunningLab) -> None:
    with lab.sabotaged(without_headers):
        assert finding(lab, APART).result is Result.PASS
        assert finding(lab, APART, log=False).result is Result.INCONCLUSIVE


def test_a_log_that_names_the_wrong_client_is_seen_though_the_answer_is_right(lab: RunningLab) -> None:
    with lab.sabotaged(lambda text: text.replace('"client_serial":"$ssl_client_serial"', '"client_serial":"1F"')):
        seen = finding(lab, APART)
    assert seen.result is Result.FAIL
    assert "the log says" in seen.reason


def test_a_server_for_one_client_alone_is_stricter_and_no_failure(lab: RunningLab) -> None:
    rule = "ssl_verify_client on; if ($ssl_client_s_dn ~ second-client) { return 403; }"
    with lab.sabotaged(lambda text: text.replace("ssl_verify_client on;", rule)):
        seen = finding(lab, APART)
    assert seen.result is Result.WARN
    assert "stricter" in seen.reason


@pytest.mark.usefixtures("no_ca_key")
def test_without_the_ca_key_a_further_client_is_the_second_one(lab: RunningLab) -> None:
    """Nothing is judged where there is none, or where it was revoked."""
    assert finding(lab, APART).result is Result.SKIP
    assert "client-ca.key" in finding(lab, APART).reason


def test_a_further_client_is_the_second_one_unless_it_was_revoked(lab: RunningLab) -> None:
    ca = load_client_ca(Workspace(lab.directory))
    alice = pki.issue_client_leaf(ca, pki.new_key("ec-p256"), "alice", now=NOW, days=1)
    files = [lab.directory / f"certs/alice.{kind}" for kind in ("crt", "key")]
    key, crl = lab.directory / "certs/client-ca.key", lab.directory / "crl/client-ca.crl"
    content = key.read_bytes()
    try:
        write(lab.directory / "certs/alice", alice.certificate_pem(), alice.key_pem())
        key.unlink()
        assert "CN=alice" in finding(lab, APART).reason
        crl.parent.mkdir()
        crl.write_bytes(issue_crl(ca, {alice.certificate.serial_number: NOW}, now=NOW, number=1))
        assert finding(lab, APART).result is Result.SKIP
    finally:
        Workspace(lab.directory).write_key("certs/client-ca.key", content)
        for path in (*files, crl):
            path.unlink(missing_ok=True)


def test_a_field_that_only_this_configuration_looks_at_is_claimed_too(lab: RunningLab) -> None:
    """Its name stands in the configuration, and nowhere else."""
    with lab.sabotaged(
        lambda text: text.replace("ssl_verify_client on;", "ssl_verify_client on; add_header X-Of $http_x_q7 always;")
    ):
        refused, served = finding(lab, CLAIMED), finding(lab, KNOWN)
    assert (refused.result, served.result) == (Result.FAIL, Result.FAIL)
    assert "x-of" in refused.reason


def test_a_parameter_that_opens_the_door_is_found(lab: RunningLab) -> None:
    exempt, rule = "if ($arg_q8 = SUCCESS) { break; }", "if ($ssl_client_verify != SUCCESS) { return 403; }"
    with lab.sabotaged(
        lambda text: text.replace("ssl_verify_client on;", f"ssl_verify_client optional; {exempt} {rule}")
    ):
        seen = finding(lab, CLAIMED)
    assert seen.result is Result.FAIL
    assert "must refuse" in seen.reason


@pytest.mark.parametrize("check_id", ["mtls-refuses-no-certificate.tls13", "mtls-refuses-expired.tls12"])
def test_success_about_a_refused_client_is_a_failure(lab: RunningLab, check_id: str) -> None:
    """In the answer, and where the answer says nothing, in the log."""
    with lab.sabotaged(lambda text: text.replace("Client-Verify $ssl_client_verify", "Client-Verify SUCCESS")):
        assert finding(lab, check_id).result is Result.FAIL
    lie = ('"client_verify":"$ssl_client_verify"', '"client_verify":"SUCCESS"')
    with lab.sabotaged(lambda text: without_headers(text).replace(*lie)):
        seen = finding(lab, check_id)
    assert seen.result is Result.FAIL
    assert "log says SUCCESS" in seen.reason

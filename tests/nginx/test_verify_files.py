"""Keys, files, names and dates of a lab: what is wrong is red, what somebody else's CA does otherwise is no failure."""

from __future__ import annotations

import dataclasses
import datetime
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mtlslab import pki
from mtlslab.plan.paths import CLIENT_CERT, SERVER_CA, SERVER_CA_KEY, SERVER_CERT, SERVER_KEY
from mtlslab.verify.checks import Result
from mtlslab.verify.checks.entries_files import ENTRIES
from mtlslab.verify.report import VerifyFinding
from mtlslab.verify.runner import run_checks
from mtlslab.workspace.credentials import load, load_client_ca
from mtlslab.workspace.directory import Workspace

from tests.support.verify_lab import RunningLab, serving_lab, tcp_server

NOW = datetime.datetime.now(datetime.UTC)
HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
PRIVATE, OWNERS, ROLES, PURPOSES, NAMES, LAST, SHOWN = (entry.id for entry in ENTRIES)
HOSTS = ("localhost", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def running(nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with serving_lab(tmp_path_factory.mktemp("lab"), nginx_binary) as lab:
        yield lab


@pytest.fixture
def lab(running: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    """The lab; its certificates are put back afterwards, and what was added is taken away."""
    certs = running.directory / "certs"
    shutil.copytree(certs, tmp_path / "certs")
    yield running
    shutil.rmtree(certs)
    shutil.copytree(tmp_path / "certs", certs)


def finding(lab: RunningLab, check_id: str) -> VerifyFinding:
    return next(one for one in run_checks(lab.context, [check_id]).findings if one.id == check_id)


def server_ca(lab: RunningLab) -> pki.Credential:
    return load(Workspace(lab.directory), SERVER_CA, SERVER_CA_KEY)


def server_leaf(
    ca: pki.Credential, *more: str, end: datetime.timedelta = 300 * DAY, key_type: str = "ec-p256"
) -> pki.Credential:
    """A server's certificate that ends so much from now on."""
    key = pki.new_key(key_type)
    extensions = pki.server_extensions(key, [*HOSTS, *more])
    subject = pki.distinguished_name("localhost")
    return pki.issue(subject, key, extensions, issuer=ca, not_before=NOW - 30 * DAY, not_after=NOW + end)


def put(lab: RunningLab, path: str, credential: pki.Credential) -> None:
    Workspace(lab.directory).write(path, credential.certificate_pem())
    if path == SERVER_CERT:  # nginx does not show a configuration with another key
        Workspace(lab.directory).write_key(SERVER_KEY, credential.key_pem())


@pytest.mark.parametrize("check_id", [entry.id for entry in ENTRIES])
def test_a_lab_as_rendered_is_green(lab: RunningLab, check_id: str) -> None:
    assert finding(lab, check_id).result is Result.PASS


@pytest.mark.parametrize("place", ["nginx-mtls/nginx.conf~", "certs/old/notes", "crl.bak", "certs/server.pem"])
def test_a_copy_of_a_key_that_others_may_read_is_found_wherever_it_lies(lab: RunningLab, place: str) -> None:
    copy = lab.directory / place
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(lab.directory / "certs/server.key", copy)
    try:
        copy.chmod(0o600)
        assert finding(lab, PRIVATE).result is Result.PASS
        for mode in (0o640, 0o604):
            copy.chmod(mode)
            seen = finding(lab, PRIVATE)
            assert seen.result is Result.FAIL
            assert place in seen.reason
    finally:
        copy.unlink()


def test_what_others_may_write_is_told_and_links_and_temporary_files_are_not(lab: RunningLab) -> None:
    inner, link = lab.directory / "certs/group", lab.directory / "certs/link"
    inner.mkdir()
    link.symlink_to("client.crt")
    assert finding(lab, OWNERS).result is Result.PASS
    for mode in (0o770, 0o757):
        inner.chmod(mode)
        assert "certs/group" in finding(lab, OWNERS).reason
    inner.chmod(0o755)
    (lab.directory / "certs/client.crt").chmod(0o664)
    seen = finding(lab, OWNERS)
    assert (seen.result, "certs/client.crt" in seen.reason) == (Result.FAIL, True)


def test_a_file_of_another_user_is_told(lab: RunningLab, unprivileged: Callable[[Path], None]) -> None:
    file = lab.directory / "certs/theirs.txt"
    file.write_text("x")
    unprivileged(file)
    seen = finding(lab, OWNERS)
    assert (seen.result, "certs/theirs.txt" in seen.reason) == (Result.FAIL, True)


@pytest.fixture
def unprivileged() -> Callable[[Path], None]:
    """Gives a file to somebody else; only root can."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    return lambda path: os.chown(path, 4242, 4242)


def test_one_key_in_two_roles_is_red(lab: RunningLab) -> None:
    workspace = Workspace(lab.directory)
    server = load(workspace, SERVER_CERT, "certs/server.key")
    ca = load_client_ca(workspace)
    put(lab, CLIENT_CERT, pki.issue_client_leaf(ca, server.key, "client", now=NOW, days=90))
    seen = finding(lab, ROLES)
    assert (seen.result, SERVER_CERT in seen.reason, CLIENT_CERT in seen.reason) == (Result.FAIL, True, True)
    put(lab, CLIENT_CERT, pki.issue_client_leaf(ca, ca.key, "client", now=NOW, days=90))
    assert finding(lab, ROLES).result is Result.FAIL


def test_two_clients_with_one_key_and_one_ca_for_both_sides_are_worth_a_warning(lab: RunningLab) -> None:
    workspace = Workspace(lab.directory)
    client, ca = load(workspace, CLIENT_CERT, "certs/client.key"), load_client_ca(workspace)
    put(lab, "certs/alice.crt", pki.issue_client_leaf(ca, client.key, "alice", now=NOW, days=90))
    assert finding(lab, ROLES).result is Result.WARN
    (lab.directory / "certs/alice.crt").unlink()
    shutil.copy(lab.directory / "certs/server-ca.crt", lab.directory / "certs/client-ca.crt")
    assert finding(lab, ROLES).result is Result.WARN


def test_a_client_that_may_issue_certificates_is_red(lab: RunningLab) -> None:
    ca, key = load_client_ca(Workspace(lab.directory)), pki.new_key("ec-p256")
    leaf = pki.issue(
        pki.distinguished_name("client"),
        key,
        pki.ca_extensions(0),
        issuer=ca,
        not_before=NOW,
        not_after=NOW + 90 * DAY,
    )
    put(lab, "certs/alice.crt", leaf)
    seen = finding(lab, PURPOSES)
    assert (seen.result, "CA:TRUE" in seen.reason) == (Result.FAIL, True)


def test_a_further_name_is_red_in_a_certificate_of_the_lab_and_a_warning_in_anybody_elses(lab: RunningLab) -> None:
    put(lab, SERVER_CERT, server_leaf(server_ca(lab), "bank.test"))
    seen = finding(lab, NAMES)
    assert (seen.result, "bank.test" in seen.reason) == (Result.FAIL, True)
    theirs = pki.issue_ca("their root", pki.new_key("ec-p256"), now=NOW, days=300)
    put(lab, SERVER_CA, theirs)
    put(lab, SERVER_CERT, server_leaf(theirs, "shop.test"))
    assert finding(lab, NAMES).result is Result.WARN


@pytest.mark.parametrize(
    ("left", "result"), [(-HOUR, Result.FAIL), (HOUR, Result.FAIL), (5 * DAY, Result.WARN), (8 * DAY, Result.PASS)]
)
def test_a_week_before_its_end_is_a_warning_and_a_day_before_is_red(
    lab: RunningLab, left: datetime.timedelta, result: Result
) -> None:
    put(lab, SERVER_CERT, server_leaf(server_ca(lab), end=left))
    assert finding(lab, LAST).result is result


def beside(lab: RunningLab, leaf: pki.Credential) -> Callable[[str], str]:
    """Serve a second certificate, for another key type."""
    Workspace(lab.directory).write_key("certs/second.key", leaf.key_pem())
    put(lab, "certs/second.crt", leaf)
    more = "ssl_certificate ../certs/second.crt; ssl_certificate_key ../certs/second.key;"
    return lambda text: text.replace("include listen.conf;", f"include listen.conf; {more}")


@pytest.mark.parametrize("service", ["nginx-tls", "nginx-mtls"])
def test_the_certificate_that_only_an_rsa_client_sees_is_looked_at(lab: RunningLab, service: str) -> None:
    good, bank = (server_leaf(server_ca(lab), *more, key_type="rsa-2048") for more in ((), ("bank.test",)))
    with lab.sabotaged(beside(lab, good), service):
        seen = finding(lab, SHOWN)
        assert (seen.result, "2 different" in seen.reason) == (Result.PASS, True)
        put(lab, "certs/second.crt", bank)
    with lab.sabotaged(beside(lab, bank), service):
        seen = finding(lab, SHOWN)
        assert (seen.result, "bank.test" in seen.reason, "RSA" in seen.reason) == (Result.FAIL, True, True)
        assert finding(lab, NAMES).result is Result.FAIL


def test_the_certificate_for_another_name_is_looked_at(lab: RunningLab) -> None:
    old = server_leaf(server_ca(lab), end=-DAY)
    Workspace(lab.directory).write_key("certs/second.key", old.key_pem())
    put(lab, "certs/second.crt", old)
    server = (
        "server { include listen.conf; server_name other.test; ssl_certificate ../certs/second.crt; "
        "ssl_certificate_key ../certs/second.key; root nginx-tls; }"
    )
    with lab.sabotaged(lambda text: text.rstrip().removesuffix("}") + f"{server}\n}}\n", "nginx-tls"):
        assert "other.test" in finding(lab, SHOWN).reason
        assert finding(lab, LAST).result is Result.FAIL


def test_a_server_that_serves_nobody_may_show_what_it_likes(lab: RunningLab) -> None:
    """The usual server for unknown names, with a certificate that names nobody."""
    nobody = pki.issue_ca("nobody", pki.new_key("ec-p256"), now=NOW - 30 * DAY, days=1)
    Workspace(lab.directory).write_key("certs/second.key", nobody.key_pem())
    put(lab, "certs/nobody.pem", nobody)
    server = (
        "server { include listen.conf; server_name unknown.test; ssl_certificate ../certs/nobody.pem; "
        "ssl_certificate_key ../certs/second.key; return 444; }"
    )
    with lab.sabotaged(lambda text: text.rstrip().removesuffix("}") + f"{server}\n}}\n", "nginx-tls"):
        assert [finding(lab, check).result for check in (SHOWN, NAMES, LAST)] == [Result.PASS] * 3


def test_a_port_at_which_nobody_answers_is_not_judged(lab: RunningLab) -> None:
    with tcp_server(socket.socket.close) as port:
        report = run_checks(dataclasses.replace(lab.context, mtls_port=port), [SHOWN])
    assert report.findings[-1].result is Result.INCONCLUSIVE

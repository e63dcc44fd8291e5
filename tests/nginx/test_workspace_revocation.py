"""Revocation on real nginx: a revoked client is refused with the reason, everybody else is served as before."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from mtlslab.errors import SpecError
from mtlslab.pki.crl import CrlInfo, issue_crl, read_crl
from mtlslab.plan.paths import CRL
from mtlslab.workspace.credentials import load_client_ca
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.revocation import Condition, crl_state, keep_crl, revoke

from tests.support.cli import Run, mtlslab

UP = ("up", "--runtime", "embedded", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def lab(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    """The directory of a lab that runs without a revocation list."""
    up = mtlslab(*UP, "--name", lab_name, cwd=tmp_path)
    assert up.code == 0, up.err
    yield tmp_path / lab_name
    mtlslab("down", "--name", lab_name, cwd=tmp_path)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a lab that was rendered only; each test gets a copy."""
    place = tmp_path_factory.mktemp("rendered")
    done = mtlslab("render", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256", "--name", "x", cwd=place)
    assert done.code == 0, done.err
    return place / "x"


@pytest.fixture
def workspace(rendered: Path, tmp_path: Path) -> Workspace:
    """That of a lab that was rendered only."""
    return Workspace(shutil.copytree(rendered, tmp_path / "x"))


def run(directory: Path, *arguments: str) -> Run:
    """Run a command inside the workspace; it must succeed."""
    done = mtlslab(*arguments, cwd=directory)
    assert done.code == 0, done.err
    return done


def answer(directory: Path, client: str) -> tuple[int, str]:
    """Status and the server's verdict for a client of the mTLS service."""
    port = json.loads((directory / "lab.json").read_text())["spec"]["mtls_port"]
    url = f"https://localhost:{port}/hello-world.txt"
    credential = ["--cert", f"certs/{client}.crt", "--key", f"certs/{client}.key"]
    done = subprocess.run(
        ["curl", "-sSi", url, "--cacert", "certs/server-ca.crt", *credential],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    status = re.match(r"HTTP/1.1 (\d+)", done.stdout)
    verdict = re.search(r"X-SSL-Client-Verify: (.*)\n", done.stdout)
    assert status
    assert verdict
    return int(status[1]), verdict[1].strip()


def serial(directory: Path, client: str) -> int:
    return x509.load_pem_x509_certificate((directory / f"certs/{client}.crt").read_bytes()).serial_number


def crl_of(directory: Path) -> CrlInfo:
    return read_crl((directory / CRL).read_bytes())


SERVED = (200, "SUCCESS")
REVOKED = (400, "FAILED:certificate revoked")


def test_revocation_from_the_first_list_to_the_second_revoked_client(lab: Path) -> None:
    """The next up finds the list, reload applies each change, earlier revocations stay, and nobody else is touched."""
    run(lab, "certs", "issue", "alice")
    run(lab, "certs", "issue", "bob")
    assert "mtlslab up" in run(lab, "certs", "revoke", "alice").out
    assert answer(lab, "alice") == SERVED  # nginx looks at no list yet
    assert "is there" in run(lab, "up").err
    assert [answer(lab, name) for name in ("alice", "bob", "client")] == [REVOKED, SERVED, SERVED]

    assert "mtlslab reload" in run(lab, "certs", "revoke", "bob").out
    run(lab, "reload")
    assert [answer(lab, name) for name in ("alice", "bob", "client")] == [REVOKED, REVOKED, SERVED]
    assert {serial(lab, "alice"), serial(lab, "bob")} <= set(crl_of(lab).revoked)
    assert (lab / CRL).stat().st_mode & 0o777 == 0o644
    assert (lab / "crl").stat().st_mode & 0o777 == 0o755

    assert "ssl_crl" not in (run(lab, "up", "--no-crl"), (lab / "nginx-mtls/nginx.conf").read_text())[1]
    assert answer(lab, "alice") == SERVED


@pytest.mark.engine
def test_a_container_reads_the_new_list_on_reload(engine: object, tmp_path: Path, lab_name: str) -> None:
    """The directory crl/ is mounted whole: a replaced file is seen inside without a new container."""
    try:
        ports = ("--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
        run(tmp_path, "up", "--runtime", "docker", *ports, "--crl", "--name", lab_name)
        directory = tmp_path / lab_name
        run(directory, "certs", "issue", "alice")
        assert answer(directory, "alice") == SERVED
        run(directory, "certs", "revoke", "alice")
        run(directory, "reload")
        assert [answer(directory, name) for name in ("alice", "client")] == [REVOKED, SERVED]
    finally:
        mtlslab("down", "--name", lab_name, cwd=tmp_path)


def test_a_first_list_revokes_nobody_but_the_zoos_own(tmp_path: Path, lab_name: str, nginx_binary: Path) -> None:
    """`up --crl` on a fresh lab: clients are served, and there is something that must be refused."""
    try:
        run(tmp_path, *UP, "--crl", "--name", lab_name)
        directory = tmp_path / lab_name
        assert [answer(directory, name) for name in ("client", "faults/revoked")] == [SERVED, REVOKED]
        assert list(crl_of(directory).revoked) == [serial(directory, "faults/revoked")]
        before = (directory / CRL).read_bytes()
        assert "it already ran as asked" in run(directory, "up").out
        assert (directory / CRL).read_bytes() == before
        run(directory, "verify", "--only", "mtls-serves-client-certificate")
    finally:
        mtlslab("down", "--name", lab_name, cwd=tmp_path)


def test_a_list_without_entries_serves_everybody_and_an_expired_one_nobody_until_up_renews_it(lab: Path) -> None:
    """Why a list must not expire: nginx then refuses the best of clients."""
    workspace = Workspace(lab)
    ca = load_client_ca(workspace)
    run(lab, "up", "--crl")
    workspace.write(CRL, issue_crl(ca, {}, now=NOW, number=5))
    run(lab, "reload")
    assert answer(lab, "client") == SERVED
    workspace.write(CRL, issue_crl(ca, {77: NOW - 40 * DAY}, now=NOW - 40 * DAY, number=6, days=30))
    run(lab, "reload")
    assert answer(lab, "client") == (400, "FAILED:CRL has expired")
    assert f"Issued a new {CRL}" in run(lab, "up").err
    assert answer(lab, "client") == SERVED
    assert 77 in crl_of(lab).revoked
    assert crl_of(lab).number > 6


def test_rotated_cas_leave_no_old_list_and_no_old_faults_and_name_what_is_of_the_old_ca(lab: Path) -> None:
    run(lab, "certs", "issue", "alice")
    run(lab, "certs", "export", "alice")
    run(lab, "certs", "issue", "--fault", "expired")
    run(lab, "certs", "revoke", "alice")
    run(lab, "up", "--crl")
    rotated = run(lab, "up", "--rotate-certs")
    assert "certs/alice.crt, certs/alice.p12" in rotated.err
    assert [path.name for path in (lab / "certs/faults").iterdir() if path.stem != "revoked"] == []
    assert list(crl_of(lab).revoked) == [serial(lab, "faults/revoked")]
    assert answer(lab, "client") == SERVED
    status, verdict = answer(lab, "alice")
    assert status == 400
    assert verdict != "FAILED:certificate revoked"


def test_without_a_list_in_use_rotation_leaves_none(workspace: Workspace) -> None:
    directory = workspace.directory
    run(directory, "certs", "revoke", "client")
    run(directory, "render", "--rotate-certs")
    assert not (directory / CRL).exists()
    assert "ssl_crl" not in (directory / "nginx-mtls/nginx.conf").read_text()


def test_a_rotation_that_was_cut_short_does_not_leave_the_list_of_a_ca_that_is_gone(workspace: Workspace) -> None:
    directory = workspace.directory
    run(directory, "certs", "revoke", "client")
    workspace.remove([*workspace.certificates(), "certs/client-ca.key", "certs/server-ca.key"])
    run(directory, "render")
    assert crl_state(workspace, datetime.datetime.now(datetime.UTC)).condition is Condition.GOOD
    assert list(crl_of(directory).revoked) == [serial(directory, "faults/revoked")]


def test_a_ca_certificate_issued_anew_for_the_same_key_keeps_the_list(workspace: Workspace) -> None:
    run(workspace.directory, "certs", "revoke", "client")
    gone = serial(workspace.directory, "client")
    workspace.remove(["certs/client-ca.crt", "certs/client.crt"])
    run(workspace.directory, "render")
    assert gone in crl_of(workspace.directory).revoked


# --- the list in the workspace


def test_the_list_is_shown_with_names_for_people_and_for_programs(workspace: Workspace) -> None:
    directory = workspace.directory
    assert "nothing is revoked" in run(directory, "certs", "crl").out
    run(directory, "certs", "revoke", "client", "--crl-days", "3")
    run(directory, "certs", "revoke", "--serial", "0a:bc")
    shown = run(directory, "certs", "crl").out
    assert shown == run(directory, "certs", "revoke", "--list").out
    assert re.search(r"revoked .* 0ABC\n", shown)
    assert re.search(r"revoked .* certs/client\.crt\n", shown)
    document = json.loads(run(directory, "certs", "crl", "-o", "json").out)
    assert (document["schema"], document["condition"], document["number"]) == ("mtlslab.crl/1", "good", 2)
    assert document["configured"] is False
    assert {row["file"] for row in document["revoked"]} == {"certs/client.crt", ""}


def test_revoking_twice_changes_nothing(workspace: Workspace) -> None:
    run(workspace.directory, "certs", "revoke", "client")
    before = (workspace.directory / CRL).read_bytes()
    assert "Already revoked" in run(workspace.directory, "certs", "revoke", "client").out
    assert (workspace.directory / CRL).read_bytes() == before


def test_the_revoked_one_of_the_zoo_can_be_revoked_once_it_is_issued(workspace: Workspace) -> None:
    directory = workspace.directory
    refused = mtlslab("certs", "revoke", "revoked", cwd=directory)
    assert refused.code == 2
    assert "certs issue --fault revoked" in refused.err
    run(directory, "certs", "issue", "--fault", "revoked")
    run(directory, "certs", "revoke", "revoked")
    assert list(crl_of(directory).revoked) == [serial(directory, "faults/revoked")]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nobody",),
        ("server",),
        ("client-ca",),
        ("../x/certs/client",),
        ("client", "--serial", "0A"),
        ("client", "--list"),
        ("--serial", "xyz"),
        ("--serial", "0"),
        ("--serial", "A" * 41),
        ("client", "--crl-days", "0"),
    ],
)
def test_what_cannot_be_revoked_ends_with_2_and_writes_nothing(
    workspace: Workspace, arguments: tuple[str, ...]
) -> None:
    refused = mtlslab("certs", "revoke", *arguments, cwd=workspace.directory)
    assert refused.code == 2, refused.out
    assert refused.err
    assert not (workspace.directory / CRL).exists()


def test_a_certificate_of_another_ca_cannot_be_revoked_here(workspace: Workspace) -> None:
    workspace.write("certs/stranger.crt", workspace.read("certs/server.crt") or b"")
    refused = mtlslab("certs", "revoke", "stranger", cwd=workspace.directory)
    assert refused.code == 2
    assert "was not issued by certs/client-ca.crt" in refused.err


@pytest.mark.parametrize(
    "command", [("up", "--runtime", "embedded", "--trust"), ("certs", "crl"), ("certs", "revoke", "client")]
)
def test_a_damaged_list_is_refused_in_words_and_left_as_it_is(workspace: Workspace, command: tuple[str, ...]) -> None:
    workspace.write(CRL, b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    before = workspace.read(CRL)
    refused = mtlslab(*command, cwd=workspace.directory)
    assert refused.code == 2
    assert "is damaged" in refused.err
    assert "rm " in refused.err
    assert workspace.read(CRL) == before


def test_a_list_of_another_ca_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    mtlslab("render", "--key-type", "ec-p256", "--name", "other", cwd=tmp_path)
    workspace.write(CRL, issue_crl(load_client_ca(Workspace(tmp_path / "other")), {}, now=NOW, number=1))
    with pytest.raises(SpecError, match="was not issued by"):
        crl_state(workspace, NOW)


@pytest.mark.parametrize(
    ("days", "age", "condition"),
    [
        (30, 0 * DAY, Condition.GOOD),
        (30, 28.9 * DAY, Condition.GOOD),
        (30, 29.1 * DAY, Condition.EXPIRES_SOON),
        (30, 30 * DAY, Condition.EXPIRED),
        (1, 0 * DAY, Condition.GOOD),
        (1, 0.7 * DAY, Condition.EXPIRES_SOON),
    ],
)
def test_the_state_tells_how_long_the_list_is_good(
    workspace: Workspace, days: int, age: datetime.timedelta, condition: Condition
) -> None:
    assert crl_state(workspace, NOW).condition is Condition.ABSENT
    revoke(workspace, 5, now=NOW, days=days)
    assert crl_state(workspace, NOW + age).condition is condition


def test_the_state_tells_whether_the_lab_was_set_up_to_check_it(workspace: Workspace) -> None:
    assert not crl_state(workspace, NOW).configured
    run(workspace.directory, "render", "--crl")
    assert crl_state(workspace, NOW).configured


def test_a_list_about_to_expire_is_renewed_for_as_long_as_before_with_all_entries(workspace: Workspace) -> None:
    revoke(workspace, 5, now=NOW, days=10)
    said: list[str] = []
    keep_crl(workspace, now=NOW + 5 * DAY, say=said.append)
    assert (crl_of(workspace.directory).number, said) == (1, [])
    keep_crl(workspace, now=NOW + 9.5 * DAY, say=said.append)
    info = crl_of(workspace.directory)
    assert (info.number, info.revoked) == (2, {5: NOW})
    assert info.next_update == NOW + 19.5 * DAY
    assert len(said) == 1


def test_a_list_cannot_be_renewed_without_the_cas_key_and_is_used_while_it_lasts(workspace: Workspace) -> None:
    revoke(workspace, 5, now=NOW, days=10)
    workspace.remove(["certs/client-ca.key"])
    said: list[str] = []
    keep_crl(workspace, now=NOW + 9.5 * DAY, say=said.append)
    assert "client-ca.key is missing" in said[0]
    with pytest.raises(SpecError, match=r"client-ca\.key"):
        keep_crl(workspace, now=NOW + 10 * DAY, say=said.append)
    assert crl_of(workspace.directory).number == 1

"""Further clients, the zoo and PKCS #12 files: issued by the command line, shown to a running lab by real clients."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from mtlslab.pki.crl import read_crl
from mtlslab.pki.describe import describe
from mtlslab.pki.faults import FAULTS, Outcome
from mtlslab.pki.faults.model import NGINX_ANSWERS
from mtlslab.workspace.directory import Workspace

from tests.support.cli import Run, mtlslab

NAME = f"t-certs-{os.getpid()}"
OPTIONS = ("--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256", "--name", NAME)
RENDER = ("render", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256", "--name", "x")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, nginx_binary: Path) -> Iterator[Path]:
    """The directory of a lab that runs."""
    place = tmp_path_factory.mktemp("certs")
    up = mtlslab("up", "--runtime", "embedded", *OPTIONS, cwd=place)
    assert up.code == 0, up.err
    yield place / NAME
    mtlslab("down", "--name", NAME, cwd=place)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a lab that was rendered only, for tests that change nothing in it."""
    place = tmp_path_factory.mktemp("rendered")
    assert mtlslab(*RENDER, cwd=place).code == 0
    return place / "x"


@pytest.fixture
def resting(untouched: Path, tmp_path: Path) -> Path:
    """The directory of a lab that was rendered only."""
    return shutil.copytree(untouched, tmp_path / "x")


def run(line: str, directory: Path) -> str:
    """What a printed command prints on both streams."""
    done = subprocess.run(shlex.split(line), cwd=directory, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


def commands(out: str) -> list[str]:
    return [line.strip() for line in out.splitlines() if line.startswith("  curl")]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def files(directory: Path) -> set[str]:
    return {path.name for path in (directory / "certs").iterdir()}


# --- the list of the zoo


def test_the_list_names_every_fault_with_its_verdict_and_needs_no_lab(tmp_path: Path) -> None:
    lines = mtlslab("certs", "faults", cwd=tmp_path).out.splitlines()
    assert [line.split()[0] for line in lines] == list(FAULTS)
    for line, fault in zip(lines, FAULTS.values(), strict=True):
        assert all(text in line for text in (fault.title, fault.verdict, fault.severity, fault.rfc))
    assert list(tmp_path.iterdir()) == []


def test_programs_get_all_that_is_known_about_each_fault(tmp_path: Path) -> None:
    document = json.loads(mtlslab("certs", "faults", "-o", "json", cwd=tmp_path).out)
    assert document["schema"] == "mtlslab.faults/1"
    rows = {row["name"]: row for row in document["faults"]}
    assert list(rows) == list(FAULTS)
    assert rows["expired"]["lesson"] == FAULTS["expired"].lesson
    assert rows["revoked"]["expected"]["TLSv1.3"] == ["200"]
    assert rows["revoked"]["expected_with_crl"]["TLSv1.3"] == ["400 certificate error"]
    assert rows["mismatched-key"]["load_fails_locally"] is True


# --- further clients


def test_a_further_client_is_served_by_the_printed_command(lab: Path) -> None:
    issued = mtlslab("certs", "issue", "alice", cwd=lab)
    assert issued.code == 0, issued.err
    assert mode(lab / "certs/alice.key") == 0o600
    assert mode(lab / "certs/alice.crt") == 0o644
    [command] = commands(issued.out)
    assert run(command, lab).startswith("Hello World")


def test_key_type_and_days_are_those_asked_for_or_the_labs(resting: Path) -> None:
    mtlslab("certs", "issue", "bob@example.com", "--key-type", "ed25519", "--days", "7", cwd=resting)
    mtlslab("certs", "issue", "carol", cwd=resting)
    now = x509.load_pem_x509_certificate((resting / "certs/carol.crt").read_bytes()).not_valid_before_utc
    bob = describe((resting / "certs/bob@example.com.crt").read_bytes(), now=now)
    carol = describe((resting / "certs/carol.crt").read_bytes(), now=now)
    assert (bob.key_type, bob.days_left, bob.sans) == ("ed25519", 7, ("email:bob@example.com",))
    assert (carol.key_type, carol.days_left, carol.purposes) == ("ec-p256", 397, ("client",))


@pytest.mark.parametrize(
    "arguments",
    [
        ("client",),
        ("CLIENT",),
        ("server",),
        ("client-ca",),
        ("server-ca",),
        ("expired",),
        ("all",),
        ("../alice",),
        ("a/b",),
        (".hidden",),
        ("--", "-rf"),
        ("",),
        ("a b",),
        ("alice.key",),
        ("x" * 65,),
        ("alice", "--days", "0"),
        ("alice", "--key-type", "dsa"),
        ("alice", "--fault", "expired"),
        (),
        ("--fault", "no-such-fault"),
    ],
)
def test_what_cannot_be_issued_ends_with_2_and_writes_nothing(resting: Path, arguments: tuple[str, ...]) -> None:
    before = files(resting)
    refused = mtlslab("certs", "issue", *arguments, cwd=resting)
    assert refused.code == 2, refused.out
    assert refused.err
    assert files(resting) == before


def test_a_client_that_is_there_is_replaced_with_overwrite_only(resting: Path) -> None:
    mtlslab("certs", "issue", "alice", cwd=resting)
    before = (resting / "certs/alice.crt").read_bytes()
    refused = mtlslab("certs", "issue", "alice", cwd=resting)
    assert refused.code == 2
    assert "--overwrite" in refused.err
    assert (resting / "certs/alice.crt").read_bytes() == before
    replaced = mtlslab("certs", "issue", "alice", "--overwrite", cwd=resting)
    assert (resting / "certs/alice.crt").read_bytes() != before
    old = x509.load_pem_x509_certificate(before).serial_number
    [serial] = re.findall(r"--serial ([0-9A-F]+)", replaced.err)
    assert int(serial, 16) == old


def test_without_a_lab_nothing_is_issued(tmp_path: Path) -> None:
    for arguments in (("issue", "alice"), ("issue", "--fault", "all"), ("revoke", "client"), ("export", "client")):
        assert mtlslab("certs", *arguments, cwd=tmp_path).code == 4
    assert list(tmp_path.iterdir()) == []


# --- the zoo


@pytest.fixture(scope="module")
def zoo(lab: Path) -> dict[str, dict[str, str]]:
    """What `certs issue --fault all` says: name of the fault -> label -> text."""
    issued = mtlslab("certs", "issue", "--fault", "all", cwd=lab)
    assert issued.code == 0, issued.err
    told: dict[str, dict[str, str]] = {}
    for block in issued.out.split("\n\n")[1:]:
        headline, *lines = block.splitlines()
        told[headline.partition(":")[0]] = dict(line.strip().split(maxsplit=1) for line in lines)
    return told


def test_the_whole_zoo_is_issued_apart_from_the_good_ones_with_private_keys(
    lab: Path, zoo: dict[str, dict[str, str]]
) -> None:
    assert list(zoo) == list(FAULTS)
    keys = {path.stem: mode(path) for path in (lab / "certs/faults").glob("*.key")}
    assert set(keys) == set(FAULTS) - {"none"}
    assert set(keys.values()) == {0o600}
    assert not files(lab) & {f"{name}.crt" for name in FAULTS}
    assert zoo["none"]["files"] == "none: this client has no certificate"


@pytest.mark.parametrize("name", FAULTS)
def test_the_printed_command_shows_what_is_predicted(lab: Path, zoo: dict[str, dict[str, str]], name: str) -> None:
    """The server answers with the verdict and nginx's reason that stand beside the command."""
    fault, told = FAULTS[name], zoo[name]
    assert told["wrong"] == fault.wrong
    answer = run(told["try"] + " -sSi", lab)
    found = re.search(r"X-SSL-Client-Verify: (.*)\r", answer)
    if fault.outcome is Outcome.SERVED:
        assert told["expect"] == "served (HTTP 200)"
        assert answer.startswith("HTTP/1.1 200")
    elif fault.outcome in (Outcome.REFUSED_BY_ALERT, Outcome.LOCAL):
        assert "HTTP/1.1" not in answer
    else:
        assert "refused: HTTP 400" in told["expect"]
        assert NGINX_ANSWERS[fault.outcome] in told["expect"]
        assert answer.startswith("HTTP/1.1 400")
    if "reason" in told:
        assert found
        assert told["reason"] == f"X-SSL-Client-Verify matches /{fault.reason}/"
        assert re.search(fault.reason, found[1])


def test_what_the_client_itself_refuses_and_what_is_on_no_list_is_told_so(zoo: dict[str, dict[str, str]]) -> None:
    assert "never asked" in zoo["mismatched-key"]["note"]
    assert "certs revoke revoked" in zoo["revoked"]["note"]


def test_an_unknown_fault_names_those_that_look_like_it(resting: Path) -> None:
    refused = mtlslab("certs", "issue", "--fault", "expierd", cwd=resting)
    assert refused.code == 2
    assert "Did you mean expired" in refused.err


def test_the_revoked_one_is_entered_into_a_list_that_exists_and_stays_itself(resting: Path) -> None:
    """The running server has read the list: a new certificate each time would be one that it does not know."""
    mtlslab("certs", "revoke", "client", cwd=resting)
    path = resting / "certs/faults/revoked.crt"
    assert "on the list" in mtlslab("certs", "issue", "--fault", "revoked", cwd=resting).out
    first = path.read_bytes()
    mtlslab("certs", "issue", "--fault", "revoked", cwd=resting)
    assert path.read_bytes() == first
    serial = x509.load_pem_x509_certificate(first).serial_number
    assert serial in read_crl((resting / "crl/client-ca.crl").read_bytes()).revoked


# --- PKCS #12


def password_in(export: Run) -> str:
    found = re.findall(r"^Password: (\S+)$", export.out, re.MULTILINE)
    assert len(found) == 1
    return str(found[0])


def openssl(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, text=True, check=False)


def test_the_file_holds_leaf_key_and_ca_and_serves_as_a_client(lab: Path) -> None:
    """A library reads it, and curl gets in with nothing else."""
    export = mtlslab("certs", "export", "client", "--p12", cwd=lab)
    assert export.code == 0, export.err
    password = password_in(export)
    path = lab / "certs/client.p12"
    assert mode(path) == 0o600
    store = pkcs12.load_pkcs12(path.read_bytes(), password.encode())
    assert store.cert
    record = Workspace(lab).require()
    assert (store.cert.friendly_name or b"").decode() == f"{record.spec['name']} client"
    assert store.cert.certificate == x509.load_pem_x509_certificate((lab / "certs/client.crt").read_bytes())
    assert store.key
    assert store.key.public_key() == store.cert.certificate.public_key()
    ca = x509.load_pem_x509_certificate((lab / "certs/client-ca.crt").read_bytes())
    assert [one.certificate for one in store.additional_certs] == [ca]
    port = json.loads((lab / "lab.json").read_text())["spec"]["mtls_port"]
    url = f"https://localhost:{port}/hello-world.txt --cacert certs/server-ca.crt"
    assert run(f"curl -sS {url} --cert-type P12 --cert certs/client.p12:{password}", lab).startswith("Hello World")


@pytest.mark.parametrize(
    ("options", "algorithms"),
    [((), ("AES-256-CBC", "MAC: sha256")), (("--legacy",), ("pbeWithSHA1And3-KeyTripleDES-CBC", "MAC: sha1"))],
)
def test_openssl_reads_it_in_the_new_and_in_the_old_form(
    resting: Path, options: tuple[str, ...], algorithms: tuple[str, ...]
) -> None:
    password = password_in(mtlslab("certs", "export", "client", "--p12", *options, cwd=resting))
    legacy = ("-legacy",) if options else ()
    arguments = ("pkcs12", "-in", "certs/client.p12", "-info", "-nodes", *legacy, "-passin")
    shown = openssl(resting, *arguments, f"pass:{password}")
    assert shown.returncode == 0, shown.stderr
    assert (shown.stdout.count("BEGIN CERTIFICATE"), shown.stdout.count("PRIVATE KEY-----")) == (2, 2)
    assert all(algorithm in shown.stderr for algorithm in algorithms)
    assert openssl(resting, *arguments, "pass:wrong").returncode != 0


def test_a_random_password_is_printed_once_and_kept_nowhere(resting: Path) -> None:
    first, second = (mtlslab("certs", "export", "client", cwd=resting) for _ in range(2))
    password = password_in(second)
    assert password != password_in(first)
    assert second.out.count(password) == 1
    assert password not in second.err
    for path in resting.rglob("*"):
        assert path.is_dir() or password.encode() not in path.read_bytes()


def test_a_password_comes_from_a_file_or_else_from_the_environment_and_is_not_printed(resting: Path) -> None:
    (resting.parent / "pw").write_text("correct horse\nsecond line\n")

    def password_works(password: str, *arguments: str | Path, **variables: str) -> bool:
        export = mtlslab("certs", "export", "client", *arguments, cwd=resting, **variables)
        assert export.code == 0, export.err
        assert password not in export.out + export.err
        content = (resting / "certs/client.p12").read_bytes()
        return pkcs12.load_pkcs12(content, password.encode()).key is not None

    assert password_works("correct horse", "--password-file", resting.parent / "pw")
    assert password_works("bättery", MTLSLAB_P12_PASSWORD="bättery")  # noqa: S106
    assert password_works("correct horse", "--password-file", resting.parent / "pw", MTLSLAB_P12_PASSWORD="bättery")  # noqa: S106


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (("nobody",), {}),
        (("server",), {}),
        (("client-ca",), {}),
        (("../x/certs/client",), {}),
        (("client", "--password-file", "missing"), {}),
        (("client", "--password-file", "."), {}),
        (("client",), {"MTLSLAB_P12_PASSWORD": ""}),
        (("client",), {"MTLSLAB_P12_PASSWORD": "x" * 1000}),
        (("client", "--password", "secret"), {}),
    ],
)
def test_what_cannot_be_exported_ends_with_2_and_writes_nothing(
    resting: Path, arguments: tuple[str, ...], variables: dict[str, Any]
) -> None:
    before = files(resting)
    refused = mtlslab("certs", "export", *arguments, cwd=resting, **variables)
    assert refused.code == 2, refused.out
    assert refused.err
    assert files(resting) == before


def test_a_key_of_another_certificate_is_not_exported(resting: Path) -> None:
    mtlslab("certs", "issue", "alice", cwd=resting)
    (resting / "certs/alice.key").write_bytes((resting / "certs/client.key").read_bytes())
    refused = mtlslab("certs", "export", "alice", cwd=resting)
    assert refused.code == 2
    assert "does not belong" in refused.err

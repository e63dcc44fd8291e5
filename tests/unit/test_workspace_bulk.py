"""Many client credentials at once: numbered, private, complete or absent; the same command completes what was cut."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from mtlslab import pki
from mtlslab.pki import keys
from mtlslab.workspace.bulk import issue_clients
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.folder import open_folder

from tests.support.cli import mtlslab

NOW = datetime.datetime.now(datetime.UTC)
RENDER = ("render", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256", "--name", "x")


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bulk")
    assert mtlslab(*RENDER, cwd=place).code == 0
    return place / "x"


@pytest.fixture
def workspace(rendered: Path, tmp_path: Path) -> Workspace:
    """That of a lab which was rendered only."""
    return Workspace(shutil.copytree(rendered, tmp_path / "x"))


def certs(workspace: Workspace) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((workspace.directory / "certs").iterdir())}


def test_each_client_gets_a_key_and_a_certificate_of_its_own(workspace: Workspace) -> None:
    made = issue_clients(workspace, "student", 12, now=NOW)
    assert made.names == made.issued == tuple(f"student-{number:04}" for number in range(1, 13))
    ca = pki.load_certificates(certs(workspace)["client-ca.crt"])[0]
    files = certs(workspace)
    leaves = [pki.load_credential(files[f"{name}.crt"], files[f"{name}.key"]).certificate for name in made.names]
    assert all(pki.issued_by(leaf, ca) for leaf in leaves)
    assert len({leaf.serial_number for leaf in leaves}) == len({files[f"{name}.key"] for name in made.names}) == 12
    modes = {(workspace.directory / "certs" / f"{name}.key").stat().st_mode & 0o777 for name in made.names}
    assert modes == {0o600}


def test_the_same_command_keeps_what_is_good_and_completes_the_rest(workspace: Workspace) -> None:
    issue_clients(workspace, "student", 4, now=NOW)
    before = certs(workspace)
    (workspace.directory / "certs/student-0002.key").unlink()
    (workspace.directory / "certs/student-0003.crt").write_bytes(before["student-0003.crt"][:300])
    again = issue_clients(workspace, "student", 5, now=NOW)
    assert again.issued == ("student-0002", "student-0003", "student-0005")
    after = certs(workspace)
    assert all(after[f"student-000{number}.crt"] == before[f"student-000{number}.crt"] for number in (1, 4))


def test_overwrite_issues_all_anew(workspace: Workspace) -> None:
    issue_clients(workspace, "student", 2, now=NOW)
    before = certs(workspace)
    assert len(issue_clients(workspace, "student", 2, now=NOW, overwrite=True).issued) == 2
    assert not set(before.items()) & {item for item in certs(workspace).items() if item[0].startswith("student")}


def test_those_of_another_client_ca_count_as_none(workspace: Workspace) -> None:
    issue_clients(workspace, "student", 2, now=NOW)
    assert mtlslab("render", "--name", "x", "--rotate-certs", cwd=workspace.directory.parent).code == 0
    assert len(issue_clients(workspace, "student", 2, now=NOW).issued) == 2


def test_whoever_is_interrupted_leaves_whole_credentials_only(workspace: Workspace) -> None:
    def interrupt(done: int, _of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        issue_clients(workspace, "student", 9, now=NOW, progress=interrupt)
    there = [name for name in certs(workspace) if name.startswith(("student", "."))]
    assert there == [f"student-000{number}.{end}" for number in (1, 2, 3) for end in ("crt", "key")]
    assert len(issue_clients(workspace, "student", 9, now=NOW).issued) == 6


@pytest.mark.parametrize(
    "arguments",
    [
        ("student", "--count", "0"),
        ("student", "--count", "10000"),
        ("../student", "--count", "2"),
        ("s" * 62, "--count", "2"),
        ("student", "--count", "2", "--key-type", "rsa-1"),
        ("--fault", "expired", "--count", "2"),
        ("--count", "2"),
    ],
)
def test_what_cannot_be_issued_ends_with_2_and_writes_nothing(workspace: Workspace, arguments: tuple[str, ...]) -> None:
    before = certs(workspace)
    run = mtlslab("certs", "issue", *arguments, "--dir", workspace.directory, cwd=workspace.directory)
    assert (run.code, run.out) == (2, ""), run
    assert run.err
    assert certs(workspace) == before


def test_the_command_says_how_many_and_where(workspace: Workspace) -> None:
    place = ("--dir", workspace.directory)
    first = mtlslab("certs", "issue", "student", "--count", "2", *place, cwd=workspace.directory)
    assert (first.code, first.err) == (0, "")
    assert "Issued 2 of 2" in first.out
    assert "certs/student-0001.crt to certs/student-0002.crt" in first.out
    again = mtlslab("certs", "issue", "student", "--count", "3", *place, cwd=workspace.directory)
    assert "Issued 1 of 3 client credentials; 2 were there and good." in again.out


def test_keys_that_nobody_takes_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make = keys.new_key

    def counted(kind: str) -> keys.PrivateKey:
        made.append(kind)
        return make("rsa-1024")

    monkeypatch.setattr(keys, "new_key", counted)
    stream = keys.key_stream("rsa-2048", 500)
    next(stream)
    stream.close()
    assert len(made) < 250


def test_keys_made_ahead_are_handed_out_once() -> None:
    pool = keys.KeyPool("ed25519", 3)
    handed = pool.take(2) + pool.take(2)
    assert len({key.public_key().public_bytes_raw() for key in handed}) == 4  # type: ignore[union-attr]


def test_an_rsa_key_whose_numbers_do_not_belong_together_is_refused() -> None:
    numbers = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()
    wrong = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d, numbers.dmp1, numbers.dmq1, numbers.iqmp,
        rsa.RSAPublicNumbers(3, numbers.public_numbers.n),
    ).private_key(unsafe_skip_rsa_key_validation=True)  # fmt: skip
    pem = wrong.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="damaged"):
        keys.load_key(pem)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "name").mkdir()
    with open_folder(tmp_path) as folder, pytest.raises(IsADirectoryError):
        folder.write("name", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"old")
    (tmp_path / "name").symlink_to("elsewhere")
    with open_folder(tmp_path) as folder:
        folder.write("name", b"new", mode=0o600)
    assert (tmp_path / "elsewhere").read_bytes() == b"old"
    assert not (tmp_path / "name").is_symlink()


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="link"), open_folder(tmp_path / "link"):
        pass

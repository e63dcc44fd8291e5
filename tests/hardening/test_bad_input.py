"""Bad input gets a clear error and the right exit status; nothing is written, nothing is lost, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import mtlslab

RENDER = ("render", "--key-type", "ec-p256", "--name", "x")


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--name", "../x"),
        ("up", "--name", ""),
        ("up", "--runtime", "vmware"),
        ("up", "--pull", "sometimes"),
        ("up", "--key-type", "dsa"),
        ("up", "--client-auth", "on"),
        ("up", "--days", "0"),
        ("up", "--tls-port", "99999"),
        ("up", "--tls-port", "x"),
        ("up", "--listen", "localhost"),
        ("up", "--host", "a b"),
        ("up", "--image", "-x"),
        ("up", "--wait", "soon"),
        ("up", "--wait", "0s"),
        ("up", "--nginx", "/nonexistent/nginx"),
        ("up", "--no-such-option"),
        ("no-such-command",),
        ("logs", "nginx-other"),
        ("logs", "--tail", "-1"),
        ("status", "-o", "yaml"),
        ("certs", "show", "nothing.pem"),
    ],
)
def test_a_wrong_option_ends_with_2_and_writes_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    run = mtlslab(*arguments, cwd=tmp_path)
    assert run.code == 2, run.err
    assert run.err
    assert run.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_environment_variable_is_as_wrong_as_the_option(tmp_path: Path) -> None:
    run = mtlslab("up", cwd=tmp_path, MTLSLAB_KEY_TYPE="dsa")
    assert run.code == 2
    assert "dsa" in run.err


def test_a_flag_wins_over_the_environment_and_that_over_lab_json(tmp_path: Path) -> None:
    def days() -> str:
        return (tmp_path / "x/lab.json").read_text().split('"days": ')[1].split(",")[0]

    mtlslab(*RENDER, "--days", "10", cwd=tmp_path)
    mtlslab(*RENDER, cwd=tmp_path)
    assert days() == "10"
    mtlslab(*RENDER, cwd=tmp_path, MTLSLAB_DAYS="20")
    assert days() == "20"
    mtlslab(*RENDER, "--days", "30", cwd=tmp_path, MTLSLAB_DAYS="40")
    assert days() == "30"


@pytest.mark.parametrize("arguments", [("status",), ("logs",), ("reload",), ("certs", "list")])
def test_a_lab_that_is_not_there_ends_with_4_and_the_command_that_makes_one(
    tmp_path: Path, lab_name: str, arguments: tuple[str, ...]
) -> None:
    run = mtlslab(*arguments, "--name", lab_name, cwd=tmp_path)  # the one without a name may well be running
    assert run.code == 4
    assert "mtlslab up" in run.err


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    run = mtlslab("render", "--dir", tmp_path, cwd=tmp_path)
    assert run.code == 2
    assert "thesis.txt" in run.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    mtlslab(*RENDER, cwd=tmp_path)
    key = tmp_path / "x/certs/server.key"
    key.chmod(0o644)
    before = key.read_bytes()
    run = mtlslab(*RENDER, cwd=tmp_path)
    assert run.code == 2
    assert "chmod 600" in run.err
    assert key.read_bytes() == before


@pytest.mark.parametrize("damage", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_ca_is_never_replaced_silently(tmp_path: Path, damage: bytes) -> None:
    mtlslab(*RENDER, cwd=tmp_path)
    authority = tmp_path / "x/certs/client-ca.crt"
    authority.write_bytes(damage)
    run = mtlslab(*RENDER, cwd=tmp_path)
    assert run.code in (2, 3)
    assert "--rotate-certs" in run.err
    assert authority.read_bytes() == damage


def test_a_damaged_lab_json_is_named(tmp_path: Path) -> None:
    mtlslab(*RENDER, cwd=tmp_path)
    (tmp_path / "x/lab.json").write_text('{"schema": "mtlslab.lab/1"')
    run = mtlslab("status", "--name", "x", cwd=tmp_path)
    assert run.code == 2
    assert "lab.json is damaged" in run.err


def test_a_regular_file_in_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    run = mtlslab(*RENDER, cwd=tmp_path)
    assert run.code == 2
    assert (tmp_path / "x").read_text() == "mine"

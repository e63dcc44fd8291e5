"""A lab is found from below its directory, and named from everywhere else; one command lists all labs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Run, mtlslab

UP = ("up", "--runtime", "embedded", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")


@pytest.fixture
def lab(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    """The directory of a running lab; beside it lies `away`, from where it cannot be seen."""
    (tmp_path / "away").mkdir()
    up = mtlslab(*UP, "--name", lab_name, cwd=tmp_path)
    assert up.code == 0, up.err
    yield tmp_path / lab_name
    mtlslab("down", "--dir", tmp_path / lab_name, cwd=tmp_path)


def rows(cwd: Path) -> dict[str, dict[str, object]]:
    document = json.loads(mtlslab("list", "-o", "json", cwd=cwd).out)
    return {row["name"]: row for row in document["labs"]}


@pytest.mark.parametrize("below", ["certs", "nginx-mtls"])
def test_from_below_its_directory_no_option_is_needed(lab: Path, below: str) -> None:
    assert "nginx-mtls" in mtlslab("status", cwd=lab / below).out
    assert mtlslab("reload", cwd=lab / below).code == 0
    assert mtlslab("certs", "list", cwd=lab / below).out.count("days left") == 4
    again = mtlslab("up", cwd=lab / below)
    assert "it already ran as asked" in again.out
    assert mtlslab("down", cwd=lab / below).out.startswith("Removed: ")


@pytest.mark.parametrize(
    "words",
    [("status",), ("logs",), ("reload",), ("verify",), ("certs", "list"), ("certs", "issue", "alice")],
    ids=" ".join,
)
def test_from_elsewhere_a_command_says_where_the_lab_runs(lab: Path, words: tuple[str, ...]) -> None:
    away = lab.parent / "away"
    told = mtlslab(*words, "--name", lab.name, cwd=away)
    assert told.code == 4
    assert f"{lab.name!r} runs in {lab}" in told.err
    assert f"cd {lab}, or --dir {lab}" in told.err
    assert list(away.iterdir()) == []


def test_up_from_elsewhere_says_where_the_lab_runs(lab: Path) -> None:
    told = mtlslab(*UP, "--name", lab.name, cwd=lab.parent / "away")
    assert told.code == 3
    assert f"cd {lab}, or --dir {lab}" in told.err


def test_down_by_name_ends_the_lab_wherever_its_directory_is(lab: Path) -> None:
    down = mtlslab("down", "--name", lab.name, cwd=lab.parent / "away")
    assert down.code == 0, down.err
    assert "nginx-mtls" in down.out
    assert mtlslab("status", cwd=lab).code == 4
    assert (lab / "certs/client.crt").exists()
    purged = mtlslab("down", "--purge", "--name", lab.name, cwd=lab.parent / "away")
    assert (purged.code, lab.exists()) == (0, False)


def test_the_list_shows_a_lab_from_its_birth_to_its_end(lab: Path) -> None:
    away = lab.parent / "away"
    spec = json.loads((lab / "lab.json").read_text())["spec"]
    ports = {"tls_port": spec["tls_port"], "mtls_port": spec["mtls_port"]}
    row = {"name": lab.name, "directory": str(lab), **ports}
    assert rows(away)[lab.name] == {**row, "runtime": "embedded", "state": "running"}
    text = mtlslab("list", cwd=away).out.splitlines()
    assert text[0].split() == ["NAME", "STATE", "RUNTIME", "TLS", "mTLS", "DIRECTORY"]
    assert [lab.name, "running", "embedded", *map(str, ports.values()), str(lab)] in [line.split() for line in text]
    mtlslab("down", cwd=lab)
    assert rows(away)[lab.name] == {**row, "runtime": "", "state": "stopped"}
    mtlslab("down", "--purge", cwd=lab)
    assert lab.name not in rows(away)


def test_the_list_shows_a_lab_whose_directory_is_gone(lab: Path) -> None:
    away = lab.parent / "away"
    lab.rename(lab.parent / "moved")
    (lab.parent / "moved/lab.json").rename(lab.parent / "lab.json.old")
    try:
        assert rows(away)[lab.name]["state"] == "directory gone"
    finally:
        assert mtlslab("down", "--name", lab.name, cwd=away).code == 0
    assert lab.name not in rows(away)


@pytest.mark.engine
def test_the_list_shows_containers_too(engine: object, tmp_path: Path, lab_name: str) -> None:
    up = mtlslab(*UP, "--runtime", "docker", "--name", lab_name, cwd=tmp_path)
    try:
        assert up.code == 0, up.err
        assert (rows(Path("/"))[lab_name]["runtime"], rows(Path("/"))[lab_name]["state"]) == ("docker", "running")
    finally:
        mtlslab("down", "--purge", "--name", lab_name, cwd=tmp_path)


def test_a_lab_that_another_user_could_change_is_not_found_from_below(tmp_path: Path) -> None:
    """Git asks, too: whoever works below a stranger's directory did not choose what lies above."""
    rendered: Run = mtlslab("render", "--dir", "above", "--key-type", "ec-p256", cwd=tmp_path)
    assert rendered.code == 0, rendered.err
    below = tmp_path / "above/deep/er"
    below.mkdir(parents=True)
    assert mtlslab("certs", "list", cwd=below).code == 0
    (tmp_path / "above/lab.json").chmod(0o666)
    assert mtlslab("certs", "list", "--name", "above", cwd=below).code == 4

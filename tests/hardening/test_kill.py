"""`up` killed at any step: the next `up` works, keys are whole and private, `down` leaves nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from mtlslab.pki import load_credential
from mtlslab.plan.paths import CLIENT_CA, CLIENT_CERT, SERVER_CA, SERVER_CERT

from tests.support.cases import some
from tests.support.cli import ROOT, environment, mtlslab

DRIVER = ROOT / "tests/support/kill_up.py"
# The steps are dealt out to several tests, so that these run side by side.
HANDS = 4
# What a test records under this name is printed at the end of the run (see conftest.py).
TABLE = "table"


def killed_at(kind: str, step: int, arguments: tuple[str, ...], place: Path) -> str:
    """Run `up` until the given step of a kind; the step's name, empty when `up` had fewer."""
    command = [sys.executable, str(DRIVER), kind, str(step), *arguments]
    done = subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True, check=False)
    names = [line.removeprefix("STEP ") for line in done.stderr.splitlines() if line.startswith("STEP ")]
    assert done.returncode == (-9 if names else 0), done.stderr
    return names[0] if names else ""


def require_whole_keys(directory: Path) -> None:
    for path in (SERVER_CA, CLIENT_CA, SERVER_CERT, CLIENT_CERT):
        certificate, key = directory / path, (directory / path).with_suffix(".key")
        load_credential(certificate.read_bytes(), key.read_bytes())
        assert key.stat().st_mode & 0o777 == 0o600


def survivors(name: str) -> list[int]:
    label = f"MTLSLAB_LAB={name};"
    return [item.pid for item in psutil.process_iter(["cmdline"]) if label in " ".join(item.info["cmdline"] or [])]


def go_through(name: str, place: Path, kind: str, arguments: tuple[str, ...], hand: int) -> list[str]:
    """Kill `up` at every HANDS-th step of a kind; the rows of the table of steps and outcomes."""
    rows, step = [], hand + 1
    arguments = ("--name", name, "--key-type", "ec-p256", *arguments)
    while died := killed_at(kind, step, arguments, place):
        up = mtlslab("up", *arguments, cwd=place)
        assert up.code == 0, f"after {died}: {up.err}"
        require_whole_keys(place / name)
        down = mtlslab("down", "--purge", "--name", name, cwd=place)
        assert down.code == 0, f"after {died}: {down.err}"
        assert survivors(name) == []
        assert list(place.iterdir()) == [], f"after {died}"
        rows.append(f"{step:>3}  {died:<45} up 0, keys whole, down leaves nothing")
        step += HANDS
    mtlslab("down", "--purge", "--name", name, cwd=place)
    return rows


@pytest.mark.parametrize("hand", some(range(HANDS), 2))
def test_a_killed_up_is_mended_by_the_next_one(
    hand: int, tmp_path: Path, lab_name: str, nginx_binary: Path, record_property: Callable[[str, object], None]
) -> None:
    ports = ("--runtime", "embedded", "--tls-port", "0", "--mtls-port", "0")
    rows = go_through(lab_name, tmp_path, "any", ports, hand)
    record_property(TABLE, rows)
    assert len(rows) >= 8


@pytest.mark.engine
@pytest.mark.parametrize("hand", some(range(HANDS), 2))
def test_a_killed_up_in_docker_is_mended_by_the_next_one(
    hand: int, tmp_path: Path, lab_name: str, engine: Any, record_property: Callable[[str, object], None]
) -> None:
    ports = ("--runtime", "docker", "--tls-port", "0", "--mtls-port", "0")
    rows = go_through(lab_name, tmp_path, "engine", ports, hand)
    record_property(TABLE, rows)
    assert rows
    assert engine.containers.list(all=True, filters={"label": f"mtlslab.lab={lab_name}"}) == []
    assert engine.networks.list(names=[f"{lab_name}_default"]) == []

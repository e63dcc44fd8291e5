"""A lab that changes its runtime, or loses its directory: nothing of it stays without a word."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import mtlslab

PORTS = ("--tls-port", "0", "--mtls-port", "0")
NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@pytest.fixture
def started(tmp_path: Path, lab_name: str, engine: object) -> Iterator[Path]:
    """The directory of a lab that runs on the engine."""
    up = mtlslab("up", "--runtime", "docker", "--name", lab_name, *PORTS, "--key-type", "ec-p256", cwd=tmp_path)
    assert up.code == 0, up.err
    yield tmp_path / lab_name
    mtlslab("down", "--name", lab_name, cwd=tmp_path)


def test_what_an_engine_that_is_gone_still_has_is_said_and_removed_when_it_is_back(
    started: Path, nginx_binary: Path
) -> None:
    """The engine goes, the lab moves on to processes and is purged, the engine comes back."""
    up = mtlslab("up", "--runtime", "embedded", *PORTS, cwd=started, **NOWHERE)
    assert up.code == 0, up.err
    assert "may still be there in the runtime docker, which cannot be reached now" in up.err
    down = mtlslab("down", "--purge", cwd=started, **NOWHERE)
    assert down.code == 3
    assert "may still be there in the runtime docker" in down.err
    assert "removed: nginx-tls, nginx-mtls" in down.err
    assert json.loads((started / "lab.json").read_text())["unreached"] == ["docker"]
    back = mtlslab("down", "--purge", cwd=started)
    assert back.code == 0, back.err
    assert f"{started.name}-nginx-mtls-1" in back.out
    assert not started.exists()


def test_a_lab_whose_directory_is_gone_is_named_before_its_ports_are(started: Path, nginx_binary: Path) -> None:
    """Whatever runtime is asked for now."""
    spec = json.loads((started / "lab.json").read_text())["spec"]
    shutil.rmtree(started)
    same = ("--tls-port", str(spec["tls_port"]), "--mtls-port", str(spec["mtls_port"]))
    for runtime in ("docker", "embedded"):
        up = mtlslab("up", "--runtime", runtime, "--name", started.name, *same, cwd=started.parent)
        assert up.code == 3
        assert f"Services of a lab called {started.name!r} still run" in up.err
        assert f"mtlslab down --name {started.name}" in up.err
    assert mtlslab("down", "--name", started.name, cwd=started.parent).code == 0
    assert mtlslab("up", "--runtime", "embedded", "--name", started.name, *same, cwd=started.parent).code == 0

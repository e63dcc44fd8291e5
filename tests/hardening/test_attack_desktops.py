"""What desktops leave behind, and where their engines listen."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from mtlslab.errors import MachineError
from mtlslab.runtime.engine.endpoint import Endpoint, knock

from tests.support.brought import rendered
from tests.support.cli import mtlslab

LITTER = (".DS_Store", "._lab.json", "Thumbs.db", "desktop.ini")
PLACES = (".colima/default/docker.sock", ".orbstack/run/docker.sock", ".rd/docker.sock")


@pytest.mark.parametrize("name", LITTER)
def test_litter_of_a_desktop_makes_no_directory_a_strange_one(tmp_path: Path, name: str) -> None:
    """A directory that somebody has looked at in Finder or Explorer is as good as empty."""
    place = tmp_path / "lab"
    place.mkdir()
    (place / name).write_bytes(b"x")
    done = mtlslab("render", "--dir", place, "--tls-port", "0", "--mtls-port", "0", cwd=tmp_path)
    assert done.code == 0, done.err


def test_the_other_half_of_a_file_is_no_certificate(tmp_path: Path) -> None:
    """MacOS writes ._NAME beside each file on a foreign disk; ``certs list`` is not broken by it."""
    lab = rendered(tmp_path)
    (lab / "certs" / "._client.crt").write_bytes(b"\x00\x05\x16\x07")
    done = mtlslab("certs", "list", "--dir", lab, cwd=tmp_path)
    assert done.code == 0, done.err


@pytest.mark.parametrize("place", PLACES)
def test_the_socket_of_a_desktop_engine_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Nothing answers at the default address, but another product listens: it is named, with what to type."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    there = tmp_path / place
    there.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(there.parent)  # the whole path may be too long for a socket
        listener.bind(there.name)
        monkeypatch.chdir(os.sep)
        with pytest.raises(MachineError) as caught:
            knock(Endpoint("unix:///nonexistent/docker.sock"))
    assert caught.value.hint == f"export DOCKER_HOST=unix://{there}"

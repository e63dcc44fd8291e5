"""A port that was edited in docker-compose.yml: every command says where the service answers, and `up` puts it back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mtlslab.runtime.ports import free_port

from tests.support.cli import mtlslab

UP = ("up", "--runtime", "docker", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")


@pytest.fixture
def started(tmp_path: Path, lab_name: str, engine: object) -> Iterator[Path]:
    up = mtlslab(*UP, "--name", lab_name, cwd=tmp_path)
    assert up.code == 0, up.err
    yield tmp_path / lab_name
    mtlslab("down", "--dir", tmp_path / lab_name, cwd=tmp_path)


def move(lab: Path, port: int) -> int:
    """What somebody does who only uses Compose; returns the port that the lab's settings name."""
    planned: int = json.loads((lab / "lab.json").read_text())["spec"]["mtls_port"]
    file = lab / "docker-compose.yml"
    text = file.read_text()
    assert f'published: "{planned}"' in text
    file.write_text(text.replace(f'published: "{planned}"', f'published: "{port}"'))
    subprocess.run(["docker", "compose", "up", "-d"], cwd=lab, check=True, capture_output=True, timeout=120)
    return planned


def test_a_port_that_was_edited_in_the_compose_file_is_said_at_once_and_put_back(started: Path) -> None:
    port = free_port("127.0.0.1")
    planned = move(started, port)
    said = f"nginx-mtls answers on 127.0.0.1, port {port}; the lab's settings say 127.0.0.1, port {planned}."
    status = mtlslab("status", cwd=started)
    assert status.code == 0
    assert f"https://localhost:{port}/hello-world.txt" in status.out
    assert f"{said} mtlslab up puts it back." in status.err
    verify = mtlslab("verify", "--only", "mtls-serves-client-certificate", cwd=started)
    assert verify.code == 6
    assert said in " ".join(verify.out.split())
    up = mtlslab("up", "--overwrite", cwd=started)
    assert up.code == 0, up.err
    assert f"{said} It is put back." in up.err
    assert f'published: "{planned}"' in (started / "docker-compose.yml").read_text()
    again = mtlslab("status", cwd=started)
    assert f"https://localhost:{planned}/hello-world.txt" in again.out
    assert again.err == ""
    assert "it already ran as asked" in mtlslab("up", cwd=started).out

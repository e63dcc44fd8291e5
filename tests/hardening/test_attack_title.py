"""Pages that are made to waste a reader's time: a title of nothing but spaces ends no check late, and none wrongly."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import command, environment, mtlslab
from tests.support.foreign_servers import Answer, make_certificates, python_server, server_context

PAGES = {
    "spaces": "<title>" + " " * 8000,
    "spaces, and a title that ends": "<title>" + " " * 8000 + "x</title >",
    "titles": "<title>" * 1200,
}
PATIENCE = 150  # seconds for a whole command; one of these pages takes a backtracking reader longer than that


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a lab that runs without Docker."""
    place, name = tmp_path_factory.mktemp("title"), f"attack-title-{os.getpid()}"
    options = ("--name", name, "--key-type", "ec-p256", "--tls-port", "0", "--mtls-port", "0")
    up = mtlslab("up", "--runtime", "embedded", *options, cwd=place)
    assert up.code == 0, up.err
    yield place / name
    assert mtlslab("down", "--name", name, cwd=place).code == 0


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command, ended as a failure if it takes far too long."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(params=PAGES)
def page(lab: Path, request: pytest.FixtureRequest) -> str:
    """One of the pages, served by both of the lab's servers, each with its own name at the end."""
    text = PAGES[request.param]
    for hello in lab.glob("nginx-*/hello-world.txt"):
        hello.write_text(text + hello.parent.name)
    return text


@pytest.mark.nginx
def test_a_lab_with_such_a_page_is_verified_as_any_other(lab: Path, page: str) -> None:
    assert len(page) > 8000
    done = run("verify", "-o", "json", cwd=lab)
    assert done.returncode == 0, done.stderr
    findings: list[dict[str, Any]] = json.loads(done.stdout)["checks"]
    assert [finding["reason"] for finding in findings if finding["result"] not in ("pass", "warn")] == []
    assert [finding["id"] for finding in findings if "could not be reached" in finding["reason"]] == []


@pytest.mark.nginx
def test_the_recorded_handshakes_of_such_a_lab_are_told(lab: Path, page: str) -> None:
    assert len(page) > 8000
    done = run("verify", "-o", "html", cwd=lab)
    assert done.returncode == 0, done.stderr
    assert "served with HTTP 200" in done.stdout


@pytest.mark.parametrize("name", PAGES)
def test_a_foreign_server_with_such_a_page_is_audited_as_any_other(name: str, tmp_path: Path) -> None:
    certs = make_certificates(tmp_path)
    answer = Answer(body=PAGES[name].encode(), headers={"Content-Type": "text/html"})
    with python_server(server_context(certs, ssl.CERT_REQUIRED), lambda _certificate: answer) as port:
        good = ("--cert", certs / "client.crt", "--key", certs / "client.key")
        ca = ("--client-ca-cert", certs / "client-ca.crt", "--client-ca-key", certs / "client-ca.key")
        url = f"https://localhost:{port}"
        done = run("audit", url, "--cacert", certs / "server-ca.crt", *good, *ca, cwd=tmp_path)
    assert "enforces mTLS" in done.stdout.splitlines()[-1], done

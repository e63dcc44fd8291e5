"""Containers that somebody changed by the Compose file: what the engine shows of them is compared with the plan."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cases import some
from tests.support.cli import mtlslab

SETTINGS = ("--runtime", "docker", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256", "--pull", "never")
PUBLISHED, FILES, RIGHTS, COMPANY = (
    *("config-answers-where-planned", "config-sees-its-own-files"),
    *("config-runs-without-rights", "config-has-no-company"),
)
LOOPBACK = 'host_ip: "127.0.0.1"'
CERTIFICATE = '      - type: bind\n        source: "./certs/server.crt"'
USER = "    read_only: true\n    tmpfs:"


@pytest.fixture(scope="module")
def up(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    try:
        subprocess.run(["docker", "compose", "version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        if os.environ.get("MTLSLAB_REQUIRE_ENGINE") == "1":
            raise
        pytest.skip("no docker compose")
    place = tmp_path_factory.mktemp("seen")
    name = f"t-seen-{os.getpid()}"
    done = mtlslab("up", "--name", name, *SETTINGS, cwd=place)
    assert done.code == 0, done.err
    yield place / name
    mtlslab("down", "--purge", cwd=place / name)


@pytest.fixture
def lab(up: Path) -> Iterator[Path]:
    """A lab whose Compose file may be edited; everything is put back."""
    file = up / "docker-compose.yml"
    good = file.read_text()
    yield up
    file.write_text(good)
    compose(up, "up", "--detach", "--wait", "--remove-orphans")


def compose(lab: Path, *arguments: str) -> None:
    done = subprocess.run(["docker", "compose", *arguments], cwd=lab, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def judged(lab: Path) -> dict[str, dict[str, Any]]:
    done = mtlslab("verify", "--only", "config-*", "-o", "json", cwd=lab)
    return {one["id"]: one for one in json.loads(done.out)["checks"]}


def replaced(old: str, new: str) -> Callable[[str], str]:
    """An edit of the last service of the Compose file, which is the one with mutual TLS."""

    def edit(text: str) -> str:
        before, found, after = text.rpartition(old)
        assert found
        return before + new + after

    return edit


def with_mount(source: str, target: str, *, mode: str = "true") -> Callable[[str], str]:
    lines = ("- type: bind", f'  source: "{source}"', f'  target: "{target}"', f"  read_only: {mode}")
    return replaced(CERTIFICATE, "".join(f"      {line}\n" for line in lines) + CERTIFICATE)


def a_third_service(text: str) -> str:
    """A copy of the TLS service without our labels, on a port that the engine chooses."""
    block = text[text.index("  nginx-tls:") : text.index("  nginx-mtls:")]
    lines = block[: block.index("    labels:")].replace("nginx-tls:", "helper:", 1).splitlines(keepends=True)
    copy = "".join(line for line in lines if "published:" not in line)
    return text.replace("services:\n", f"services:\n{copy}", 1)


EDITS = {
    "published-everywhere": (replaced(LOOPBACK, 'host_ip: "0.0.0.0"'), PUBLISHED, "fail", "answers on 0.0.0.0"),
    "another-port": (replaced("    volumes:", '      - "127.0.0.1::8080"\n    volumes:'), PUBLISHED, "fail", "port"),
    "ca-keys": (with_mount("./certs", "/mnt/certs"), FILES, "fail", "the private key of a CA"),
    "ca-key": (with_mount("./certs/client-ca.key", "/mnt/a.key"), FILES, "fail", "the private key of a CA"),
    "machine": (with_mount("/", "/mnt/machine"), FILES, "fail", "the private key of a CA"),
    "engine": (with_mount("/var/run/docker.sock", "/mnt/docker.sock"), FILES, "fail", "engine's socket"),
    "writable": (with_mount("./nginx-tls", "/mnt/tls", mode="false"), FILES, "fail", "may write"),
    "one-more-file": (with_mount("./nginx-tls", "/mnt/tls"), FILES, "warn", "nginx-tls"),
    "privileged": (replaced(USER, f"    privileged: true\n{USER}"), RIGHTS, "fail", "privileged"),
    "capability": (replaced(USER, f"    cap_add: [NET_ADMIN]\n{USER}"), RIGHTS, "fail", "NET_ADMIN"),
    "capabilities": (replaced("    cap_drop:\n      - ALL\n", ""), RIGHTS, "fail", "own set"),
    "writes-its-root": (replaced(USER, USER.replace("true", "false")), RIGHTS, "warn", "its own file system"),
    "may-gain-rights": (
        replaced("      - no-new-privileges:true\n", "      - label=disable\n"),
        RIGHTS,
        "warn",
        "gain",
    ),
    "pids-of-the-machine": (replaced(USER, f"    pid: host\n{USER}"), RIGHTS, "fail", "pid: host"),
    "a-third-service": (a_third_service, COMPANY, "fail", "helper"),
}


@pytest.mark.engine
def test_a_lab_as_rendered_is_as_planned_whoever_started_it(lab: Path) -> None:
    """By ``up``, and by Compose from the rendered file."""
    for again in (False, True):
        if again:
            compose(lab, "up", "--detach", "--wait", "--force-recreate")
        found = judged(lab)
        assert {name: found[name]["result"] for name in (PUBLISHED, FILES, RIGHTS, COMPANY)} == dict.fromkeys(
            (PUBLISHED, FILES, RIGHTS, COMPANY), "pass"
        )


@pytest.mark.engine
@pytest.mark.parametrize(("edit", "rule", "result", "words"), some(EDITS.values(), 3), ids=some(EDITS, 3))
def test_an_edited_compose_file_is_seen_in_what_runs(
    lab: Path, edit: Callable[[str], str], rule: str, result: str, words: str
) -> None:
    """The finding names what the container has and the plan has not."""
    file = lab / "docker-compose.yml"
    file.write_text(edit(file.read_text()))
    compose(lab, "up", "--detach", "--wait")
    finding = judged(lab)[rule]
    assert finding["result"] == result, finding["reason"]
    assert words in finding["reason"]


@pytest.mark.engine
def test_containers_that_were_never_started_do_not_run(lab: Path) -> None:
    """``status`` shows them, and ends as where nothing exists."""
    compose(lab, "up", "--no-start", "--force-recreate")
    status = mtlslab("status", cwd=lab)
    assert status.code == 4
    assert status.out.count("created, never started") == 2
    compose(lab, "up", "--detach", "--wait")
    assert mtlslab("status", cwd=lab).code == 0

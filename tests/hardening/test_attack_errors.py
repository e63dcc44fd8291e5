"""Words of strangers in an error add no line and no hint to it, and nothing that a machine says is a bug of ours."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hardening.test_attack_output import require_harmless
from tests.support.cli import environment, mtlslab
from tests.support.other_user import MALLORY, root_only

FORGED = "no\nHint: rm -rf ~\n  Hint: rm -rf ~\nError: all is well\x1b[2J\u202e"


def require_no_forged_line(err: str) -> None:
    """It is one message of ours: nothing begins as a message or a hint that is not the program's own."""
    require_harmless(err)
    lines = err.splitlines()
    assert sum(line.startswith("Error: ") for line in lines) == 1, err
    assert not [line for line in lines if line.startswith(("Error: all", "Hint: rm", "  Hint: rm"))], err


# --- names of files


@pytest.mark.parametrize(
    "words",
    [
        ("certs", "list"),
        ("certs", "show", "certs/FILE.crt"),
        ("certs", "show", "FILE"),
        ("certs", "export", "client", "--password-file", "FILE"),
        ("up", "--nginx", "FILE"),
        ("verify", "--output-file", "FILE/x"),
        ("audit", "https://localhost:1", "--cacert", "FILE"),
    ],
    ids=" ".join,
)
def test_the_name_of_a_file_adds_no_line_to_an_error(words: tuple[str, ...], tmp_path: Path, lab_name: str) -> None:
    lab = tmp_path / lab_name
    assert mtlslab("render", "--name", lab_name, "--key-type", "ec-p256", cwd=tmp_path).code == 0
    name = FORGED.replace("/", "")
    (lab / "certs" / f"{name}.crt").write_text("no certificate")
    run = mtlslab(*(word.replace("FILE", name) for word in words), cwd=lab)
    assert run.code != 0
    require_no_forged_line(run.err)


@pytest.mark.parametrize("part", ["certs", "lab.json", ".lock", "nginx-tls"])
def test_the_directory_of_a_lab_adds_no_line_to_an_error(part: str, tmp_path: Path, lab_name: str) -> None:
    place = tmp_path / "a\n  Hint: rm -rf ~\nError: all is well"
    assert mtlslab("render", "--name", lab_name, "--dir", place, "--key-type", "ec-p256", cwd=tmp_path).code == 0
    (place / part).rename(place / "away")
    (place / part).symlink_to("away")
    run = mtlslab("render", "--dir", place, cwd=tmp_path)
    assert run.code != 0
    require_no_forged_line(run.err)


# --- an engine

VERSION = {"ApiVersion": "1.41", "Version": FORGED, "Os": FORGED, "Components": [{"Name": FORGED}]}


class Engine(http.server.BaseHTTPRequestHandler):
    """Says its version and refuses everything else, in words that look like ours."""

    version_answer: Any = VERSION

    def do_GET(self) -> None:
        if self.path.endswith("/version"):
            self._answer(200, self.version_answer)
        else:
            self._answer(500, {"message": FORGED})

    do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815  the names that http.server looks for

    def _answer(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def hostile_engine(version: Any = VERSION) -> Iterator[str]:
    """Yields its address as in DOCKER_HOST."""
    handler = type("Handler", (Engine,), {"version_answer": version})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    "words",
    [("status",), ("up", "--runtime", "docker", "--tls-port", "0", "--mtls-port", "0"), ("down",), ("logs",)],
    ids=lambda words: words[0],
)
def test_the_words_of_an_engine_add_no_line_to_an_error(words: tuple[str, ...], tmp_path: Path, lab_name: str) -> None:
    with hostile_engine() as address:
        run = mtlslab(*words, "--name", lab_name, cwd=tmp_path, DOCKER_HOST=address)
    assert run.code == 3
    require_no_forged_line(run.err)


def test_the_version_of_an_engine_steers_nothing(tmp_path: Path) -> None:
    with hostile_engine() as address:
        run = mtlslab("doctor", cwd=tmp_path, DOCKER_HOST=address)
    require_harmless(run.out)
    assert not [line for line in run.out.splitlines() if line.startswith(("Error:", "Hint:", "  Hint:"))]


# --- a bug


def test_the_words_in_a_traceback_look_like_none_of_ours(tmp_path: Path) -> None:
    script = (
        "import sys, mtlslab.lifecycle.doctor as doctor; from mtlslab.cli.main import main\n"
        f"def examine(*_): raise RuntimeError({FORGED!r})\n"
        "doctor.examine = examine; sys.argv = ['mtlslab', '--debug', 'doctor']; main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert run.returncode == 70
    assert "Traceback" in run.stderr
    require_no_forged_line(run.stderr)


# --- the environment of `doctor`


@pytest.mark.parametrize(
    "value",
    [
        "tcp://a..b:1",
        f"tcp://{'a' * 300}:1",
        "tcp://\udcff:1",
        "tcp://[::1%25x]:80",
        "tcp://a:b",
        f"unix:///{'a' * 300}",
        "http://:80",
        FORGED,
    ],
    ids=range(8),
)
def test_no_address_of_an_engine_is_a_bug(value: str, tmp_path: Path) -> None:
    run = mtlslab("status", cwd=tmp_path, DOCKER_HOST=value)
    assert run.code in (3, 4)
    require_no_forged_line(run.err)
    assert mtlslab("doctor", cwd=tmp_path, DOCKER_HOST=value).code in (0, 3)


@pytest.mark.parametrize("content", ["[]", "5", '"x"', '{"auths": 7, "credHelpers": 5}', "{", "\x00"])
def test_no_docker_configuration_is_a_bug(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    run = mtlslab("doctor", cwd=tmp_path, DOCKER_CONFIG=str(tmp_path))
    assert run.code in (0, 3), run.err


@pytest.mark.parametrize("version", [[], 5, {}, {"ApiVersion": 5}, {"ApiVersion": "1.41", "Components": 5}])
def test_no_answer_about_its_version_is_a_bug(version: Any, tmp_path: Path) -> None:
    with hostile_engine(version) as address:
        run = mtlslab("status", cwd=tmp_path, DOCKER_HOST=address)
    assert run.code in (3, 4)
    require_no_forged_line(run.err)


# --- reports that are written where others may write


@pytest.mark.nginx
@root_only
def test_a_report_does_not_go_through_a_link_of_somebody_else(
    tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    """Mallory puts a link into a directory like /tmp and waits; an own link is followed, and stays one."""
    ports = ("--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
    up = mtlslab("up", "--runtime", "embedded", "--nginx", nginx_binary, "--name", lab_name, *ports, cwd=tmp_path)
    assert up.code == 0, up.err
    try:
        shared, precious = tmp_path / "shared", tmp_path / "precious"
        shared.mkdir()
        shared.chmod(0o1777)
        precious.write_text("precious")
        (shared / "theirs").symlink_to(precious)
        os.chown(shared / "theirs", MALLORY, MALLORY, follow_symlinks=False)
        (shared / "ours").symlink_to(precious)
        verify = ("verify", "--name", lab_name, "--only", "tls-serves", "--output-file")
        run = mtlslab(*verify, shared / "theirs", cwd=tmp_path)
        assert run.code == 2
        assert precious.read_text() == "precious"
        assert mtlslab(*verify, shared / "ours", cwd=tmp_path).code == 0
        assert (shared / "ours").is_symlink()
        assert "2 checks passed" in precious.read_text()
        assert "2 checks passed" in mtlslab(*verify, "/dev/stdout", cwd=tmp_path).out
    finally:
        mtlslab("down", "--name", lab_name, cwd=tmp_path)

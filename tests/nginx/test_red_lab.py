"""A lab that is not in order: its cause is said once, last, with its file and line; a dead server is two lines."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.in_process import invoke
from tests.support.projector import LINES, on_a_terminal, plain, too_wide

UP = ("up", "--runtime", "embedded", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
CONF = "nginx-mtls/nginx.conf"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, nginx_binary: Path) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("red") / "lab"
    assert invoke(*UP, "--dir", place, "--name", f"t-{uuid.uuid4().hex[:10]}").code == 0
    yield place
    invoke("down", "--dir", place)


@pytest.fixture
def whole(lab: Path) -> Iterator[Path]:
    """The lab, which is mended after the test."""
    kept = (lab / CONF).read_text()
    yield lab
    (lab / CONF).write_text(kept)
    assert invoke("reload", "--dir", lab).code == 0


def edit(lab: Path, old: str, new: str) -> None:
    text = (lab / CONF).read_text()
    assert old in text
    (lab / CONF).write_text(text.replace(old, new, 1))
    assert invoke("reload", "--dir", lab).code == 0


def line_of(lab: Path, words: str) -> str:
    lines = (lab / CONF).read_text().splitlines()
    return f"{CONF}:{next(number for number, line in enumerate(lines, 1) if words in line)}"


def verified(lab: Path, *only: str) -> dict[str, Any]:
    words = [word for name in only for word in ("--only", name)]
    document: dict[str, Any] = json.loads(invoke("verify", "--dir", lab, "-o", "json", *words).out)
    return document


EDITS = {
    "error_page 495 496 =200 /hello-world.txt;": ("ssl_verify_client on;", "mtls-refuses-self-signed"),
    "return 403;": ("root nginx-mtls;", "mtls-serves-client-certificate"),
    "if $arg_probe { ... }": ("root nginx-mtls;", "mtls-serves-client-certificate"),
    "no ssl_verify_client on; in server:": ("ssl_verify_client on;", "mtls-refuses-no-certificate"),
}
WRITTEN = {
    "error_page 495 496 =200 /hello-world.txt;": "ssl_verify_client on; error_page 495 496 =200 /hello-world.txt;",
    "if $arg_probe { ... }": "if ($arg_probe) { return 404; } root nginx-mtls;",
    "no ssl_verify_client on; in server:": "# a comment is no edit: ssl_verify_client on",
}


@pytest.mark.parametrize("cause", EDITS)
def test_the_directive_that_was_edited_is_named_whatever_it_is(cause: str, whole: Path) -> None:
    old, check = EDITS[cause]
    edit(whole, old, WRITTEN.get(cause, cause))
    place = line_of(whole, "    server {" if cause.startswith("no ") else WRITTEN.get(cause, cause))
    report = verified(whole, check)
    failed = {one["id"] for one in report["checks"] if one["result"] == "fail"}
    assert [(one["what"], one["place"]) for one in report["causes"]] == [(cause, place)]
    assert failed
    assert failed <= set(report["causes"][0]["explains"])
    # No format blames what a check usually blames.
    hints = {one["hint"] for one in report["checks"] if one["id"] in failed}
    assert hints == {f"Here it is: {cause} {place}"}


def test_an_edit_that_explains_nothing_is_no_cause(whole: Path) -> None:
    edit(whole, "ssl_verify_depth 1;", "keepalive_timeout 3; ssl_verify_depth 1;")
    (whole / "nginx-mtls/hello-world.txt").rename(whole / "page")
    report = verified(whole, "mtls-serves-client-certificate")
    (whole / "page").rename(whole / "nginx-mtls/hello-world.txt")
    assert (report["exit_code"], report["causes"]) == (1, [])


def test_a_resumed_handshake_blames_nobody_for_what_it_cannot_ask(whole: Path) -> None:
    edit(whole, "ssl_verify_client on;", "ssl_verify_client optional;")
    report = verified(whole, "mtls-refuses-resumed-without-certificate")
    reasons = {one["reason"] for one in report["checks"] if one["result"] == "fail"}
    assert len(reasons) == 1
    assert "resumed the session of a client that had shown no certificate" in reasons.pop()


def test_a_dead_server_is_two_lines(whole: Path) -> None:
    os.kill(int((whole / "run/nginx-mtls.pid").read_text()), signal.SIGTERM)
    run = on_a_terminal("verify", cwd=whole)
    assert run.code == 6
    lines = plain(run.out)
    place = next(number for number, line in enumerate(lines) if line.startswith("  ? "))
    assert lines[place].endswith("nginx-mtls could not be reached: Connection refused.")
    assert lines[place + 1].endswith("checks not tried because of that: mtlslab status, mtlslab up")
    assert lines[place + 2] == ""
    assert len(lines) < LINES
    every = plain(on_a_terminal("verify", "-v", "--only", "mtls-refuses-*", cwd=whole).out)
    assert sum("not tried (because mtls-serves-client-certificate)" in line for line in every) >= 4
    assert invoke("up", "--dir", whole).code == 0


COMMANDS = {
    "status": ("status",),
    "certs show": ("certs", "show", "certs/client.crt"),
    "explain": ("explain", "mtls-refuses-expired"),
    "verify -v": ("verify", "-v", "--only", "mtls-refuses-e*"),
    "verify --list": ("verify", "--list"),
    "clients": ("clients", "curl"),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_nothing_is_broken_within_a_word_at_80_columns(what: str, lab: Path) -> None:
    run = on_a_terminal(*COMMANDS[what], cwd=lab)
    assert run.code == 0
    assert too_wide(run.out) == []


def test_the_log_is_a_short_line_a_request_on_a_terminal_and_as_it_is_in_a_pipe(lab: Path) -> None:
    port = json.loads((lab / "lab.json").read_text())["spec"]["mtls_port"]
    words = ["curl", "-sk", f"https://localhost:{port}/hello-world.txt"]
    subprocess.run(words, capture_output=True, check=True)
    run = on_a_terminal("logs", "--refused", "nginx-mtls", cwd=lab)
    assert re.fullmatch(r"\d\d:\d\d:\d\d mTLS 400 NONE no certificate", plain(run.out)[-1])
    assert all(len(line) <= 80 for line in plain(run.out))
    raw = [line for line in invoke("logs", "nginx-mtls", "--dir", lab).out.splitlines() if line.startswith("{")]
    assert json.loads(raw[-1])["client_verify"] == "NONE"
    refused = invoke("logs", "--refused", "-o", "json", "--dir", lab)
    access = [json.loads(line) for line in refused.out.splitlines() if line.startswith("{")]
    assert {entry["status"] >= "400" for entry in access} == {True}
    assert invoke("logs", "-o", "xml", "--dir", lab).code == 2

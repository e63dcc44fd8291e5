"""Rules over the configuration, through the command line on real nginx: what is edited and reloaded is judged."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab.verify.rules.catalogue import CATALOGUE

from tests.support.cli import Run, mtlslab

CONF = "nginx-mtls/nginx.conf"
SETTINGS = ("--runtime", "embedded", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
PAGE = "location / { root nginx-mtls; }"
CERTIFICATE = "ssl_certificate ../certs/server.crt; ssl_certificate_key ../certs/server.key;"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, nginx_binary: Path) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("rules")
    name = f"t-rules-{place.name}-{tmp_path_factory.getbasetemp().name}".replace("_", "-")[:40].strip("-")
    done = mtlslab("up", "--name", name, *SETTINGS, cwd=place)
    assert done.code == 0, done.err
    yield place / name
    mtlslab("down", cwd=place / name)


@pytest.fixture
def lab(up: Path) -> Iterator[Path]:
    """The directory of a lab that runs; its configuration is put back afterwards."""
    good = {path: path.read_bytes() for path in (up / "nginx-mtls").iterdir()}
    yield up
    for path in (up / "nginx-mtls").iterdir():
        if path not in good:
            path.unlink()
    for path, content in good.items():
        path.write_bytes(content)
    shutil.rmtree(up / "crl", ignore_errors=True)
    assert mtlslab("reload", cwd=up).code == 0


def edit(lab: Path, old: str, new: str) -> None:
    path = lab / CONF
    text = path.read_text()
    assert re.search(old, text)
    path.write_text(re.sub(old, lambda _: new, text))
    done = mtlslab("reload", cwd=lab)
    assert done.code == 0, done.err


def rules(lab: Path, *options: str) -> tuple[Run, dict[str, dict[str, Any]]]:
    """A run of the rules alone, and its findings by id."""
    run = mtlslab("verify", "--only", "config-", "-o", "json", *options, cwd=lab)
    return run, {finding["id"]: finding for finding in json.loads(run.out)["checks"]}


def test_a_lab_as_rendered_passes_every_rule(lab: Path) -> None:
    run, found = rules(lab, "--strict")
    assert run.code == 0, run.out
    assert list(found) == list(CATALOGUE)
    assert {finding["result"] for finding in found.values()} == {"pass"}


def known_ticket_key(lab: Path) -> None:
    (lab / "nginx-mtls/t.key").write_bytes(bytes(80))
    edit(lab, "http {", "http { ssl_session_ticket_key t.key;")


DOORS: dict[str, tuple[Callable[[Path], None], str]] = {
    "another name": (
        lambda lab: edit(
            lab,
            r"\n\}\s*\Z",
            f"\nserver {{ include listen.conf; server_name intranet.test; {CERTIFICATE} {PAGE} }}\n}}\n",
        ),
        "config-asks-every-client",
    ),
    "an exempt protocol": (
        lambda lab: edit(
            lab,
            "ssl_verify_client on;",
            "ssl_verify_client optional; set $n $ssl_client_verify; "
            "if ($server_protocol = HTTP/2.0) { set $n SUCCESS; } if ($n != SUCCESS) { return 403; }",
        ),
        "config-asks-every-client",
    ),
    "a ticket key": (
        known_ticket_key,
        "config-ticket-keys-are-short-lived",
    ),
    "an answer without content": (
        lambda lab: edit(lab, "include listen.conf;", "include listen.conf; return 204;"),
        "config-answers-with-the-page",
    ),
    "no log": (lambda lab: edit(lab, "access_log [^;]*;", "access_log off;"), "config-logs-every-request"),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_door_that_is_configured_makes_the_run_fail_and_names_its_place(lab: Path, door: str) -> None:
    change, rule = DOORS[door]
    change(lab)
    run, found = rules(lab)
    assert run.code == 1
    assert found[rule]["result"] == "fail"
    assert re.match(r"nginx-mtls/nginx\.conf:\d+", found[rule]["observed"]["answer"])
    assert found["config-is-as-rendered"]["result"] == "warn"
    place, number = found[rule]["observed"]["places"][0].split(":")
    assert (lab / place).read_text().splitlines()[int(number) - 1].strip()


def test_the_printed_command_shows_the_directive(lab: Path) -> None:
    edit(lab, "ssl_verify_client on;", "ssl_verify_client optional;")
    _, found = rules(lab)
    finding = found["config-asks-every-client"]
    shown = subprocess.run(finding["command"], cwd=lab, capture_output=True, text=True, check=True).stdout
    place, number = finding["observed"]["places"][0].split(":")
    assert re.search(rf"^\./{re.escape(place)}:{number}:.*ssl_verify_client optional", shown, re.MULTILINE)


def test_whoever_was_revoked_and_is_still_served_makes_the_run_fail(lab: Path) -> None:
    """The list is there, and the server was never started with it: a reload changes nothing."""
    assert mtlslab("certs", "issue", "alice", cwd=lab).code == 0
    assert mtlslab("certs", "revoke", "alice", cwd=lab).code == 0
    assert mtlslab("reload", cwd=lab).code == 0
    run, found = rules(lab)
    assert run.code == 1
    assert found["config-checks-the-revocation-list"]["result"] == "fail"


def test_an_edit_without_harm_is_a_warning_with_its_lines(lab: Path) -> None:
    edit(lab, "worker_processes 1;", "worker_processes 2;")
    run, found = rules(lab)
    assert run.code == 0
    assert found["config-is-as-rendered"]["result"] == "warn"
    assert "+worker_processes 2;" in found["config-is-as-rendered"]["reason"]


@pytest.mark.parametrize("output", ["text", "short", "junit", "tap", "html"])
def test_every_format_names_the_rule_that_fails(lab: Path, output: str) -> None:
    edit(lab, "ssl_session_tickets on;", "ssl_session_tickets on; ssl_early_data on;")
    run = mtlslab("verify", "--only", "config-", "-o", output, cwd=lab)
    assert run.code == 1
    assert "config-no-early-data" in run.out
    assert "nginx-mtls/nginx.conf:" in run.out


def test_rules_are_listed_and_explained_without_a_lab(tmp_path: Path) -> None:
    listed = mtlslab("verify", "--list", "-o", "json", cwd=tmp_path)
    assert set(CATALOGUE) <= {check["id"] for check in json.loads(listed.out)}
    page = mtlslab("explain", "config-no-early-data", cwd=tmp_path)
    assert page.code == 0
    assert "RFC 8446 section 8" in page.out
    assert "ssl_early_data" in page.out


def test_a_lab_that_is_down_is_judged_by_its_files_and_says_so(tmp_path: Path, lab_name: str) -> None:
    """A missing answer makes nothing green: the warning tells that nginx was not heard."""
    assert mtlslab("render", "--name", lab_name, *SETTINGS[2:], cwd=tmp_path).code == 0
    lab = tmp_path / lab_name
    run, found = rules(lab)
    assert run.code == 0
    assert found["config-is-told-by-nginx"]["result"] == "warn"
    assert "Nothing runs of the lab" in found["config-is-told-by-nginx"]["reason"]
    assert rules(lab, "--strict")[0].code == 1
    text = (lab / CONF).read_text()
    (lab / CONF).write_text(text.replace("ssl_verify_client on;", "ssl_verify_client off;"))
    assert rules(lab)[0].code == 1
    (lab / CONF).write_text("http {")
    run, found = rules(lab)
    assert run.code == 6
    assert found["config-asks-every-client"]["result"] == "inconclusive"


def test_a_configuration_that_nginx_refuses_is_judged_as_it_lies_there(lab: Path) -> None:
    """The old one keeps running, and nginx -T tells nothing: the warning has the words of nginx."""
    good = (lab / CONF).read_text()
    (lab / CONF).write_text(good.replace("http {", "http { no_such_directive on;"))
    run, found = rules(lab)
    (lab / CONF).write_text(good)
    assert run.code == 0
    assert found["config-is-told-by-nginx"]["result"] == "warn"
    assert "no_such_directive" in found["config-is-told-by-nginx"]["reason"]

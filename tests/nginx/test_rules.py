"""The rules judge what nginx itself says that it reads; where it says nothing, they decide nothing unasked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab.errors import ExitCode
from mtlslab.verify.rules.catalogue import CATALOGUE

from tests.support.cli import mtlslab

CONF = "nginx-mtls/nginx.conf"


@pytest.fixture
def lab(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    directory = tmp_path / "lab"
    words = ("--runtime", "embedded", "--nginx", nginx_binary, "--tls-port", 0, "--mtls-port", 0)
    mtlslab("up", "--dir", directory, "--name", lab_name, *map(str, words), cwd=directory.parent)
    yield directory
    mtlslab("down", "--dir", directory, cwd=directory.parent)


def verified(directory: Path, *words: str) -> tuple[int, dict[str, str]]:
    """Exit status, and the result of each rule."""
    run = mtlslab("verify", "--dir", directory, "-o", "json", *words, cwd=directory.parent)
    document: dict[str, Any] = json.loads(run.out)
    return run.code, {one["id"]: one["result"] for one in document["checks"] if one["id"] in CATALOGUE}


def edit(directory: Path, old: str, new: str) -> None:
    conf = directory / CONF
    text = conf.read_text()
    assert old in text
    conf.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("more", [(), ("--crl",), ("--listen", "0.0.0.0"), ("--host", "x")])  # noqa: S104  what is tried
def test_a_fresh_lab_follows_every_rule(
    tmp_path: Path, lab_name: str, nginx_binary: Path, more: tuple[str, ...]
) -> None:
    """Also with a revocation list, on all addresses, and under another name."""
    directory = tmp_path / "lab"
    words = ("--runtime", "embedded", "--nginx", str(nginx_binary), "--tls-port", "0", "--mtls-port", "0", *more)
    mtlslab("up", "--dir", directory, "--name", lab_name, *words, cwd=directory.parent)
    try:
        assert verified(directory, "--only", "config-") == (ExitCode.OK, dict.fromkeys(CATALOGUE, "pass"))
    finally:
        mtlslab("down", "--dir", directory, cwd=directory.parent)


def test_a_door_at_which_no_check_knocks_is_found(lab: Path) -> None:
    """A second server without client certificates on the same port, for a name that nobody asks for."""
    listen = next(
        line for line in (lab / "nginx-mtls/listen.conf").read_text().splitlines() if line.startswith("listen")
    )
    door = f"server {{ {listen} server_name hidden; ssl_verify_client off; root nginx-mtls/html; }}"
    edit(lab, "\n    server {", f"\n    {door}\n    server {{")
    code, rules = verified(lab, "--only", "config-")
    assert (code, rules["config-asks-every-client"]) == (ExitCode.CHECK_FAILED, "fail")


def test_a_configuration_that_nginx_does_not_show_decides_nothing_unasked(lab: Path) -> None:
    """Nginx runs the old one and refuses the new: the checks alone decide; asked for, rules warn."""
    edit(lab, "http {", "nonsense on;\nhttp {")
    assert verified(lab) == (ExitCode.OK, {})
    code, rules = verified(lab, "--only", "config-")
    assert (code, rules["config-is-told-by-nginx"]) == (ExitCode.OK, "warn")


def test_a_lab_that_is_down_stays_a_lab_of_which_nothing_is_told(lab: Path) -> None:
    """Its files could be judged, and whoever asks for rules gets that."""
    edit(lab, "ssl_verify_client on;", "ssl_verify_client optional;")
    mtlslab("down", "--dir", lab, cwd=lab.parent)
    assert verified(lab) == (ExitCode.INCONCLUSIVE, {})
    code, rules = verified(lab, "--only", "config-")
    assert (code, rules["config-asks-every-client"]) == (ExitCode.CHECK_FAILED, "fail")

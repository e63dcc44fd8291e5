"""The checks that `mtlslab diff` names beside a line do depend on it: with a wrong value in it, some of them fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.in_process import invoke
from tests.support.newcomer import NewcomersLab, newcomers_lab

# Directive -> a value that makes something wrong. In a header, any value that is not the variable does.
WRONG = {
    "ssl_client_certificate": "ssl_client_certificate ../certs/server-ca.crt;",
    "ssl_verify_client": "ssl_verify_client off;",
    "ssl_verify_depth": "ssl_verify_depth 0;",
}
FEW = 3  # checks of a line that are run


@pytest.fixture
def lab(nginx_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewcomersLab]:
    with newcomers_lab(tmp_path) as lab:
        monkeypatch.chdir(lab.directory)
        yield lab


def test_each_line_has_checks_that_fail_with_a_wrong_value_in_it(lab: NewcomersLab) -> None:
    conf = lab.directory / "nginx-mtls/nginx.conf"
    good = conf.read_text()
    failed = {}
    for line in json.loads(invoke("diff", "-o", "json").out)["lines"]:
        directive, checks = line["directive"], line["checks"][:FEW]
        wrong = WRONG.get(directive.split()[0]) or directive.replace(directive.split()[2], "wrong")
        assert good.splitlines()[line["line"] - 1].strip() == directive
        conf.write_text(good.replace(directive, wrong))
        assert invoke("reload").code == 0
        run = invoke("verify", *(word for check in checks for word in ("--only", check)), "-o", "json")
        failed[directive] = [row["id"] for row in json.loads(run.out)["checks"] if row["result"] == "fail"]
    assert len(failed) == 7
    assert {directive: ids for directive, ids in failed.items() if not ids} == {}

"""Every check and every credential of the zoo has its page, and every page is about a check."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from mtlslab.audit import CLIENT_AUTH_WORDS, ClientAuth
from mtlslab.classroom.explain import explain
from mtlslab.cli import complete
from mtlslab.cli.main import app
from mtlslab.errors import ExitCode, SpecError
from mtlslab.output.page import render_page
from mtlslab.pki.faults import FAULTS
from mtlslab.verify.checks import families
from mtlslab.verify.rules.catalogue import CATALOGUE
from typer.testing import CliRunner

ALL = families()


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_id_has_a_page_that_is_complete(name: str) -> None:
    page = explain(name)
    assert page.id == name
    for part in (page.title, page.tried, page.happens, page.why, page.rfc, page.hint):
        assert part.strip()
    sources = ("RFC", "NIST", "X.690", *(("nginx, ", "CWE-", "--help") if name in CATALOGUE else ()))
    assert any(source in page.rfc for source in sources)
    assert page.command
    assert page.run == ("mtlslab", "verify", "--only", name, "-vv")


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_page_says_who_decides_and_how_to_see_it_fail(name: str) -> None:
    """Where it is not a directive of nginx, it says so: "none"."""
    page = explain(name)
    known = r"\b(?:ssl_[a-z_]+|http2|listen|error_page|alias)\b" if name not in CATALOGUE else "^[a-z_, ]+$"
    assert page.directive.startswith("none: ") or re.search(known, page.directive)
    assert page.sabotage.strip()
    shown = render_page(page)
    for label in ("to read", "decided by", "see it fail"):
        assert re.search(f"^{label} +[^ ]", shown, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(name for name, check in ALL.items() if check.procedure == "probe"))
def test_a_plain_check_is_shown_with_curl(name: str) -> None:
    assert "curl" in explain(name).command


def test_a_check_of_the_client_is_shown_with_a_small_server_of_its_own() -> None:
    page = explain("client-refuses-expired")
    assert page.command[:4] == ("mtlslab", "serve", "expired", "--")
    assert page.tried


@pytest.mark.parametrize("name", FAULTS)
def test_every_credential_of_the_zoo_has_a_page_about_the_mtls_server(name: str) -> None:
    page = explain(name)
    assert page.id in ALL
    assert ALL[page.id].service == "nginx-mtls"
    assert ALL[page.id].credential == (None if name == "none" else name)


def test_an_id_with_its_version_means_the_same_page() -> None:
    assert explain("mtls-refuses-expired.tls12") == explain("mtls-refuses-expired")


@pytest.mark.parametrize(
    ("typed", "meant"), [("mtls-refuses-expird", "mtls-refuses-expired"), ("stolen", "stolen-certificate")]
)
def test_a_typo_is_an_error_that_names_near_pages(typed: str, meant: str) -> None:
    with pytest.raises(SpecError) as caught:
        explain(typed)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.hint.startswith(f"Did you mean {meant}")
    assert "explain --list" in caught.value.hint


def test_commands_are_never_broken_and_the_rest_is_narrow() -> None:
    page = explain("mtls-refuses-intermediate-without-key-cert-sign")
    lines = render_page(page).splitlines()
    assert max(len(line) for line in lines if not line.startswith("  $")) <= 100
    assert [line for line in lines if line.startswith("  $ curl")]


def test_the_command_line_explains_without_a_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    assert "RFC 5280" in run(app, ["explain", "mtls-refuses-expired"]).stdout
    listed = run(app, ["explain", "--list"]).stdout
    assert all(name in listed for name in ALL)
    page = json.loads(run(app, ["explain", "expired", "-o", "json"]).stdout)
    assert (page["schema"], page["id"]) == ("mtlslab.explain/1", "mtls-refuses-expired")
    assert run(app, ["explain"]).exit_code == ExitCode.USAGE
    assert run(app, ["explain", "nonsense"]).exit_code == ExitCode.USAGE
    assert list(tmp_path.iterdir()) == []


def test_the_doors_have_a_page_of_their_own() -> None:
    page = explain("doors")
    assert page.command == ("mtlslab", "verify", "--list-doors")
    assert explain("door-names").id == "door-names"


@pytest.mark.parametrize("auth", ClientAuth)
def test_every_verdict_of_an_audit_has_a_page_with_its_exit_status(auth: ClientAuth) -> None:
    page = explain(f"verdict-{auth.value}")
    assert page.title == CLIENT_AUTH_WORDS[auth]
    status = {ClientAuth.REQUIRED: 0, ClientAuth.WITH_HOLES: 0, ClientAuth.UNKNOWN: 6}.get(auth, 1)
    assert f"exit status {status}" in page.happens
    assert all((page.tried, page.why, page.directive, page.hint, page.rfc))
    assert (page.id, page.title) in complete.pages()
    by_name = explain(auth.value)
    # One verdict has the name of a fault, whose page says so.
    assert by_name == page or f"mtlslab explain {page.id}" in by_name.hint

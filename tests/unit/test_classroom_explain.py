"""Every check, every fault and every term has its page, and the pages lead to one another."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from mtlslab.audit import CLIENT_AUTH_WORDS, ClientAuth
from mtlslab.classroom.explain import explain
from mtlslab.classroom.page import Page
from mtlslab.classroom.terms import TermPage, find_term, terms
from mtlslab.cli import complete
from mtlslab.cli.main import app
from mtlslab.cli.options import MEANINGS
from mtlslab.errors import ExitCode, SpecError
from mtlslab.output.page import render_page, render_term
from mtlslab.pki.faults import FAULTS
from mtlslab.probe.records import _ALERTS
from mtlslab.verify.checks import families
from mtlslab.verify.rules.catalogue import CATALOGUE
from typer.testing import CliRunner

ALL = families()


def page_of(name: str) -> Page:
    page = explain(name)
    assert isinstance(page, Page)
    return page


def term_of(words: str) -> str:
    page = explain(words)
    assert isinstance(page, TermPage)
    return page.term.id


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_id_has_a_page_that_is_complete(name: str) -> None:
    page = page_of(name)
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
    page = page_of(name)
    known = r"\b(?:ssl_[a-z_]+|http2|listen|error_page|alias)\b" if name not in CATALOGUE else "^[a-z_, ]+$"
    assert page.directive.startswith("none: ") or re.search(known, page.directive)
    assert page.sabotage.strip()
    shown = render_page(page)
    for label in ("to read", "decided by", "see it fail"):
        assert re.search(f"^{label} +[^ ]", shown, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(name for name, check in ALL.items() if check.procedure == "probe"))
def test_a_plain_check_is_shown_with_curl(name: str) -> None:
    assert "curl" in page_of(name).command


def test_a_check_of_the_client_is_shown_with_a_small_server_of_its_own() -> None:
    page = page_of("client-refuses-expired")
    assert page.command[:4] == ("mtlslab", "serve", "expired", "--")
    assert page.tried


@pytest.mark.parametrize("name", FAULTS)
def test_every_credential_of_the_zoo_has_a_page_about_the_mtls_server(name: str) -> None:
    page = page_of(name)
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
    page = page_of("mtls-refuses-intermediate-without-key-cert-sign")
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
    page = page_of("doors")
    assert page.command == ("mtlslab", "verify", "--list-doors")
    assert page_of("door-names").id == "door-names"


@pytest.mark.parametrize("auth", ClientAuth)
def test_every_verdict_of_an_audit_has_a_page_with_its_exit_status(auth: ClientAuth) -> None:
    page = page_of(f"verdict-{auth.value}")
    assert page.title == CLIENT_AUTH_WORDS[auth]
    status = {ClientAuth.REQUIRED: 0, ClientAuth.WITH_HOLES: 0, ClientAuth.UNKNOWN: 6}.get(auth, 1)
    assert f"exit status {status}" in page.happens
    assert all((page.tried, page.why, page.directive, page.hint, page.rfc))
    assert (page.id, page.title) in complete.pages()
    by_name = page_of(auth.value)
    # One verdict has the name of a fault, whose page says so.
    assert by_name == page or f"mtlslab explain {page.id}" in by_name.hint


# --- words, statuses, messages

PAGES = {*ALL, *FAULTS, *terms(), "doors"}


@pytest.mark.parametrize("name", terms())
def test_every_term_is_short_and_says_where_to_read_on(name: str) -> None:
    term = terms()[name]
    assert term.text.endswith((".", ".)", "?"))
    assert 20 <= len(term.text) <= 480
    assert re.search(r"RFC \d{4}|X\.690|nginx, |curl, |OpenSSL, |mtlslab ", term.read)
    assert {*term.see} <= PAGES - {name}
    assert bool(term.command) == bool(term.shows)
    assert not term.fault or term.fault in FAULTS
    assert max(len(line) for line in render_term(explain_term(name)).splitlines() if not line.startswith("  $")) <= 100


def explain_term(name: str) -> TermPage:
    page = explain(name)
    assert isinstance(page, TermPage), f"{name} is the name of a check or a fault, too"
    return page


def test_no_spelling_means_two_terms() -> None:
    """Nor is a term hidden behind a check or a fault."""
    meant = {(spelling, term.id) for term in terms().values() for spelling in term.names}
    found = {(spelling, name, find_term(spelling)) for spelling, name in meant}
    assert [(spelling, name, other and other.id) for spelling, name, other in found if other is not terms()[name]] == []
    assert not {*terms()} & {*ALL, *FAULTS}


def test_what_the_checks_name_has_a_page() -> None:
    """The directives and variables of nginx that decide, and the abbreviations in the texts."""
    texts = [f"{check.title} {check.why} {check.hint} {check.directive}" for check in ALL.values()]
    texts += [term.text for term in terms().values()]
    named = {
        word for text in texts for word in re.findall(r"\b(?:ssl|proxy|log|access|error|real|server)_[a-z_]+\b", text)
    }
    short = {word for text in texts for word in re.findall(r"\b[A-Z][A-Z0-9]{1,5}\b", text)}
    not_of_tls = {
        *("URL", "IP", "TCP", "UDP", "TRUE", "FALSE", "BEGIN", "END", "NAME", "PORT", "NUL", "HIGH"),
        *("ALL", "CWE", "CORS", "FTP", "SOCKS", "PROXY", "ASN", "GCM", "RTT"),
    }
    elsewhere = {"proxy_store", "server_protocol", "real_ip", "log_not_found"}
    assert {word for word in (named - elsewhere) | (short - not_of_tls) if find_term(word) is None} == set()


def test_every_alert_has_a_page_with_its_number() -> None:
    for number, name in _ALERTS.items():
        assert term_of(name) == term_of(f"alert {number}") == term_of(name.replace("_", " ").upper())


@pytest.mark.parametrize(
    ("words", "term"),
    [
        *((word, word.lower()) for word in ("CA", "EKU", "SAN", "CRL", "PEM", "DER", "CSR", "SNI", "ALPN", "root")),
        ("PKCS #12", "pkcs-12"),
        ("mutual TLS", "mutual-tls"),
        ("mTLS", "mutual-tls"),
        ("certificates", "certificate"),
        ("Session Resumption", "session-resumption"),
        ("60", "curl-60"),
        ("curl: (60)", "curl-60"),
        ("exit status 58", "curl-58"),
        ("HTTP 400", "nginx-400"),
        ("496", "nginx-496"),
        ("No required SSL certificate was sent", "nginx-496"),
        ("unable to get local issuer certificate", "verify-20"),
        ("--cacert", "cacert"),
        ("$ssl_client_verify", "ssl_client_verify"),
    ],
)
def test_a_term_is_found_however_it_is_written(words: str, term: str) -> None:
    assert term_of(words) == term


@pytest.mark.parametrize(
    ("typed", "meant"), [("hndshake", "handshake"), ("chian", "chain"), ("certifcate", "certificate"), ("EKUU", "eku")]
)
def test_a_typo_in_a_word_is_an_error_that_names_the_word(typed: str, meant: str) -> None:
    with pytest.raises(SpecError) as caught:
        explain(typed)
    assert caught.value.hint.startswith(f"Did you mean {meant}")


def test_the_texts_say_what_else_a_number_means_in_this_program() -> None:
    """An exit status of mtlslab may have curl's number: the page about that says so."""
    for code in (
        ExitCode.CHECK_FAILED,
        ExitCode.USAGE,
        ExitCode.ENVIRONMENT,
        ExitCode.NOT_READY,
        ExitCode.INCONCLUSIVE,
    ):
        assert f"(mtlslab's own {int(code)}: " in terms()[f"curl-{int(code)}"].text
        said = terms()[f"curl-{int(code)}"].text.split(f"own {int(code)}: ")[1].rstrip(".)")
        assert MEANINGS[code].startswith(said)


def test_a_word_has_the_ports_of_the_lab_and_a_document_for_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    assert run(app, ["render", "--key-type", "ec-p256", "--mtls-port", "12345"]).exit_code == 0
    assert "https://localhost:12345/" in run(app, ["explain", "mutual", "TLS"]).stdout
    document = json.loads(run(app, ["explain", "expired", "certificate", "-o", "json"]).stdout)
    assert (document["schema"], document["id"]) == ("mtlslab.term/1", "validity")
    listed = json.loads(run(app, ["explain", "--list", "-o", "json"]).stdout)
    assert {row["id"] for row in listed} == {*ALL, *terms()}

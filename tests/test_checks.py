"""The catalogue is sound, a verdict follows from the facts alone, and a selection means what was typed."""

from __future__ import annotations

import dataclasses
import re

import pytest

from lab.checks import (
    Check,
    Expectation,
    Outcome,
    Result,
    Severity,
    Trust,
    catalogue,
    judge,
    outcome_of,
    select,
    with_controls,
)
from lab.checks.model import TLS_VERSIONS
from lab.errors import SpecError
from lab.plan import MTLS_SERVICE, SERVICES
from lab.probe import Observation, Phase, Side

NO_CERTIFICATE = "<center>No required SSL certificate was sent</center>"
BAD_CERTIFICATE = "<center>The SSL certificate error</center>"


def check(expect: Expectation | Outcome, **changes: object) -> Check:
    wanted = expect if isinstance(expect, Expectation) else Expectation(expect)
    some = Check(id="x", title="x", category="x", service=MTLS_SERVICE, expect=wanted, why="x", hint="x")
    return dataclasses.replace(some, **changes)


def answer(status: int, body: str = "", verify: str = "", **changes: object) -> Observation:
    headers = {"x-ssl-client-verify": verify} if verify else {}
    seen = Observation(
        phase=Phase.DONE, status=status, body=body, headers=headers, heard=True, certificate_requested=True
    )
    return dataclasses.replace(seen, **changes)


def ended(phase: Phase, side: Side, **changes: object) -> Observation:
    return dataclasses.replace(Observation(phase=phase, side=side, error="words", heard=True), **changes)


# --- the catalogue


def test_ids_are_unique_and_in_kebab_case_with_their_version() -> None:
    ids = [item.id for item in catalogue()]
    assert len(set(ids)) == len(ids)
    assert [item for item in ids if not re.fullmatch(r"[a-z]+(-[a-z0-9]+)+(\.tls1[23])?", item)] == []
    assert all(item.id.endswith(f".tls1{(item.tls_version or '')[-1:]}") for item in catalogue() if item.tls_version)


def test_every_check_runs_on_both_tls_versions() -> None:
    versions: dict[str, set[str | None]] = {}
    for item in catalogue():
        versions.setdefault(item.family, set()).add(item.tls_version)
    assert all(found == set(TLS_VERSIONS) for found in versions.values())


def test_positive_controls_stand_before_what_depends_on_them_and_share_service_and_version() -> None:
    earlier: dict[str, Check] = {}
    for item in catalogue():
        if item.depends:
            control = earlier[item.depends]
            assert control.expect.outcome is Outcome.SERVED
            assert (control.service, control.tls_version) == (item.service, item.tls_version)
        else:
            assert item.expect.outcome is Outcome.SERVED, "a check that refuses someone needs a positive control"
        earlier[item.id] = item


def test_every_check_tells_a_student_what_it_shows() -> None:
    for item in catalogue():
        assert item.service in SERVICES
        assert not item.title.endswith(".")
        assert 2 <= len(re.findall(r"[.:](?:\s|$)", item.why)) <= 4, item.id
        assert item.hint.endswith((".", "?")), item.id


def test_the_story_of_the_tutorial_is_complete() -> None:
    refused = {(item.credential, item.trust) for item in catalogue() if item.expect.outcome in _REFUSED}
    faults = ("other-ca", "self-signed", "expired", "eku-server-auth")
    assert refused == {
        (None, Trust.SERVER_CA),
        (None, Trust.ANYONE),
        *((fault, Trust.SERVER_CA) for fault in faults),
    }


_REFUSED = (Outcome.REFUSED_CERTIFICATE, Outcome.REFUSED_NO_CERTIFICATE)


# --- outcomes and verdicts


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (answer(200), Outcome.SERVED),
        (answer(400, NO_CERTIFICATE), Outcome.REFUSED_NO_CERTIFICATE),
        (answer(400, BAD_CERTIFICATE), Outcome.REFUSED_CERTIFICATE),
        (answer(400, "Bad Request"), Outcome.OTHER_STATUS),
        (answer(200, BAD_CERTIFICATE), Outcome.SERVED),
        (answer(404), Outcome.OTHER_STATUS),
        (answer(403, NO_CERTIFICATE), Outcome.OTHER_STATUS),
        (ended(Phase.READ, Side.PEER, alert="unknown_ca", alert_from=Side.PEER), Outcome.REFUSED_BY_ALERT),
        (ended(Phase.READ, Side.PEER, closed=True), Outcome.CLOSED),
        (ended(Phase.HANDSHAKE, Side.PEER, closed=True, heard=False), Outcome.UNREACHABLE),
        (ended(Phase.HANDSHAKE, Side.LOCAL, verify_code=20), Outcome.CLIENT_REFUSES_SERVER),
        (ended(Phase.HANDSHAKE, Side.LOCAL, preface="HTTP/1.1 400"), Outcome.NOT_TLS),
        (ended(Phase.HANDSHAKE, Side.LOCAL), Outcome.LOCAL),
        (ended(Phase.LOAD, Side.LOCAL), Outcome.LOCAL),
        (ended(Phase.CONNECT, Side.NONE), Outcome.UNREACHABLE),
        (ended(Phase.READ, Side.NONE), Outcome.UNREACHABLE),
    ],
)
def test_every_way_to_end_has_its_class(seen: Observation, outcome: Outcome) -> None:
    assert outcome_of(seen) is outcome


@pytest.mark.parametrize("expected", [Outcome.SERVED, *_REFUSED, Outcome.CLIENT_REFUSES_SERVER])
@pytest.mark.parametrize(
    "seen",
    [
        ended(Phase.LOAD, Side.LOCAL),
        ended(Phase.CONNECT, Side.NONE),
        ended(Phase.HANDSHAKE, Side.NONE),
        ended(Phase.HANDSHAKE, Side.PEER, closed=True, heard=False),
    ],
)
def test_what_never_reached_the_server_is_inconclusive_whatever_was_expected(
    expected: Outcome, seen: Observation
) -> None:
    assert judge(check(expected), seen).result is Result.INCONCLUSIVE


@pytest.mark.parametrize("expected", _REFUSED)
def test_a_refused_server_says_nothing_about_refused_clients(expected: Outcome) -> None:
    seen = ended(Phase.HANDSHAKE, Side.LOCAL, verify_code=10, verify_error="certificate has expired")
    assert judge(check(expected), seen).result is Result.INCONCLUSIVE
    assert judge(check(Outcome.SERVED), seen).result is Result.FAIL


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (answer(200, verify="NONE"), "ssl_verify_client optional"),
        (answer(200, verify="NONE", certificate_requested=False), "ssl_verify_client off"),
        (answer(200, verify="FAILED:self-signed certificate"), "FAILED:self-signed certificate"),
        (answer(200), "does not say why"),
    ],
)
def test_a_client_that_gets_in_by_mistake_fails_the_check_and_says_how(seen: Observation, words: str) -> None:
    verdict = judge(check(Outcome.REFUSED_NO_CERTIFICATE), seen)
    assert verdict.result is Result.FAIL
    assert words in verdict.reason


def test_the_two_pages_are_not_mistaken_for_each_other() -> None:
    assert judge(check(Outcome.REFUSED_NO_CERTIFICATE), answer(400, BAD_CERTIFICATE)).result is Result.FAIL
    assert judge(check(Outcome.REFUSED_CERTIFICATE), answer(400, NO_CERTIFICATE)).result is Result.FAIL


def test_the_reason_names_page_and_the_servers_own_words() -> None:
    seen = answer(400, BAD_CERTIFICATE, "FAILED:certificate has expired")
    verdict = judge(check(Expectation(Outcome.REFUSED_CERTIFICATE, reason="EXPIRED")), seen)
    assert verdict.result is Result.PASS
    assert (
        verdict.reason == "The server answered 400 'The SSL certificate error' and says FAILED:certificate has expired."
    )


def test_another_reason_than_expected_is_a_warning() -> None:
    seen = answer(400, BAD_CERTIFICATE, "FAILED:unsuitable certificate purpose")
    verdict = judge(check(Expectation(Outcome.REFUSED_CERTIFICATE, reason="expired")), seen)
    assert verdict.result is Result.WARN


def test_a_server_that_gives_no_reason_is_believed() -> None:
    verdict = judge(check(Expectation(Outcome.REFUSED_CERTIFICATE, reason="expired")), answer(400, BAD_CERTIFICATE))
    assert verdict.result is Result.PASS


@pytest.mark.parametrize(
    ("seen", "result"),
    [
        (answer(200, verify="SUCCESS"), Result.PASS),
        (answer(200, verify="NONE", certificate_requested=False), Result.FAIL),
        (answer(200, verify="FAILED:x"), Result.FAIL),
        (answer(200), Result.INCONCLUSIVE),
    ],
)
def test_an_identified_client_takes_the_servers_word(seen: Observation, result: Result) -> None:
    assert judge(check(Expectation(Outcome.SERVED, identified=True)), seen).result is result


def test_the_server_must_have_seen_the_certificate_that_was_sent() -> None:
    headers = {"x-ssl-client-verify": "SUCCESS", "x-ssl-client-fingerprint": "AA"}
    expect = check(Expectation(Outcome.SERVED, identified=True))
    assert judge(expect, answer(200, headers=headers, sent_fingerprint="aa")).result is Result.PASS
    assert judge(expect, answer(200, headers=headers, sent_fingerprint="bb")).result is Result.FAIL


@pytest.mark.parametrize(
    ("wanted", "seen", "result"),
    [
        (True, True, Result.PASS),
        (True, False, Result.FAIL),
        (False, True, Result.FAIL),
        (False, False, Result.PASS),
        (True, None, Result.INCONCLUSIVE),
    ],
)
def test_whether_the_server_asks_is_judged_only_if_it_was_seen(wanted: bool, seen: bool | None, result: Result) -> None:
    expect = check(Expectation(Outcome.SERVED, asked=wanted))
    assert judge(expect, answer(200, certificate_requested=seen)).result is result


def test_an_advisory_check_warns_where_a_required_one_fails() -> None:
    advisory = check(Outcome.REFUSED_CERTIFICATE, severity=Severity.ADVISORY)
    assert judge(advisory, answer(200)).result is Result.WARN
    assert judge(advisory, ended(Phase.CONNECT, Side.NONE)).result is Result.INCONCLUSIVE


# --- selection


@pytest.mark.parametrize(
    ("pattern", "families"),
    [
        ("mtls-refuses-no-certificate", {"mtls-refuses-no-certificate"}),
        ("mtls-refuses-no", {"mtls-refuses-no-certificate", "mtls-refuses-no-certificate-insecure"}),
        ("*self*", {"mtls-refuses-self-signed"}),
        (
            "*insecure*",
            {"tls-insecure-works", "mtls-insecure-with-certificate", "mtls-refuses-no-certificate-insecure"},
        ),
    ],
)
def test_ids_beginnings_and_patterns_select(pattern: str, families: set[str]) -> None:
    assert {item.family for item in select(catalogue(), [pattern])} == families


def test_a_full_id_selects_one_check_and_its_control_comes_along() -> None:
    chosen = select(catalogue(), ["mtls-refuses-expired.tls13"])
    assert [item.id for item in chosen] == ["mtls-refuses-expired.tls13"]
    needed = [item.id for item in with_controls(catalogue(), chosen)]
    assert needed == ["mtls-serves-client-certificate.tls13", "mtls-refuses-expired.tls13"]


def test_no_pattern_selects_all() -> None:
    assert select(catalogue(), []) == catalogue()


def test_a_pattern_without_a_check_is_an_error_that_names_near_ids() -> None:
    with pytest.raises(SpecError) as caught:
        select(catalogue(), ["mtls-refuses-expird", "nonsense-*", ""])
    assert "mtls-refuses-expired" in caught.value.problems[0]
    assert len(caught.value.problems) == 3


def test_an_empty_catalogue_is_an_error() -> None:
    with pytest.raises(SpecError):
        select((), [])

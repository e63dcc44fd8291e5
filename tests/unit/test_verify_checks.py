"""The catalogue is sound, a verdict follows from the facts alone, and a selection means what was typed."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any

import pytest
from mtlslab.audit.judge import judge_unauthorised
from mtlslab.errors import MachineError, SpecError
from mtlslab.pki.faults import FAULTS
from mtlslab.plan.services import MTLS_SERVICE, SERVICES
from mtlslab.probe.model import Observation, Phase, Side
from mtlslab.runtime.base import LogLine
from mtlslab.verify.checks import (
    Check,
    Expectation,
    Outcome,
    Result,
    ServerSaid,
    Severity,
    Trust,
    catalogue,
    judge,
    outcome_of,
    select,
    with_controls,
)
from mtlslab.verify.checks.model import CLIENT, PROBE, REFUSED_CLIENTS, SMALL_SERVER, TLS_VERSIONS
from mtlslab.verify.procedures import PROCEDURES
from mtlslab.verify.server_log import parse_log, read_server_log

NO_CERTIFICATE = "<center>No required SSL certificate was sent</center>"
BAD_CERTIFICATE = "<center>The SSL certificate error</center>"
PAGE = "Hello World over mutual TLS!"


def check(expect: Expectation | Outcome, **changes: Any) -> Check:
    wanted = expect if isinstance(expect, Expectation) else Expectation(expect)
    some = Check(id="x", title="x", category="x", service=MTLS_SERVICE, expect=wanted, why="x", hint="x")
    return dataclasses.replace(some, **changes)


def answer(status: int, body: str = "", verify: str = "", **changes: Any) -> Observation:
    headers = {"x-ssl-client-verify": verify} if verify else {}
    seen = Observation(
        phase=Phase.DONE, status=status, body=body, headers=headers, heard=True, certificate_requested=True
    )
    return dataclasses.replace(seen, **changes)


def ended(phase: Phase, side: Side, **changes: Any) -> Observation:
    return dataclasses.replace(Observation(phase=phase, side=side, error="words", heard=True), **changes)


# --- the catalogue


BOTH = (catalogue(), catalogue(crl=True))


@pytest.mark.parametrize("checks", BOTH, ids=["without a list", "with a list"])
def test_ids_are_unique_and_in_kebab_case_with_their_version(checks: tuple[Check, ...]) -> None:
    ids = [item.id for item in checks]
    assert len(set(ids)) == len(ids)
    assert [item for item in ids if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+(\.tls1[23])?", item)] == []
    assert all(item.id.endswith(f".tls1{(item.tls_version or '')[-1:]}") for item in checks if "." in item.id)


def test_every_plain_check_runs_on_both_tls_versions() -> None:
    versions: dict[str, set[str | None]] = {}
    for item in catalogue():
        if item.procedure == PROBE:
            versions.setdefault(item.family, set()).add(item.tls_version)
    assert all(found == set(TLS_VERSIONS) for found in versions.values())


def test_a_run_makes_more_than_a_hundred_checks_over_both_services_and_versions() -> None:
    assert len(catalogue()) >= 100
    for version in TLS_VERSIONS:
        for service in SERVICES:
            assert [item for item in catalogue() if (item.service, item.tls_version) == (service, version)]


@pytest.mark.parametrize("checks", BOTH, ids=["without a list", "with a list"])
def test_positive_controls_stand_before_what_depends_on_them(checks: tuple[Check, ...]) -> None:
    earlier: dict[str, Check] = {}
    for item in checks:
        if item.depends:
            control = earlier[item.depends]
            assert control.expect.outcome is Outcome.SERVED
            if item.procedure == PROBE:
                assert (control.service, control.tls_version) == (item.service, item.tls_version)
        elif item.procedure == PROBE:
            assert item.expect.outcome is Outcome.SERVED, "a check that refuses someone needs a positive control"
        earlier[item.id] = item


def test_the_checks_of_a_category_stand_together() -> None:
    categories = [item.category for item in catalogue()]
    assert len(list(itertools.groupby(categories))) == len(set(categories))


def test_every_check_tells_a_student_what_it_shows() -> None:
    for item in (*catalogue(), *catalogue(crl=True)):
        assert item.service in (*SERVICES, SMALL_SERVER)
        assert not item.title.endswith(".")
        assert len(re.findall(r"[.:](?:\s|$)", item.why)) >= 2, item.id
        assert item.hint.endswith((".", "?")), item.id
        assert item.procedure in PROCEDURES


def test_every_credential_of_the_zoo_is_shown_to_the_mtls_server_exactly_once_per_version() -> None:
    shown = [
        (item.credential, item.tls_version)
        for item in catalogue()
        if (item.procedure, item.service, item.trust) == (PROBE, MTLS_SERVICE, Trust.SERVER_CA)
        and item.credential != CLIENT
    ]
    names = [None if name == "none" else name for name in FAULTS]
    assert sorted(map(str, shown)) == sorted(str((name, version)) for name in names for version in TLS_VERSIONS)


@pytest.mark.parametrize(
    ("credential", "tls12", "tls13", "with_crl"),
    [
        (None, Outcome.REFUSED_NO_CERTIFICATE, Outcome.REFUSED_NO_CERTIFICATE, Outcome.REFUSED_NO_CERTIFICATE),
        ("expired", Outcome.REFUSED_CERTIFICATE, Outcome.REFUSED_CERTIFICATE, Outcome.REFUSED_CERTIFICATE),
        ("stolen-certificate", Outcome.REFUSED_BY_ALERT, Outcome.REFUSED_BY_ALERT, Outcome.REFUSED_BY_ALERT),
        ("mismatched-key", Outcome.LOCAL, Outcome.LOCAL, Outcome.LOCAL),
        ("ed25519", Outcome.SERVED, Outcome.SERVED, Outcome.SERVED),
        ("revoked", Outcome.SERVED, Outcome.SERVED, Outcome.REFUSED_CERTIFICATE),
        ("intermediate-sent", Outcome.SERVED, Outcome.SERVED, Outcome.REFUSED_CERTIFICATE),
        ("ec-secp256k1", Outcome.REFUSED_BY_ALERT, Outcome.REFUSED_NO_CERTIFICATE, Outcome.REFUSED_NO_CERTIFICATE),
    ],
)
def test_what_must_be_seen_is_what_nginx_does(
    credential: str | None, tls12: Outcome, tls13: Outcome, with_crl: Outcome
) -> None:
    """One credential of each kind, without a list on both versions, and with a list on TLS 1.3."""
    seen = [
        item.expect.outcome
        for checks, version in ((catalogue(), "1.2"), (catalogue(), "1.3"), (catalogue(crl=True), "1.3"))
        for item in checks
        if (item.service, item.credential, item.tls_version) == (MTLS_SERVICE, credential, version)
        and (item.procedure, item.trust) == (PROBE, Trust.SERVER_CA)
    ]
    assert seen == [tls12, tls13, with_crl]


@pytest.mark.parametrize("checks", BOTH, ids=["without a list", "with a list"])
def test_what_nginx_does_by_design_is_advisory(checks: tuple[Check, ...]) -> None:
    surprising = {item.credential: item.severity for item in checks if item.expect.by_design}
    assert {"eku-none", "another-client"} <= surprising.keys()
    assert set(surprising.values()) == {Severity.ADVISORY}
    assert not {"expired", "other-ca", None} & surprising.keys()


def test_a_revocation_list_changes_answers_and_no_ids() -> None:
    without, with_list = ({item.id: item for item in checks} for checks in BOTH)
    assert set(with_list) - set(without) == {"mtls-crl-is-current"}
    assert set(without) <= set(with_list)
    revoked = with_list["mtls-refuses-revoked.tls13"]
    assert (revoked.expect.outcome, revoked.severity) == (Outcome.REFUSED_CERTIFICATE, Severity.REQUIRED)
    assert re.search(revoked.expect.reason, "FAILED:certificate revoked")


def test_the_story_of_the_tutorial_is_complete() -> None:
    refused = {(item.credential, item.trust) for item in catalogue() if item.category == REFUSED_CLIENTS}
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
        (answer(200, verify="NONE"), "does not insist"),
        (answer(200, verify="NONE", certificate_requested=False), "does not even ask"),
        (answer(200, verify="FAILED:self-signed certificate"), "FAILED:self-signed certificate"),
        (answer(200, verify="NONE", certificate_requested=None, resumed=True), "resumed the session"),
        (answer(200), "does not say why"),
    ],
)
def test_a_client_that_gets_in_by_mistake_fails_the_check_and_says_how(seen: Observation, words: str) -> None:
    verdict = judge(check(Outcome.REFUSED_NO_CERTIFICATE), seen)
    assert verdict.result is Result.FAIL
    assert words in verdict.reason


REFUSED_OTHERWISE = [
    answer(403, "No."),
    answer(401),
    answer(302, headers={"location": "https://login.test/"}),
    answer(404),
    answer(496),
    ended(Phase.HANDSHAKE, Side.PEER, alert="unrecognized_name", alert_from=Side.PEER),
    ended(Phase.READ, Side.PEER, closed=True),
]


@pytest.mark.parametrize("seen", [*REFUSED_OTHERWISE, answer(400, BAD_CERTIFICATE)])
def test_a_refusal_that_is_not_the_rendered_page_is_a_warning(seen: Observation) -> None:
    verdict = judge(check(Outcome.REFUSED_NO_CERTIFICATE), seen, page=PAGE)
    assert verdict.result is Result.WARN
    assert "not with the page that was rendered" in verdict.reason


@pytest.mark.parametrize("seen", REFUSED_OTHERWISE)
def test_verify_and_audit_agree_that_it_is_a_refusal(seen: Observation) -> None:
    right = answer(200, PAGE)
    assert judge_unauthorised(seen, right, has_certificate=False).result is Result.PASS


@pytest.mark.parametrize("status", [101, 500, 502, 503])
def test_a_server_that_cannot_answer_has_decided_nothing(status: int) -> None:
    seen = answer(status)
    assert judge(check(Outcome.REFUSED_NO_CERTIFICATE), seen).result is Result.INCONCLUSIVE
    assert judge_unauthorised(seen, answer(200, PAGE), has_certificate=False).result is Result.INCONCLUSIVE


@pytest.mark.parametrize("status", [400, 403, 404, 302, 500])
def test_a_refusal_that_holds_the_protected_page_is_none(status: int) -> None:
    seen = answer(status, f"{NO_CERTIFICATE} {PAGE}")
    assert judge(check(Outcome.REFUSED_NO_CERTIFICATE), seen, page=f"{PAGE}\n").result is Result.FAIL
    assert judge(check(Outcome.REFUSED_NO_CERTIFICATE, severity=Severity.ADVISORY), seen, page=PAGE).result is (
        Result.WARN
    )
    assert judge_unauthorised(seen, answer(200, f"{PAGE}\n"), has_certificate=False).result is Result.FAIL


def test_a_certificate_that_was_not_sent_was_not_judged() -> None:
    seen = answer(400, NO_CERTIFICATE, presented=False)
    assert judge(check(Outcome.REFUSED_CERTIFICATE), seen).result is Result.INCONCLUSIVE


def test_a_server_without_tls_12_is_stricter_and_one_without_tls_13_is_not_the_lab() -> None:
    seen = ended(Phase.HANDSHAKE, Side.PEER, alert="protocol_version", alert_from=Side.PEER)
    assert judge(check(Outcome.SERVED, tls_version="1.2"), seen).result is Result.WARN
    assert judge(check(Outcome.SERVED, tls_version="1.3"), seen).result is Result.FAIL


def test_a_server_that_ends_a_handshake_by_itself_leaves_the_client_nothing_to_refuse() -> None:
    seen = ended(Phase.HANDSHAKE, Side.PEER, alert="unrecognized_name", alert_from=Side.PEER)
    assert judge(check(Outcome.CLIENT_REFUSES_SERVER), seen).result is Result.WARN


def test_the_reason_names_page_and_the_servers_own_words() -> None:
    seen = answer(400, BAD_CERTIFICATE, "FAILED:certificate has expired")
    verdict = judge(check(Expectation(Outcome.REFUSED_CERTIFICATE, reason="EXPIRED")), seen)
    assert verdict.result is Result.PASS
    assert (
        verdict.reason == "The server answered 400 'The SSL certificate error' and says FAILED:certificate has expired."
    )


def test_a_sentence_ends_once_also_where_openssl_ends_it() -> None:
    words = "Hostname mismatch, certificate is not valid for 'elsewhere.test'."
    seen = Observation(Phase.HANDSHAKE, Side.LOCAL, verify_code=62, verify_error=words, heard=True)
    verdict = judge(check(Expectation(Outcome.CLIENT_REFUSES_SERVER, reason="mismatch")), seen)
    assert verdict.reason == f"The client does not trust the server: {words}"


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


def test_a_weak_requirement_that_holds_passes_and_one_by_design_warns() -> None:
    advisory = check(Expectation(Outcome.REFUSED_CERTIFICATE), severity=Severity.ADVISORY)
    assert judge(advisory, answer(400, BAD_CERTIFICATE)).result is Result.PASS
    by_design = check(Expectation(Outcome.SERVED, by_design=True), severity=Severity.ADVISORY)
    verdict = judge(by_design, answer(200, verify="SUCCESS"))
    assert verdict.result is Result.WARN
    assert "by design" in verdict.reason


@pytest.mark.parametrize(
    ("seen", "result"),
    [
        (answer(400, BAD_CERTIFICATE), Result.PASS),
        (ended(Phase.READ, Side.PEER, alert="unknown_ca", alert_from=Side.PEER), Result.PASS),
        (answer(500), Result.WARN),
        (ended(Phase.CONNECT, Side.NONE), Result.INCONCLUSIVE),
    ],
)
def test_a_server_that_is_stricter_than_nginx_by_design_passes(seen: Observation, result: Result) -> None:
    by_design = check(Expectation(Outcome.SERVED, by_design=True), severity=Severity.ADVISORY)
    assert judge(by_design, seen).result is result


@pytest.mark.parametrize("expected", [Outcome.REFUSED_BY_ALERT, Outcome.REFUSED_NO_CERTIFICATE])
@pytest.mark.parametrize(("verify", "result"), [("SUCCESS", Result.PASS), ("NONE", Result.FAIL)])
def test_who_may_be_served_or_refused_is_served_only_if_verified(
    expected: Outcome, verify: str, result: Result
) -> None:
    """A server that looks at no certificate serves it too, and that is still wrong."""
    either = check(Expectation(expected, reason="NONE|SUCCESS", also=(Outcome.SERVED,), identified=True))
    assert judge(either, answer(200, verify=verify)).result is result
    refused = {
        Outcome.REFUSED_BY_ALERT: ended(Phase.READ, Side.PEER, alert="NONE", alert_from=Side.PEER),
        Outcome.REFUSED_NO_CERTIFICATE: answer(400, NO_CERTIFICATE, verify="NONE"),
    }
    assert judge(either, refused[expected]).result is Result.PASS


def test_what_may_be_served_or_refused_says_so_and_is_not_told_to_be_verified_when_refused() -> None:
    found = [item for item in catalogue() if item.credential == "ec-brainpool"]
    assert [item.title.partition(":")[0] for item in found] == ["the mTLS server may serve or refuse"] * 2
    assert all(Outcome.SERVED in item.expect.also and item.severity is Severity.ADVISORY for item in found)
    assert all("client_verify" not in item.expect.to_mapping() for item in found)


def test_a_leaf_that_its_intermediate_revoked_must_be_refused_once_there_is_a_list() -> None:
    """Without one, nobody can know; with one, serving it would mean that the list of the CA in between is not asked."""
    without, with_list = ([item for item in checks if item.credential == "revoked-by-intermediate"] for checks in BOTH)
    assert all(item.expect.by_design and item.severity is Severity.ADVISORY for item in without)
    for item in with_list:
        assert (item.expect.outcome, item.severity) == (Outcome.REFUSED_CERTIFICATE, Severity.REQUIRED)
        assert not item.expect.by_design


def test_another_right_outcome_is_right() -> None:
    either = check(Expectation(Outcome.REFUSED_BY_ALERT, also=(Outcome.CLOSED,), reason="decrypt_error"))
    refused = ended(Phase.READ, Side.PEER, alert="decrypt_error", alert_from=Side.PEER)
    assert judge(either, refused).result is Result.PASS
    assert judge(either, dataclasses.replace(refused, alert="unknown_ca")).result is Result.WARN
    assert judge(either, ended(Phase.READ, Side.PEER, closed=True)).result is Result.PASS
    assert judge(either, answer(200)).result is Result.FAIL


# --- the server's own view


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (ServerSaid(status="400", verify="NONE"), "the log says NONE"),
        (ServerSaid(status="200", verify="FAILED:certificate has expired"), "the log says 200"),
        (ServerSaid(status="400", fingerprint="bb"), "saw the certificate bb"),
    ],
)
def test_a_log_that_tells_another_story_than_the_answer_fails_the_check(said: ServerSaid, words: str) -> None:
    seen = answer(400, BAD_CERTIFICATE, "FAILED:certificate has expired", sent_fingerprint="aa")
    verdict = judge(check(Outcome.REFUSED_CERTIFICATE), seen, said)
    assert verdict.result is Result.FAIL
    assert words in verdict.reason


def test_the_log_gives_the_reason_where_the_answer_does_not() -> None:
    said = ServerSaid(status="400", verify="FAILED:certificate has expired")
    verdict = judge(check(Outcome.REFUSED_CERTIFICATE), answer(400, BAD_CERTIFICATE), said)
    assert verdict.result is Result.PASS
    assert verdict.reason.endswith("its log says FAILED:certificate has expired.")


def test_a_client_is_identified_by_the_log_where_the_answer_does_not_say() -> None:
    identified = check(Expectation(Outcome.SERVED, identified=True))
    assert judge(identified, answer(200), ServerSaid(status="200", verify="SUCCESS")).result is Result.PASS
    assert judge(identified, answer(200), ServerSaid(status="200", verify="NONE")).result is Result.FAIL


def test_lines_of_a_log_are_found_by_nonce_among_anything() -> None:
    lines = [
        "2030/01/01 00:00:00 [info] 1#1: *1 client sent no required SSL certificate",
        '{"token":"1f","probe": "a", "status": "200", "client_verify": "SUCCESS", "session_reused": "."}',
        '{"token":"1f","probe": "b", "status": 7, "client_verify": null, "session_reused": "r"}',
        '{"token":"1f","probe": "c", "status": "200"}',
        '{"token":"1f","probe": ["a"]}',
        '{"token":"1f","probe": "a", "status": "200"',
        "{broken",
        "[" * 100_000,
        '["a"]',
        "",
    ]
    assert parse_log(lines, "1f", {"a", "b"}) == {
        "a": ServerSaid(status="200", verify="SUCCESS"),
        "b": ServerSaid(session_reused=True),
    }


def test_a_log_is_read_again_until_the_last_line_is_there() -> None:
    reads: list[int] = []

    def read(tail: int) -> list[LogLine]:
        reads.append(tail)
        return [LogLine(MTLS_SERVICE, f'{{"token":"1f","probe":"{nonce}"}}') for nonce in "abc"[: len(reads)]]

    assert set(read_server_log(read, "1f", {"a", "b", "c"}, {"d"})) == {"a", "b", "c"}
    assert len(reads) == 3
    assert reads == sorted(reads)


def test_a_log_that_cannot_be_read_says_nothing() -> None:
    def read(_tail: int) -> list[LogLine]:
        raise MachineError("no engine")

    assert read_server_log(read, "", {"a"}) == {}
    assert read_server_log(lambda _: [LogLine(MTLS_SERVICE, "{}")], "", {"a"}, patience=0.0) == {}


# --- selection


@pytest.mark.parametrize(
    ("pattern", "families"),
    [
        ("mtls-refuses-no-certificate", {"mtls-refuses-no-certificate"}),
        ("mtls-refuses-eku", {f"mtls-refuses-eku-{usage}" for usage in ("server-auth", "code-signing", "any")}),
        ("mtls*self*", {"mtls-refuses-self-signed"}),
        (
            "*tls*insecure*",
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

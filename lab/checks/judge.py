"""From an observation to a verdict. Pure: the same facts always give the same verdict."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from lab.checks.model import (
    PAGES,
    REFUSED_BY_SERVER,
    REFUSED_STATUS,
    Check,
    Expectation,
    Outcome,
    Result,
    Severity,
)
from lab.probe import Observation, Phase, Side

VERIFY_HEADER = "x-ssl-client-verify"
FINGERPRINT_HEADER = "x-ssl-client-fingerprint"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A result and the one sentence that tells why, with the words of whoever refused."""

    result: Result
    reason: str


def judge(check: Check, seen: Observation) -> Verdict:
    """Compare what must be seen with what was seen."""
    verdict = _compare(check.expect, seen)
    if verdict.result is Result.FAIL and check.severity is Severity.ADVISORY:
        return dataclasses.replace(verdict, result=Result.WARN)
    return verdict


def outcome_of(seen: Observation) -> Outcome:
    """The class of an observation."""
    if seen.status is not None:
        return _outcome_of_answer(seen)
    if seen.verify_code is not None:
        return Outcome.CLIENT_REFUSES_SERVER
    if seen.preface:
        return Outcome.NOT_TLS
    if seen.phase in (Phase.HANDSHAKE, Phase.SEND, Phase.READ) and seen.side is Side.PEER:
        return _outcome_of_refusal(seen)
    return Outcome.LOCAL if seen.side is Side.LOCAL else Outcome.UNREACHABLE


def _outcome_of_answer(seen: Observation) -> Outcome:
    if seen.status is not None and 200 <= seen.status < 300:
        return Outcome.SERVED
    if seen.status == REFUSED_STATUS:
        for outcome, page in PAGES.items():
            if page in seen.body:
                return outcome
    return Outcome.OTHER_STATUS


def _outcome_of_refusal(seen: Observation) -> Outcome:
    if seen.alert_from is Side.PEER:
        return Outcome.REFUSED_BY_ALERT
    # A port forwarder accepts connections for a server that is not there, and drops them: that is no refusal.
    return Outcome.CLOSED if seen.heard else Outcome.UNREACHABLE


def _compare(expect: Expectation, seen: Observation) -> Verdict:
    outcome = outcome_of(seen)
    if outcome is not expect.outcome:
        return _mismatch(expect, outcome, seen)
    for verdict in (_judge_asked(expect, seen), _judge_identity(expect, seen), _judge_reason(expect, seen)):
        if verdict:
            return verdict
    return Verdict(Result.PASS, _sentence(outcome, seen))


def _mismatch(expect: Expectation, outcome: Outcome, seen: Observation) -> Verdict:
    # A client that gave up on the server never asked the question whether the server would have refused.
    never_asked = outcome is Outcome.CLIENT_REFUSES_SERVER and expect.outcome in REFUSED_BY_SERVER
    if outcome in (Outcome.UNREACHABLE, Outcome.LOCAL) or never_asked:
        return Verdict(Result.INCONCLUSIVE, _sentence(outcome, seen))
    if outcome is Outcome.SERVED and expect.outcome in REFUSED_BY_SERVER:
        return Verdict(Result.FAIL, f"The server served a client that it must refuse: {_why_served(seen)}.")
    return Verdict(Result.FAIL, _sentence(outcome, seen))


def _judge_asked(expect: Expectation, seen: Observation) -> Verdict | None:
    if expect.asked is None or expect.asked is seen.certificate_requested:
        return None
    if seen.certificate_requested is None:
        return Verdict(Result.INCONCLUSIVE, "This Python does not show whether the server asked for a certificate.")
    return Verdict(Result.FAIL, f"The server {_asked(seen)}.")


def _judge_identity(expect: Expectation, seen: Observation) -> Verdict | None:
    if not expect.identified:
        return None
    said = seen.headers.get(VERIFY_HEADER)
    if said is None:
        return Verdict(
            Result.INCONCLUSIVE, "The server does not say whether it verified the client (X-SSL-Client-Verify)."
        )
    if said != "SUCCESS":
        return Verdict(Result.FAIL, f"The server served the client without having verified it: {_why_served(seen)}.")
    fingerprint = seen.headers.get(FINGERPRINT_HEADER, "")
    if fingerprint and seen.sent_fingerprint and fingerprint.lower() != seen.sent_fingerprint:
        sent = seen.sent_fingerprint
        return Verdict(Result.FAIL, f"The server saw the certificate {fingerprint}, but the client sent {sent}.")
    return None


def _judge_reason(expect: Expectation, seen: Observation) -> Verdict | None:
    words = (
        seen.verify_error if expect.outcome is Outcome.CLIENT_REFUSES_SERVER else seen.headers.get(VERIFY_HEADER, "")
    )
    if not expect.reason or not words or re.search(expect.reason, words, re.IGNORECASE):
        return None
    return Verdict(Result.WARN, f"Refused as it must be, but for another reason than expected: {words!r}.")


def _asked(seen: Observation) -> str:
    return "asks for a certificate" if seen.certificate_requested else "does not ask for a certificate"


def _why_served(seen: Observation) -> str:
    said = seen.headers.get(VERIFY_HEADER, "")
    if seen.certificate_requested is False:
        return "it does not even ask for a certificate, as with ssl_verify_client off"
    if said == "NONE":
        return "it asks for a certificate but does not insist on one, as with ssl_verify_client optional"
    if said.startswith("FAILED"):
        return f"it found the certificate wrong ({said}) and let the client in all the same"
    return f"it says {said} about the certificate" if said else "it does not say why"


def _sentence(outcome: Outcome, seen: Observation) -> str:
    if seen.status is not None:
        said = seen.headers.get(VERIFY_HEADER, "")
        page = PAGES.get(outcome) or seen.title
        return f"The server answered {seen.status}{f' {page!r}' if page else ''}{f' and says {said}' if said else ''}."
    where = seen.phase.value
    return {
        Outcome.CLIENT_REFUSES_SERVER: f"The client does not trust the server: {seen.verify_error}.",
        Outcome.REFUSED_BY_ALERT: f"The server refused with the TLS alert {seen.alert} ({where}).",
        Outcome.CLOSED: f"The server closed the connection without a word ({where}).",
        Outcome.NOT_TLS: f"The port does not speak TLS; it said {_first_line(seen.preface)!r}.",
        Outcome.LOCAL: f"The attempt failed on the client's side ({where}): {seen.error}.",
        Outcome.UNREACHABLE: f"The server could not be reached ({where}): {seen.error}.",
    }[outcome]


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0][:80]


def short_answer(seen: Observation) -> str:
    """What came back, in a few words, for a column of a table."""
    outcome = outcome_of(seen)
    if outcome in PAGES:
        return f"{seen.status} {PAGES[outcome]}"
    if outcome is Outcome.REFUSED_BY_ALERT:
        return f"alert {seen.alert}"
    if outcome is Outcome.NOT_TLS:
        return _first_line(seen.preface)
    if seen.status is not None:
        return f"{seen.status} {seen.title}".strip() if outcome is Outcome.OTHER_STATUS else str(seen.status)
    return seen.verify_error or seen.error


def observed_mapping(seen: Observation) -> dict[str, Any]:
    """The facts as reports show them; what was not seen is left out."""
    facts = {
        "outcome": outcome_of(seen).value,
        "answer": short_answer(seen),
        "phase": seen.phase.value,
        "side": seen.side.value,
        "status": seen.status,
        "title": seen.title,
        "alert": seen.alert,
        "alert_from": seen.alert_from.value if seen.alert_from else None,
        "error": seen.error,
        "verify_code": seen.verify_code,
        "tls_version": seen.tls_version,
        "cipher": seen.cipher,
        "certificate_requested": seen.certificate_requested,
        "client_verify": seen.headers.get(VERIFY_HEADER),
        "client_subject": seen.headers.get("x-ssl-client-subject"),
        "client_serial": seen.headers.get("x-ssl-client-serial"),
        "client_fingerprint": seen.headers.get(FINGERPRINT_HEADER),
    }
    return {name: fact for name, fact in facts.items() if fact not in (None, "")}

"""From an observation to a verdict. Pure: the same facts always give the same verdict."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from mtlslab.pki.faults import Outcome, Severity
from mtlslab.probe.model import Observation, Phase, Side
from mtlslab.verify.checks.answers import Decision, decision, holds_page
from mtlslab.verify.checks.model import (
    PAGES,
    REFUSED_BY_SERVER,
    REFUSED_STATUS,
    TLS_VERSIONS,
    VERIFY_HEADER,
    VERSION_ALERT,
    Check,
    Expectation,
    Result,
)

_FAILED = "FAILED:"
SERVED_STATUS = 200  # no other one brings the page: 204 has no content, 206 a part of it
SUBJECT_HEADER = "x-ssl-client-subject"
SERIAL_HEADER = "x-ssl-client-serial"
FINGERPRINT_HEADER = "x-ssl-client-fingerprint"
# Only here is the certificate that the client has the one that the server saw: elsewhere it need not send any.
_WITH_CERTIFICATE = (Outcome.SERVED, Outcome.REFUSED_CERTIFICATE)


@dataclasses.dataclass(frozen=True)
class ServerSaid:
    """What a server's log says about one attempt; empty where it says nothing.

    Attributes:
        status: HTTP status.
        verify: ``$ssl_client_verify``.
        subject, issuer, serial: the client certificate's, as nginx writes them.
        fingerprint: SHA-1 (lower case hex) of the client certificate's DER.
        protocol, cipher: what was negotiated.
        session_reused: whether a session was resumed.
    """

    status: str = ""
    verify: str = ""
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    fingerprint: str = ""
    protocol: str = ""
    cipher: str = ""
    session_reused: bool = False

    def to_mapping(self) -> dict[str, Any]:
        """As reports show it; what the log leaves open is left out."""
        return {name: fact for name, fact in dataclasses.asdict(self).items() if fact not in ("", False)}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A result and the one sentence that tells why, with the words of whoever refused."""

    result: Result
    reason: str


def judge(
    check: Check,
    seen: Observation,
    said: ServerSaid | None = None,
    page: str = "",
    *,
    right_status: int = SERVED_STATUS,
) -> Verdict:
    """Compare what must be seen with what was seen, and with what the server's log says about it, if anything.

    Args:
        check: what must be seen.
        seen: what was seen.
        said: what the server's log says about it; None without a log.
        page: text of the protected page, which no refusal may hold; empty if it is not known.
        right_status: HTTP status that the authorised client got for the same page.
    """
    if lacks_old_version(check, seen):
        return Verdict(Result.WARN, f"The server does not speak TLS {check.tls_version}, as it was rendered to.")
    if check.expect.outcome in REFUSED_BY_SERVER and leaks(seen, page):
        why = f"The server refused with {seen.status}, and gave the protected page all the same."
        verdict = Verdict(Result.FAIL, why)
    elif check.expect.by_design:
        verdict = _judge_by_design(check.expect, seen, said, right_status)
    else:
        verdict = _compare(check.expect, seen, said, right_status)
    if verdict.result is Result.FAIL and check.severity is Severity.ADVISORY:
        return dataclasses.replace(verdict, result=Result.WARN)
    return verdict


def lacks_old_version(check: Check, seen: Observation) -> bool:
    """Whether the server does not speak TLS 1.2 at all: it is stricter than rendered, and refuses nobody by that."""
    refused = outcome_of(seen) is Outcome.REFUSED_BY_ALERT and seen.alert == VERSION_ALERT
    return refused and check.tls_version == TLS_VERSIONS[0] and check.expect.outcome is Outcome.SERVED


def leaks(seen: Observation, page: str) -> bool:
    """Whether an answer that looks like a refusal holds the protected page."""
    return seen.status is not None and outcome_of(seen) is not Outcome.SERVED and holds_page(seen, page)


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
    if seen.status == SERVED_STATUS:
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


def _compare(expect: Expectation, seen: Observation, said: ServerSaid | None, right_status: int) -> Verdict:
    outcome = outcome_of(seen)
    verdict = _judge_praise(expect, outcome, seen, said)
    if verdict:
        return verdict
    if outcome is not expect.outcome and outcome not in expect.also:
        return _mismatch(expect, seen, said, right_status)
    if outcome in (expect.outcome, Outcome.SERVED):
        for verdict in (
            _judge_asked(expect, seen),
            _judge_identity(seen, said) if expect.identified and outcome is Outcome.SERVED else None,
            _judge_certificate(outcome, seen, said),
            _judge_reason(expect, seen),
        ):
            if verdict:
                return verdict
    return _judge_log(seen, said) or Verdict(Result.PASS, _sentence(outcome, seen, said))


def _judge_by_design(expect: Expectation, seen: Observation, said: ServerSaid | None, right_status: int) -> Verdict:
    """What nginx does by design is a warning; a server that decides the other way is none the worse."""
    verdict = _compare(expect, seen, said, right_status)
    if verdict.result is Result.PASS:
        return Verdict(Result.WARN, f"{verdict.reason} That is by design.")
    outcome = outcome_of(seen)
    other_way = REFUSED_BY_SERVER if expect.outcome is Outcome.SERVED else (Outcome.SERVED,)
    if outcome in other_way:
        return Verdict(Result.PASS, f"{_sentence(outcome, seen, said)} nginx by itself decides the other way.")
    return verdict


def _judge_log(seen: Observation, said: ServerSaid | None) -> Verdict | None:
    """Whether the server's log tells the same story as its answer."""
    if said is None or seen.status is None:
        return None
    header = seen.headers.get(VERIFY_HEADER)
    if header is not None and said.verify and header != said.verify:
        return Verdict(Result.FAIL, f"The answer says {header} about the certificate, but the log says {said.verify}.")
    if said.status and said.status != str(seen.status):
        return Verdict(Result.FAIL, f"The client was answered {seen.status}, but the log says {said.status}.")
    return None


def _mismatch(expect: Expectation, seen: Observation, logged: ServerSaid | None, right_status: int) -> Verdict:
    outcome = outcome_of(seen)
    said = _sentence(outcome, seen, logged)
    if outcome in (Outcome.UNREACHABLE, Outcome.LOCAL):
        return Verdict(Result.INCONCLUSIVE, said)
    if expect.outcome in REFUSED_BY_SERVER:
        return _judge_other_refusal(outcome, seen, said, right_status)
    if expect.outcome is Outcome.CLIENT_REFUSES_SERVER and outcome in (Outcome.REFUSED_BY_ALERT, Outcome.CLOSED):
        return Verdict(Result.WARN, f"The server ended it before the client could: {said}")
    return Verdict(Result.FAIL, said)


def _judge_other_refusal(outcome: Outcome, seen: Observation, said: str, right_status: int) -> Verdict:
    """A client that must be refused was answered otherwise than expected: what matters is whether it got in."""
    if outcome is Outcome.CLIENT_REFUSES_SERVER:
        # A client that gave up on the server never asked the question whether the server would have refused.
        return Verdict(Result.INCONCLUSIVE, said)
    if outcome is Outcome.SERVED:
        return Verdict(Result.FAIL, f"The server served a client that it must refuse: {_why_served(seen)}.")
    if outcome is Outcome.NOT_TLS:
        return Verdict(Result.FAIL, said)
    if outcome is Outcome.REFUSED_NO_CERTIFICATE and seen.presented is False:
        why = "the server's list of signature algorithms leaves no way to send it"
        return Verdict(Result.INCONCLUSIVE, f"The certificate was not sent: {why}.")
    if outcome is Outcome.OTHER_STATUS and decision(seen, right_status) is not Decision.REFUSED:
        return Verdict(Result.INCONCLUSIVE, f"{said} That is no decision about a client.")
    return Verdict(Result.WARN, f"Refused as it must be, but not with the page that was rendered: {said}")


def _judge_praise(expect: Expectation, outcome: Outcome, seen: Observation, said: ServerSaid | None) -> Verdict | None:
    """Of a client that must be refused, and was, nobody may say that it was verified."""
    if seen.status is None or outcome is Outcome.SERVED or expect.outcome not in PAGES or Outcome.SERVED in expect.also:
        return None
    for place, words in (("answer", seen.headers.get(VERIFY_HEADER)), ("log", said.verify if said else "")):
        if words == "SUCCESS":
            return Verdict(Result.FAIL, f"The server refused the client, but its {place} says SUCCESS about it.")
    return None


def _judge_asked(expect: Expectation, seen: Observation) -> Verdict | None:
    if expect.asked is None or expect.asked is seen.certificate_requested:
        return None
    if seen.certificate_requested is None:
        return Verdict(Result.INCONCLUSIVE, "This Python does not show whether the server asked for a certificate.")
    return Verdict(Result.FAIL, f"The server {_asked(seen)}.")


def _judge_identity(seen: Observation, said: ServerSaid | None) -> Verdict | None:
    """A server that serves must say that it verified the client."""
    words = seen.headers.get(VERIFY_HEADER)
    if words is None and said is None:
        return Verdict(
            Result.INCONCLUSIVE, "The server does not say whether it verified the client (X-SSL-Client-Verify)."
        )
    if "SUCCESS" not in (words, said.verify if said else ""):
        return Verdict(Result.FAIL, f"The server served the client without having verified it: {_why_served(seen)}.")
    return None


def _judge_certificate(outcome: Outcome, seen: Observation, said: ServerSaid | None) -> Verdict | None:
    """The certificate that the server saw must be the one that the client sent."""
    sent = seen.sent_fingerprint
    if outcome not in _WITH_CERTIFICATE or not sent:
        return None
    for saw in (seen.headers.get(FINGERPRINT_HEADER, ""), said.fingerprint if said else ""):
        if saw and saw.lower() != sent:
            return Verdict(Result.FAIL, f"The server saw the certificate {saw}, but the client sent {sent}.")
    return None


def _judge_reason(expect: Expectation, seen: Observation) -> Verdict | None:
    words = {Outcome.CLIENT_REFUSES_SERVER: seen.verify_error, Outcome.REFUSED_BY_ALERT: seen.alert}.get(
        expect.outcome, seen.headers.get(VERIFY_HEADER, "")
    )
    if not expect.reason or not words or re.search(expect.reason, words, re.IGNORECASE):
        return None
    return Verdict(Result.WARN, f"Refused as it must be, but for another reason than expected: {words!r}.")


def _asked(seen: Observation) -> str:
    return "asks for a certificate" if seen.certificate_requested else "does not ask for a certificate"


def _why_served(seen: Observation) -> str:
    said = seen.headers.get(VERIFY_HEADER, "")
    if seen.certificate_requested is False:
        return "it does not even ask for a certificate"
    if said == "NONE" and seen.resumed:  # where no server asks, whatever it is told to
        return "it resumed the session of a client that had shown no certificate"
    if said == "NONE":
        return "it asks for a certificate but does not insist on one"
    if said.startswith("FAILED"):
        return f"it found the certificate wrong ({said}) and let the client in all the same"
    return f"it says {said} about the certificate" if said else "it does not say why"


def _sentence(outcome: Outcome, seen: Observation, said: ServerSaid | None = None) -> str:
    if seen.status is not None:
        page = PAGES.get(outcome) or seen.title.removeprefix(str(seen.status)).strip()
        return f"The server answered {seen.status}{f' {page!r}' if page else ''}{_words_of_server(seen, said)}."
    where = seen.phase.value
    return {
        # OpenSSL ends some of its messages with a full stop.
        Outcome.CLIENT_REFUSES_SERVER: f"The client does not trust the server: {seen.verify_error.rstrip('.')}.",
        Outcome.REFUSED_BY_ALERT: f"The server refused with the TLS alert {seen.alert} ({where}).",
        Outcome.CLOSED: f"The server closed the connection without a word ({where}).",
        Outcome.NOT_TLS: f"The port does not speak TLS; it said {_first_line(seen.preface)!r}.",
        Outcome.LOCAL: f"The attempt failed on the client's side ({where}): {seen.error}.",
        Outcome.UNREACHABLE: f"The server could not be reached ({where}): {seen.error}.",
    }[outcome]


def _words_of_server(seen: Observation, said: ServerSaid | None) -> str:
    header, logged = seen.headers.get(VERIFY_HEADER, ""), said.verify if said else ""
    if header:
        return f" and says {header}, as does its log" if header == logged else f" and says {header}"
    return f"; its log says {logged}" if logged else ""


def _first_line(text: str) -> str:
    return (text.splitlines() or [""])[0][:80]


def short_answer(seen: Observation) -> str:
    """What came back, in a few words, for a column of a table."""
    outcome = outcome_of(seen)
    if outcome is Outcome.REFUSED_CERTIFICATE and seen.headers.get(VERIFY_HEADER, "").startswith(_FAILED):
        return f"{seen.status}, {seen.headers[VERIFY_HEADER].removeprefix(_FAILED)}"
    if outcome in PAGES:
        return f"{seen.status} {PAGES[outcome]}"
    if outcome is Outcome.REFUSED_BY_ALERT:
        return f"alert {seen.alert}"
    if outcome is Outcome.NOT_TLS:
        return _first_line(seen.preface)
    if seen.status is not None:
        title = seen.title.removeprefix(str(seen.status)).strip()  # most servers repeat the status in it
        return f"{seen.status} {title}".strip() if outcome is Outcome.OTHER_STATUS else str(seen.status)
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
        "client_subject": seen.headers.get(SUBJECT_HEADER),
        "client_serial": seen.headers.get(SERIAL_HEADER),
        "client_fingerprint": seen.headers.get(FINGERPRINT_HEADER),
    }
    return {name: fact for name, fact in facts.items() if fact not in (None, "")}

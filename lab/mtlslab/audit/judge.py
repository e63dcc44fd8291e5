"""From what was observed at a foreign server to a verdict. Pure: the same facts always give the same verdict.

We do not know the page of a server that is not ours. What an unauthorised client is answered is therefore compared with
what the authorised client is answered, if there is one; without one, only what cannot be mistaken counts.
"""

from __future__ import annotations

from typing import Any

from mtlslab.pki.faults import Outcome
from mtlslab.probe.model import Observation, Phase, Side
from mtlslab.verify.checks.answers import NGINX_CODES, Decision, decision, holds_page, is_error, says_refused
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import PAGES, VERIFY_HEADER, Result

# Answers to the authorised client that may as well be a refusal of the page to everybody.
_DENIALS = (400, 401, 403, 407, *NGINX_CODES)
NO_PAGE = (404, 410)


def outcome_of(seen: Observation) -> Outcome:
    """How an attempt ended, as far as it can be told without comparing."""
    if seen.status is not None:
        return Outcome.ANSWERED
    if seen.verify_code is not None:
        return Outcome.CLIENT_REFUSES_SERVER
    if seen.alert_from is Side.PEER:
        return Outcome.REFUSED_BY_ALERT
    return Outcome.NOT_TLS if seen.preface else _outcome_of_silence(seen)


def _outcome_of_silence(seen: Observation) -> Outcome:
    if seen.closed:
        return Outcome.CLOSED
    if seen.side is Side.LOCAL:
        return Outcome.NO_SENSE if seen.heard else Outcome.LOCAL
    return Outcome.UNREACHABLE if seen.phase is Phase.CONNECT else Outcome.NO_ANSWER


def judge_authorised(seen: Observation) -> Verdict:
    """The positive control: the client that must be served."""
    outcome = outcome_of(seen)
    if seen.status is not None:
        return _judge_answer_to_authorised(seen)
    refused = (outcome is Outcome.REFUSED_BY_ALERT and seen.certificate_requested) or (
        outcome is Outcome.CLOSED and seen.presented
    )
    return Verdict(Result.FAIL if refused else Result.INCONCLUSIVE, sentence(seen))


def _judge_answer_to_authorised(seen: Observation) -> Verdict:
    said = sentence(seen)
    verify = seen.headers.get(VERIFY_HEADER)
    if verify and (seen.status in _DENIALS or is_error(seen)):
        all_the_same = ", and does not serve the client all the same" if verify == "SUCCESS" else ""
        return Verdict(Result.FAIL, f"{said} It says {verify} about the certificate{all_the_same}.")
    if says_refused(seen):
        return Verdict(Result.FAIL, said)
    if seen.status in NO_PAGE:
        return Verdict(Result.WARN, f"{said} The client is let in, and there is no such page.")
    if seen.status in _DENIALS or is_error(seen):
        return Verdict(Result.INCONCLUSIVE, f"{said} Name a page that this client may see: --path")
    return Verdict(Result.PASS, said)


def lets_in(right: Observation) -> bool:
    """Whether the authorised client is let in, with or without a page."""
    return judge_authorised(right).result in (Result.PASS, Result.WARN)


def judge_unauthorised(
    seen: Observation, right: Observation | None, *, has_certificate: bool, insists: bool = False
) -> Verdict:
    """A client that must not be served.

    Args:
        seen: what the server did.
        right: what it did with the authorised client on the same TLS version; None if there was none.
        has_certificate: whether the client has a certificate to show.
        insists: whether the server has told a client without a certificate, in so many words, that it wants one.
    """
    if has_certificate and seen.presented is False:
        why = "the server's list of signature algorithms leaves no way to send it"
        return Verdict(Result.INCONCLUSIVE, f"The certificate was not sent: {why}.")
    if seen.status is not None:
        return _judge_answer(seen, right if right and right.status is not None else None)
    outcome, said = outcome_of(seen), sentence(seen)
    # A refusal of everybody is no refusal of unauthorised: it must come after the question for a certificate, or the
    # authorised client must have fared better.
    served_right = right is not None and lets_in(right)
    if outcome is Outcome.REFUSED_BY_ALERT:
        asked = bool(seen.certificate_requested)
        why = "" if asked or served_right else " It had not asked for a certificate: this may have another cause."
        return Verdict(Result.INCONCLUSIVE if why else Result.PASS, said + why)
    if outcome is Outcome.CLOSED:
        # Node hangs up on a certificate that it does not like, and so does every server that breaks down.
        told = served_right or (insists and seen.presented is True)
        why = "" if told else " Without an authorised client to compare with, this may have another cause."
        return Verdict(Result.PASS if told else Result.INCONCLUSIVE, said + why)
    return Verdict(Result.INCONCLUSIVE, said)


def _judge_answer(seen: Observation, right: Observation | None) -> Verdict:
    said = sentence(seen)
    if right is not None and _same_answer(seen, right):
        return _judge_same_answer(seen, said)
    if right is not None and gives_page(right) and holds_page(seen, right.body):
        return Verdict(Result.FAIL, f"{said} It holds the page of the authorised client all the same.")
    found = decision(seen, right.status if right is not None else None)
    if found is Decision.SERVED:
        other = " It is not the page of the authorised client, but the status says yes." if right is not None else ""
        return Verdict(Result.FAIL, said + other)
    if found is Decision.REFUSED:
        compared = f" The authorised client gets HTTP {right.status}." if right and not says_refused(seen) else ""
        return Verdict(Result.PASS, said + compared)
    return Verdict(Result.INCONCLUSIVE, f"{said} {_why_unknown(found, right)}")


def _why_unknown(found: Decision, right: Observation | None) -> str:
    if right is None:
        return _NOT_TO_TELL
    if found is Decision.NONE:
        return "That is no decision about a client."
    return "The authorised client gets this status too, but another page."


def gives_page(right: Observation) -> bool:
    """Whether the authorised client got a page, and not just in."""
    return right.status is not None and 200 <= right.status < 300


_NOT_TO_TELL = (
    "That may be what everybody is answered: give a good client (--cert, --key), or name a page that exists (--path)."
)


def _judge_same_answer(seen: Observation, said: str) -> Verdict:
    if seen.status in _DENIALS or is_error(seen) or (seen.status or 0) < 200:
        hint = "tells nothing of others" if says_refused(seen) else "name its page with --path"
        return Verdict(Result.INCONCLUSIVE, f"{said} The authorised client is answered the same: {hint}.")
    return Verdict(Result.FAIL, f"{said} That is what the authorised client gets.")


def _same_answer(one: Observation, other: Observation) -> bool:
    return (one.status, one.body, one.headers.get("location")) == (
        other.status,
        other.body,
        other.headers.get("location"),
    )


def sentence(seen: Observation) -> str:
    """What happened, as a sentence."""
    where = seen.phase.value
    if seen.status is not None:
        return f"The server answered {_status(seen)}."
    return {
        Outcome.REFUSED_BY_ALERT: f"The server refused with the TLS alert {seen.alert}.",
        Outcome.CLOSED: "The server closed the connection without an answer"
        + (", after the client had shown what it has." if seen.presented is not None else f" ({where})."),
        Outcome.NO_ANSWER: f"The server gave no answer ({where}): {seen.error}.",
        Outcome.UNREACHABLE: f"The server could not be reached: {seen.error}.",
        Outcome.NOT_TLS: f"The port does not speak TLS; it said {first_line(seen.preface)!r}.",
        Outcome.CLIENT_REFUSES_SERVER: f"The client does not trust the server: {seen.verify_error}.",
        Outcome.NO_SENSE: f"What the server said makes no sense ({where}): {seen.error}.",
        Outcome.LOCAL: f"The attempt failed on this machine ({where}): {seen.error}.",
    }[outcome_of(seen)]


def short_answer(seen: Observation) -> str:
    """The same in a few words, for a column of a table."""
    if seen.status is not None:
        return _status(seen)
    outcome = outcome_of(seen)
    if outcome is Outcome.REFUSED_BY_ALERT:
        return f"alert {seen.alert}"
    if outcome is Outcome.CLOSED:
        return "connection closed"
    return first_line(seen.preface) if outcome is Outcome.NOT_TLS else seen.verify_error or seen.error


def _status(seen: Observation) -> str:
    location = seen.headers.get("location")
    if location and seen.status is not None and 300 <= seen.status < 400:
        return f"HTTP {seen.status} to {location[:80]} (not followed)"
    page = next((page for page in PAGES.values() if page in seen.body), seen.title)
    # Most servers repeat the status in the title.
    page = page.removeprefix(str(seen.status)).strip()[:80]
    return f"HTTP {seen.status}{f' {page}' if page else ''}"


def first_line(text: str) -> str:
    """What a port says that does not speak TLS, cut to a column."""
    return (text.splitlines() or [""])[0][:80]


def observed(seen: Observation, *, served: bool | None = None) -> dict[str, Any]:
    """The facts as reports show them; what was not seen is left out.

    Args:
        seen: what was observed.
        served: what the verdict makes of an HTTP answer; None if nobody can tell.
    """
    outcome = outcome_of(seen)
    if outcome is Outcome.ANSWERED and served is not None:
        outcome = Outcome.SERVED if served else Outcome.REFUSED_BY_STATUS
    facts = {
        "outcome": outcome.value,
        "answer": short_answer(seen),
        "phase": seen.phase.value,
        "side": seen.side.value,
        "status": seen.status,
        "title": seen.title,
        "location": seen.headers.get("location"),
        # Only the server's: ours says no more than that we did not like what came, which "error" tells better.
        "alert": seen.alert if seen.alert_from is Side.PEER else None,
        "error": seen.error,
        "verify_code": seen.verify_code,
        "tls_version": seen.tls_version,
        "cipher": seen.cipher,
        "certificate_requested": seen.certificate_requested,
        "certificate_presented": seen.presented,
        "client_verify": seen.headers.get(VERIFY_HEADER),
    }
    return {name: fact for name, fact in facts.items() if fact not in (None, "")}

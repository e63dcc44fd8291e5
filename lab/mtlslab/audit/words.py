"""What was observed at a foreign server, in words: for people, and as the facts of a report."""

from __future__ import annotations

from typing import Any

from mtlslab.pki.faults import Outcome
from mtlslab.probe.model import Observation, Phase, Side
from mtlslab.verify.checks.model import PAGES, VERIFY_HEADER


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

"""From what was observed at a foreign server to a verdict. Pure: the same facts always give the same verdict.

We do not know the page of a server that is not ours. What an unauthorised client is answered is therefore compared with
what the authorised client is answered, if there is one; without one, only what cannot be mistaken counts.
"""

from __future__ import annotations

import dataclasses
import difflib
import re

from mtlslab.audit.words import outcome_of, sentence
from mtlslab.pki.faults import Outcome
from mtlslab.probe.model import Observation, Side
from mtlslab.verify.checks.answers import (
    NGINX_CODES,
    NO_DECISIONS,
    Decision,
    decision,
    holds_page,
    is_error,
    says_refused,
)
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import VERIFY_HEADER, Result

_ALIKE = 0.6
# RFC 8446 section 6.2: they may be about the issuer, or about a name.
_VAGUE_ALERTS = ("handshake_failure", "bad_certificate", "certificate_unknown", "access_denied", "internal_error")
_NOTHING_TO_COMPARE = (
    "Without an authorised client to compare with, this may have another cause: give a good one (--cert, --key)."
)
_SAYS_NO_REASON = (
    " That does not say why: whether it looks at the issuer, or compares a name only, only the authorised client can "
    "tell (--cert, --key)."
)
_MUCH_LONGER = 10  # times as long
_WORD = re.compile(r"\w+")
_NOT_SENT = "The certificate was not sent: the server's list of signature algorithms leaves no way to send it."
_MINTED = (
    "This client was made for the audit, and the server may admit certain names only: give one that it knows (--cert, "
    "--key)."
)
_HUNG_UP = "It hung up after the handshake: that says nothing about certificates."


@dataclasses.dataclass(frozen=True)
class Scene:
    """What the other attempts on a TLS version have shown, without which one of them says little.

    Attributes:
        asks: whether anybody was asked for a certificate, at any time.
        steady: whether the authorised client was still served when the others had been there.
        repeated: whether it was seen to be, time and again.
        speaks_http: whether the server has chosen HTTP (ALPN), or answered in it.
        authorised_found: whether the authorised client's page holds the text to expect; None if that is not known.
        refuses_in_handshake: whether somebody was refused by the handshake itself, on any TLS version.
        vague: whether all who showed a certificate were refused by alerts that do not say what is wrong with it.
    """

    asks: bool = True
    steady: bool = True
    repeated: bool = False
    speaks_http: bool = True
    authorised_found: bool | None = None
    refuses_in_handshake: bool = False
    vague: bool = False


# Answers to the authorised client that may as well be a refusal of the page to everybody.
_DENIALS = (400, 401, 403, 407, *NGINX_CODES)
NO_PAGE = (404, 410)


def judge_authorised(seen: Observation, *, minted: bool = False, past_the_question: bool = False) -> Verdict:
    """The positive control: the client that must be served.

    Args:
        seen: what it met.
        minted: whether it was made for this audit: a server that admits certain clients only is right to refuse it.
        past_the_question: whether everybody else was refused in words that can only be about the certificate, and this
            client was not.
    """
    verdict = _judge_authorised(seen)
    if past_the_question and is_error(seen):
        why = "It got past the question for a certificate, where all others were stopped; the page is another matter."
        return Verdict(Result.PASS, f"{sentence(seen)} {why}")
    if minted and seen.status in (*_DENIALS, *NO_PAGE):
        return Verdict(Result.INCONCLUSIVE, f"{sentence(seen)} {_MINTED}")
    if minted and verdict.result is Result.FAIL:
        return Verdict(Result.INCONCLUSIVE, f"{verdict.reason} {_MINTED}")
    return verdict


def let_in_by_handshake(seen: Observation) -> bool:
    """Whether the handshake let a client in, and no HTTP followed that could tell more."""
    # Where a server sends no session ticket in TLS 1.3, waiting for the client's words is what tells.
    went_on = seen.admitted or (seen.finished and seen.hung_up is False)
    return seen.status is None and went_on and seen.alert_from is not Side.PEER


def _judge_authorised(seen: Observation) -> Verdict:
    outcome = outcome_of(seen)
    if seen.certificate_requested and seen.presented is False:
        return Verdict(Result.INCONCLUSIVE, _NOT_SENT)
    if seen.status is not None:
        return _judge_answer_to_authorised(seen)
    if outcome is Outcome.NO_ANSWER:
        return Verdict(Result.INCONCLUSIVE, f"{sentence(seen)} Give it more time: --timeout")
    if let_in_by_handshake(seen):
        return Verdict(Result.PASS, f"The handshake lets it in; then the server speaks no HTTP: {sentence(seen)}")
    if seen.finished and outcome is Outcome.CLOSED:
        return Verdict(Result.INCONCLUSIVE, f"{sentence(seen)} {_HUNG_UP}")
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
    if seen.status in (*_DENIALS, *NO_DECISIONS) or is_error(seen):
        return Verdict(Result.INCONCLUSIVE, f"{said} Name a page that this client may see: --path")
    return Verdict(Result.PASS, said)


def lets_in(right: Observation) -> bool:
    """Whether the authorised client is let in, with or without a page."""
    return judge_authorised(right).result in (Result.PASS, Result.WARN)


def judge_unauthorised(
    seen: Observation,
    right: Observation | None,
    *,
    has_certificate: bool,
    insists: bool = False,
    scene: Scene | None = None,
) -> Verdict:
    """A client that must not be served.

    Args:
        seen: what the server did.
        right: what it did with the authorised client on the same TLS version; None if there was none.
        has_certificate: whether the client has a certificate to show.
        insists: whether the server has told a client without a certificate, in so many words, that it wants one.
        scene: what else is known of the server; None if nothing is.
    """
    if has_certificate and seen.presented is False:
        return Verdict(Result.INCONCLUSIVE, _NOT_SENT)
    scene = scene or Scene()
    verdict = _judge_expected(seen, scene) or _judge_compared(seen, right, scene, insists=insists)
    if verdict.result is not Result.PASS:
        return verdict
    if not scene.asks:
        return Verdict(
            Result.INCONCLUSIVE, f"{verdict.reason} Nobody was asked for a certificate: it is about something else."
        )
    if not scene.steady and not speaks_of_certificates(seen):
        again = "The authorised client, who came once more after the others, was not served any more"
        limit = "this may be a limit on connections, or a ban. Ask again from an address that has none"
        return Verdict(Result.INCONCLUSIVE, f"{verdict.reason} {again}: {limit}.")
    return verdict


def _judge_expected(seen: Observation, scene: Scene) -> Verdict | None:
    """What the text that the protected page contains decides, if it was given."""
    if seen.found is None or seen.status is None:
        return None
    if seen.found:
        return Verdict(Result.FAIL, f"{sentence(seen)} It holds the text of the protected page.")
    if seen.status in NO_DECISIONS or says_refused(seen):
        return None
    known = scene.authorised_found
    if known is False or (known is None and is_error(seen)):
        return None
    return Verdict(Result.PASS, f"{sentence(seen)} It does not hold the text of the protected page.")


def is_vague(seen: Observation) -> bool:
    """Whether a client that showed a certificate was refused without a word about what is wrong with it."""
    return bool(seen.presented) and outcome_of(seen) is Outcome.REFUSED_BY_ALERT and seen.alert in _VAGUE_ALERTS


def says_why(seen: Observation) -> bool:
    """Whether a client that showed a certificate was refused by an alert that says what is wrong with it."""
    return bool(seen.presented) and outcome_of(seen) is Outcome.REFUSED_BY_ALERT and not is_vague(seen)


def speaks_of_certificates(seen: Observation) -> bool:
    """Whether a refusal can be nothing but one for want of a good certificate, whatever becomes of others."""
    asked = bool(seen.certificate_requested)
    return says_refused(seen) or (asked and outcome_of(seen) is Outcome.REFUSED_BY_ALERT)


def _judge_compared(seen: Observation, right: Observation | None, scene: Scene, *, insists: bool) -> Verdict:
    if right is not None and right.status is None and let_in_by_handshake(right):
        return _judge_handshake(seen, right)
    if seen.status is not None:
        return _judge_answer(seen, right if right and right.status is not None else None, scene)
    outcome, said = outcome_of(seen), sentence(seen)
    # A refusal of everybody is no refusal of unauthorised: it must come after the question for a certificate, or the
    # authorised client must have fared better.
    served_right = right is not None and lets_in(right)
    if outcome is Outcome.REFUSED_BY_ALERT:
        asked = bool(seen.certificate_requested)
        why = "" if asked or served_right else " It had not asked for a certificate: this may have another cause."
        if asked and right is None and seen.presented and scene.vague:
            why = _SAYS_NO_REASON
        return Verdict(Result.INCONCLUSIVE if why else Result.PASS, said + why)
    if right is None and _waits_for_another_protocol(seen, scene):
        why = "The handshake lets it in, and the server waits for its words"
        return Verdict(Result.FAIL, f"{why}; what the protocol behind it makes of them was not seen: {said}")
    if outcome is Outcome.CLOSED:
        told = served_right or _closing_tells(seen, scene, insists=insists)
        why = "" if told else f" {_NOTHING_TO_COMPARE}"
        return Verdict(Result.PASS if told else Result.INCONCLUSIVE, said + why)
    # Silence after the handshake, where the authorised client is answered at once, is a decision.
    quick = right is not None and right.duration * _MUCH_LONGER < seen.duration
    told = outcome is Outcome.NO_ANSWER and seen.finished and served_right and quick
    why = " The authorised client is answered at once." if told else ""
    if outcome is Outcome.NO_ANSWER and seen.finished and not told:
        why = " Give it more time (--timeout)" + (", or a good client (--cert, --key)." if right is None else ".")
    return Verdict(Result.PASS if told else Result.INCONCLUSIVE, said + why)


def _waits_for_another_protocol(seen: Observation, scene: Scene) -> bool:
    """Whether a server heard a client on after the handshake, and ended the connection at the sight of HTTP.

    Either it spoke first, as servers of mail do, or it never did.
    """
    heard_on = seen.hung_up is False and bool(seen.certificate_requested) and not scene.speaks_http
    return heard_on and (seen.spoke_first or (outcome_of(seen) is Outcome.CLOSED and not seen.spoke))


def refused_in_handshake(seen: Observation) -> bool:
    """Whether the server ended the handshake after it had asked for a certificate and had its answer."""
    ended = outcome_of(seen) in (Outcome.REFUSED_BY_ALERT, Outcome.CLOSED) and not seen.finished
    return ended and bool(seen.certificate_requested) and seen.presented is not None


def _closing_tells(seen: Observation, scene: Scene, *, insists: bool) -> bool:
    """Whether a server that hangs up does so for want of a good certificate, if nobody is there to compare with.

    A client without a certificate is hung up on for want of one, if that comes instead of the end of the handshake, or
    right after it. What is wrong with a certificate, nobody knows of a server that never says a word; of one that says
    that it wants one, it is known. After a finished handshake, such a server of HTTP may hang up on a certificate that
    it does not like (Node does); a server of anything else hangs up on HTTP, unless it does not even wait for that.
    """
    at_once = refused_in_handshake(seen) or bool(seen.hung_up)
    if seen.presented is False:
        return refused_in_handshake(seen) or (at_once and scene.refuses_in_handshake)
    return bool(seen.presented) and insists and (at_once or scene.speaks_http)


def _judge_handshake(seen: Observation, right: Observation) -> Verdict:
    """The authorised client was let in by the handshake and could say no more: so the handshake alone tells."""
    said, outcome = sentence(seen), outcome_of(seen)
    if outcome is Outcome.REFUSED_BY_ALERT or (outcome is Outcome.CLOSED and not seen.finished):
        asked = bool(seen.certificate_requested) or seen.presented is not None
        return Verdict(Result.PASS if asked else Result.INCONCLUSIVE, said)
    if seen.hung_up and not right.hung_up and seen.presented is not None:
        return Verdict(
            Result.PASS, f"{said} That was before it had been asked for anything; the authorised client was heard on."
        )
    if let_in_by_handshake(seen) and outcome is outcome_of(right) and outcome is not Outcome.NO_ANSWER:
        why = "The handshake lets it in as it does the authorised client"
        return Verdict(Result.FAIL, f"{why}; what the protocol behind it makes of that was not seen: {said}")
    if outcome is Outcome.CLOSED and seen.certificate_requested and not seen.admitted:
        # TLS 1.3: the client is done before the server has looked. This one was hung up on right then.
        return Verdict(Result.PASS, f"{said} The authorised client was heard on.")
    hint = "Only the handshake could be compared, and it does not tell."
    return Verdict(Result.INCONCLUSIVE, f"{said} {hint}")


def _judge_answer(seen: Observation, right: Observation | None, scene: Scene) -> Verdict:
    said = sentence(seen)
    if right is not None and _same_answer(seen, right):
        return _judge_same_answer(seen, said)
    if right is not None and gives_page(right) and holds_page(seen, right.body):
        return Verdict(Result.FAIL, f"{said} It holds the page of the authorised client all the same.")
    found = decision(seen, right.status if right is not None else None)
    if found is Decision.SERVED:
        return _judge_other_page(seen, right, said)
    if found is Decision.REFUSED:
        compared = f" The authorised client gets HTTP {right.status}." if right and not says_refused(seen) else ""
        return Verdict(Result.PASS, said + compared)
    if is_error(seen) and right is not None and gives_page(right) and scene.repeated:
        return Verdict(Result.PASS, f"{said} The authorised client gets HTTP {right.status}, before and after.")
    return Verdict(Result.INCONCLUSIVE, f"{said} {_why_unknown(found, right)}")


def _judge_other_page(seen: Observation, right: Observation | None, said: str) -> Verdict:
    """A 2xx that is not the authorised client's very page: that page with a time in it, or a page for refusals."""
    if right is None or not gives_page(right) or not seen.body or likeness(seen.body, right.body) >= _ALIKE:
        return Verdict(Result.FAIL, said)
    other = "It is not the page of the authorised client, but the status says yes"
    return Verdict(
        Result.INCONCLUSIVE, f"{said} {other}: tell the two apart with --expect TEXT (of the protected page)."
    )


def likeness(one: str, other: str) -> float:
    """How much of two texts is the same, word by word: 0 nothing, 1 all."""
    return difflib.SequenceMatcher(None, _WORD.findall(one), _WORD.findall(other), autojunk=False).ratio()


def _why_unknown(found: Decision, right: Observation | None) -> str:
    if right is None:
        return _NOT_TO_TELL
    if found is Decision.NONE:
        return "That is no decision about a client: audit it when it can answer, or name another page (--path)."
    return "The authorised client gets this status too, but another page."


def gives_page(right: Observation) -> bool:
    """Whether the authorised client got a page, and not just in."""
    return right.status is not None and 200 <= right.status < 300


_NOT_TO_TELL = (
    "That may be what everybody is answered: give a good client (--cert, --key), or name a page that exists (--path)."
)


def _judge_same_answer(seen: Observation, said: str) -> Verdict:
    if seen.status in (*_DENIALS, *NO_DECISIONS) or is_error(seen) or (seen.status or 0) < 200:
        hint = "tells nothing of others" if says_refused(seen) else "name its page with --path"
        return Verdict(Result.INCONCLUSIVE, f"{said} The authorised client is answered the same: {hint}.")
    return Verdict(Result.FAIL, f"{said} That is what the authorised client gets.")


def _same_answer(one: Observation, other: Observation) -> bool:
    return (one.status, one.body, _place(one)) == (other.status, other.body, _place(other))


def _place(seen: Observation) -> str:
    """Where a redirect leads, without its query: that may hold the time, or a token."""
    return seen.headers.get("location", "").partition("?")[0]

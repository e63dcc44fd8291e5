"""The procedures of the doors: unauthorised clients knock at all of one group, and nobody may be let in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mtlslab.pki.faults import Outcome
from mtlslab.plan.paths import SERVER_CERT, SERVER_KEY
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import Attempt, KeyFiles, Observation
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext, credential_files
from mtlslab.verify.doors.knock import Answer, knock_at
from mtlslab.verify.doors.model import NO_CERTIFICATE, SERVER_CERTIFICATE, DoorList, Group, Knock
from mtlslab.verify.doors.protected import Protected
from mtlslab.verify.doors.survey import Survey
from mtlslab.verify.procedures.model import Procedure, ProcedureResult

_SHOWN = 3  # doors in a sentence
_PATIENCE = 2.0  # seconds for a door that need not be there


def knocks_at(group: Group) -> Procedure:
    """The procedure that knocks at the doors of one group."""

    def knock(context: VerifyContext, _check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
        """Clients that must not be let in ask at each of these doors, as curl asks: mtlslab verify --list-doors."""
        listing = (context.doors or Survey(context))()

        def ask(knock: Knock) -> Observation:
            return probe(knock.door.attempt(credential_of(context, knock.client), min(context.timeout, _PATIENCE)))

        knocks = [one for one in listing.of(group) if _is_here(credential_of(context, one.client))]
        answers = tuple(knock_at(knocks, ask, context.protected or Protected(context.directory)))
        if not any(answer.alive for answer in answers):
            return _nobody_there(attempt, probe(dataclasses.replace(as_printed(attempt), insecure=True)))
        return _result(context, attempt, group, listing, answers)

    return knock


def _is_here(credential: KeyFiles | None) -> bool:
    """Whether a client can come: without the key of the client CA, some cannot be issued."""
    return credential is None or credential.certificate.exists()


def as_printed(attempt: Attempt) -> Attempt:
    """The attempt without what the printed command does not send: as curl makes it."""
    return dataclasses.replace(attempt, nonce="", as_curl=True, http_version="2")


def credential_of(context: VerifyContext, client: str) -> KeyFiles | None:
    """The files of an unauthorised client."""
    if client == NO_CERTIFICATE:
        return None
    if client == SERVER_CERTIFICATE:
        return KeyFiles(context.directory / SERVER_CERT, context.directory / SERVER_KEY)
    return credential_files(context.issuer, client)


def _nobody_there(attempt: Attempt, seen: Observation) -> ProcedureResult:
    why = seen.error or "what answers there speaks neither TLS nor HTTP"
    return ProcedureResult(attempt, seen, verdict=Verdict(Result.INCONCLUSIVE, f"Nobody could knock: {why}."))


def _result(
    context: VerifyContext, attempt: Attempt, group: Group, listing: DoorList, answers: Sequence[Answer]
) -> ProcedureResult:
    wrong = sorted((one for one in answers if one.what), key=lambda one: one.result is not Result.FAIL)
    doors = dict.fromkeys(one.knock.door for one in answers)
    facts = {
        "outcome": (Outcome.SERVED if wrong else Outcome.REFUSED_NO_CERTIFICATE).value,
        "answer": f"{len(wrong)} of {len(answers)} knocks let in" if wrong else f"{len(answers)} knocks, nobody let in",
        "knocks": len(answers),
        "doors": len(doors),
        "left_out": listing.left_out.get(group, 0),
        "open": list(dict.fromkeys(str(one.knock.door) for one in wrong)),
    }
    if group is Group.TLS_SERVICE and not wrong:
        facts |= {"outcome": Outcome.SERVED.value, "answer": f"{len(answers)} knocks, nothing but its own page"}
    if facts["left_out"]:
        facts["answer"] = f"{facts['answer']}, {facts['left_out']} left out"
    command = None
    if wrong:
        knock = wrong[0].knock
        shown = knock.door.attempt(credential_of(context, knock.client), context.timeout)
        command = curl_command(shown, context.directory)
    verdict = _verdict(wrong, len(answers), len(doors), _more(group, listing), group, listing)
    return ProcedureResult(attempt, None, command, facts, verdict)


def _verdict(wrong: Sequence[Answer], knocks: int, doors: int, more: str, group: Group, listing: DoorList) -> Verdict:
    if wrong:
        # One example of each door: that all clients get in there says no more.
        shown = list({one.knock.door: str(one) for one in reversed(wrong)}.values())[::-1]
        rest = f" (and {len(shown) - _SHOWN} more doors)" if len(shown) > _SHOWN else ""
        return Verdict(wrong[0].result, f"{'; '.join(shown[:_SHOWN])}{rest}.{more}")
    if group is Group.LISTENERS and listing.strangers:
        where = ", ".join(listing.strangers)
        return Verdict(Result.WARN, f"Nobody was let in, but nginx also listens on {where}.{more}")
    what = "Nothing but its own page was given" if group is Group.TLS_SERVICE else "Nobody was let in"
    return Verdict(Result.PASS, f"{what}: {knocks} knocks at {doors} doors.{more}")


def _more(group: Group, listing: DoorList) -> str:
    """What was not done, and why the list may be too short."""
    count = listing.left_out.get(group, 0)
    left_out = f" Left out: {count} more (--doors)." if count else ""
    return f"{left_out} The list may be too short: {listing.problem}." if listing.problem else left_out

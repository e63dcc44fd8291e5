"""Sessions that are resumed: what one server or one refusal has given out must open nothing elsewhere.

RFC 8446 section 2.2: a resumed session brings the client's identity along, and the certificate is not sent again.
"""

from __future__ import annotations

import dataclasses

from mtlslab.probe.model import Attempt
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.commands import piped, s_client
from mtlslab.verify.procedures.model import ProcedureResult


def ticket_of_other_server(context: VerifyContext, _check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """A session of the TLS service, resumed there to show that it is good, then offered to the mTLS service."""
    there = dataclasses.replace(attempt, port=context.tls_port, nonce="", keep_session=True)
    given = probe(there)
    at_home = probe(dataclasses.replace(there, session=given.session))
    seen = probe(dataclasses.replace(attempt, session=at_home.session or given.session))
    facts = {"resumed_at_home": at_home.resumed, "resumed": seen.resumed}
    if not given.answered:
        words = given.error or "no answer"
        verdict = Verdict(Result.INCONCLUSIVE, f"The TLS server gave no session that could be tried here: {words}.")
        return ProcedureResult(attempt, given, verdict=verdict)
    return ProcedureResult(attempt, seen, facts=facts)


def resume_here(_context: VerifyContext, _check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """A session of the mTLS service, offered to it once more."""
    given = probe(dataclasses.replace(attempt, nonce="", keep_session=True))
    seen = probe(dataclasses.replace(attempt, session=given.session)) if given.answered else given
    return ProcedureResult(attempt, seen, facts={"resumed": seen.resumed})


def other_server_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """The command of :func:`ticket_of_other_server`."""
    return _command(context, dataclasses.replace(attempt, port=context.tls_port), attempt)


def resume_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """The command of :func:`resume_here`."""
    return _command(context, attempt, attempt)


def _command(context: VerifyContext, first: Attempt, second: Attempt) -> list[str]:
    """Two runs of openssl s_client, the second with the session of the first: curl keeps no session between runs."""
    page = f"GET {second.path} HTTP/1.1\\r\\nHost: {second.authority}\\r\\nConnection: close\\r\\n\\r\\n"
    # The shell's variable must stay outside of the quotes that piped() puts around everything else.
    runs = [
        piped(page, s_client(attempt, context.directory, "-ign_eof", option)) + ' "$session"'
        for attempt, option in ((first, "-sess_out"), (second, "-sess_in"))
    ]
    return ["sh", "-c", f'session=$(mktemp); {runs[0]} > /dev/null; {runs[1]}; rm -f "$session"']

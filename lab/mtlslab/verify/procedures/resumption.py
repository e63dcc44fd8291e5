"""Sessions that are resumed: what one server or one refusal has given out must open nothing elsewhere.

RFC 8446 section 2.2: a resumed session brings the client's identity along, and the certificate is not sent again.
"""

from __future__ import annotations

import dataclasses
import ssl

from mtlslab.probe.attempt import Attempt
from mtlslab.probe.connection import ContextKey, client_context
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.commands import piped, s_client
from mtlslab.verify.procedures.exchange import exchange
from mtlslab.verify.procedures.model import TrialResult


def ticket_of_other_server(context: VerifyContext, _check: Check, attempt: Attempt, _probe: Probe) -> TrialResult:
    """A session of the TLS service, resumed there to show that it is good, then offered to the mTLS service."""
    tls = _shared_context(attempt)
    there = dataclasses.replace(attempt, port=context.tls_port, nonce="")
    given = exchange(there, tls)
    at_home = exchange(there, tls, given.session)
    done = exchange(attempt, tls, at_home.session or given.session)
    facts = {"resumed_at_home": at_home.reused, "resumed": done.reused}
    if not given.seen.answered:
        words = given.seen.error or "no answer"
        verdict = Verdict(Result.INCONCLUSIVE, f"The TLS server gave no session that could be tried here: {words}.")
        return TrialResult(attempt, given.seen, verdict=verdict)
    return TrialResult(attempt, done.seen, facts=facts)


def resume_here(_context: VerifyContext, _check: Check, attempt: Attempt, _probe: Probe) -> TrialResult:
    """A session of the mTLS service, offered to it once more."""
    tls = _shared_context(attempt)
    first = dataclasses.replace(attempt, nonce="")
    given = exchange(first, tls)
    done = exchange(attempt, tls, given.session) if given.seen.answered else given
    return TrialResult(attempt, done.seen, facts={"resumed": done.reused})


def _shared_context(attempt: Attempt) -> ssl.SSLContext:
    """One context for both connections: a session belongs to the context that it came from."""
    credential = attempt.credential
    return client_context(
        ContextKey(
            trust=attempt.cacert,
            insecure=attempt.insecure,
            check_hostname=attempt.check_hostname,
            certificate=credential.certificate if credential else None,
            key=credential.key if credential else None,
            version=attempt.tls_version,
        )
    )


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

"""A client that starts a second handshake inside the first one's connection (TLS 1.2; TLS 1.3 has no such thing)."""

from __future__ import annotations

import dataclasses

from mtlslab.probe.keys import AEAD_CIPHERS
from mtlslab.probe.model import Attempt
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.commands import piped, s_client
from mtlslab.verify.procedures.model import ProcedureResult, failed


def renegotiate(_context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """Finish a handshake, then start another one in the same connection."""
    # Every server with TLS 1.2 has one of these suites (RFC 9325 section 4.2).
    seen = probe(dataclasses.replace(attempt, tls_version="1.2", ciphers=AEAD_CIPHERS, renegotiate=True))
    if seen.renegotiated is None:
        return ProcedureResult(attempt, seen)
    if seen.renegotiated:
        facts = {"outcome": "agreed", "answer": "a second ServerHello"}
        verdict = failed(check, "The server let the client renegotiate.")
        return ProcedureResult(attempt, seen, facts=facts, verdict=verdict)
    how = f"with the TLS alert {seen.alert}" if seen.alert else "and closed the connection"
    return ProcedureResult(attempt, seen, verdict=Verdict(Result.PASS, f"The server refused to renegotiate {how}."))


def renegotiation_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """``R`` on a line of its own makes s_client renegotiate."""
    return ["sh", "-c", piped("R\\n", s_client(attempt, context.directory))]

"""Procedures that show whether a check holds. Most checks need one attempt only: the trial ``probe``."""

from __future__ import annotations

import dataclasses
import time

from lab.checks.model import CRL_TRIAL, PROBE, Check
from lab.context import Probe, VerifyContext
from lab.probe import Attempt
from lab.trials import client_side, protocol, resumption
from lab.trials.hello import TLS_1_0, TLS_1_1
from lab.trials.model import Trial, TrialResult
from lab.trials.renegotiation import renegotiate
from lab.trials.revocation_list import look_at_list
from lab.trials.servers import SERVER_CREDENTIALS

__all__ = ["TRIALS", "Trial", "TrialResult"]


def probe_once(_context: VerifyContext, _check: Check, attempt: Attempt, probe: Probe) -> TrialResult:
    """The usual case: one attempt."""
    return TrialResult(attempt, probe(attempt))


def _timed(trial: Trial) -> Trial:
    """The same trial, whose observation tells how long all of it took unless it says so itself."""

    def timed(context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> TrialResult:
        begin = time.perf_counter()
        result = trial(context, check, attempt, probe)
        if result.seen is None or result.seen.duration:
            return result
        seen = dataclasses.replace(result.seen, duration=time.perf_counter() - begin)
        return dataclasses.replace(result, seen=seen)

    return timed


_TRIALS: dict[str, Trial] = {
    PROBE: probe_once,
    CRL_TRIAL: look_at_list,
    # The client's side.
    **{f"server-{name}": client_side.server_trial(name) for name in SERVER_CREDENTIALS},
    "server-common-name-only": client_side.common_name_only,
    "any-server": client_side.accept_any_server,
    "client-ca-as-anchor": client_side.with_client_ca,
    "other-name": client_side.by_other_name,
    # The protocol.
    "plain-http": protocol.plain_http,
    "tls10": protocol.old_version(TLS_1_0),
    "tls11": protocol.old_version(TLS_1_1),
    "broken-suites": protocol.broken_suites,
    "fallback": protocol.fallback,
    "best-version": protocol.best_version,
    "alpn-http": protocol.choose_http_1,
    "alpn-unknown": protocol.unknown_protocol,
    "renegotiation": renegotiate,
    # Resumption.
    "ticket-of-other-server": resumption.ticket_of_other_server,
    "resume-here": resumption.resume_here,
}

TRIALS: dict[str, Trial] = {name: _timed(trial) for name, trial in _TRIALS.items()}
"""By the name that a check has for it."""

"""Waits until both services of a lab finish a TLS handshake and answer an HTTP request."""

from __future__ import annotations

import time

from mtlslab.errors import NotReadyError
from mtlslab.plan.services import LabPlan, Service
from mtlslab.plan.spec import reachable_address
from mtlslab.probe.attempt import attempt
from mtlslab.probe.model import Attempt, Observation, Phase, Side
from mtlslab.probe.policy import not_offered
from mtlslab.runtime.base import Runtime, State

POLL_SECONDS = 0.02
# Number of log lines of a service that an error shows.
LAST_LINES = 8
# In the log: this request is not the user's. What asks without it, as a user's command would, comes right after it.
_MARK = "up"


def wait_until_ready(plan: LabPlan, runtime: Runtime, *, seconds: float) -> None:
    """Return when every service answers; any HTTP status is an answer, also the 400 of the mTLS service.

    Args:
        plan: the services, their ports and the listen address.
        runtime: where the services run.
        seconds: timeout for all services together.

    Raises:
        NotReadyError: the time is over, or a service has ended. ``why`` holds state, exit code and last log lines.
    """
    deadline = time.monotonic() + seconds
    for service in plan.services:
        _wait_for(plan, service, runtime, deadline)


def _wait_for(plan: LabPlan, service: Service, runtime: Runtime, deadline: float) -> None:
    next_look = time.monotonic() + 10 * POLL_SECONDS
    while True:
        observation = _probe(plan, service, max(0.1, min(2.0, deadline - time.monotonic())))
        # A server that refuses this client's words runs: a policy of this machine may leave no better ones.
        if observation.status is not None or _is_about_words(observation):
            return
        now = time.monotonic()
        if now >= deadline:
            raise _not_ready(plan, service, runtime, f"no answer in time ({observation.error})")
        # A call to the engine takes longer than a connection to the port, so the state is checked less often.
        if now >= next_look:
            _require_alive(plan, service, runtime)
            next_look = now + 10 * POLL_SECONDS
        time.sleep(POLL_SECONDS)


def _is_about_words(seen: Observation) -> bool:
    """Whether the connection was there, and the two sides found no words in common."""
    if seen.alert_from is Side.PEER:
        return True
    return seen.phase is Phase.HANDSHAKE and seen.side is Side.LOCAL and bool(not_offered())


def _probe(plan: LabPlan, service: Service, timeout: float) -> Observation:
    return attempt(
        Attempt(
            host="localhost",
            address=reachable_address(plan.listen),
            port=service.port,
            insecure=True,  # `mtlslab verify` checks the server's certificate
            nonce=_MARK,
            timeout=timeout,
        )
    )


def _require_alive(plan: LabPlan, service: Service, runtime: Runtime) -> None:
    states = [item for item in runtime.status(plan.lab) if item.service == service.name]
    if not any(item.state is State.RUNNING for item in states):
        raise _not_ready(plan, service, runtime, "it does not run")


def _not_ready(plan: LabPlan, service: Service, runtime: Runtime, cause: str) -> NotReadyError:
    words = [f"{service.name}: {cause}"]
    for item in runtime.status(plan.lab):
        if item.service == service.name:
            code = "" if item.exit_code is None else f", exit code {item.exit_code}"
            words.append(f"{item.identity} is {item.state}{code}{f' ({item.detail})' if item.detail else ''}")
    words += [line.text for line in runtime.logs(plan.lab, service.name, tail=LAST_LINES)]
    return NotReadyError(
        f"The lab {plan.lab!r} did not get ready.",
        why=words,
        hint="Read more with: mtlslab up --retain, then mtlslab logs",
    )

"""Mutants in what surrounds nginx: where it is reached from."""

from __future__ import annotations

import dataclasses

from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.verify.proof.mutants.model import RULES, mutant
from mtlslab.verify.proof.twins import Twin

_EVERYWHERE = "0.0.0.0"  # noqa: S104  that is the sabotage


@mutant(only=RULES)
def answers_everywhere(twin: Twin) -> None:
    """The service answers on every address of the machine, in a container by what the engine publishes."""
    twin.edit_file(f"{MTLS_SERVICE}/listen.conf", r"127\.0\.0\.1", _EVERYWHERE)
    twin.plan_changes.append(lambda plan: dataclasses.replace(plan, listen=_EVERYWHERE))

"""The rules over the configuration (``mtlslab.verify.rules``) as checks: chosen and reported like all others."""

from __future__ import annotations

from mtlslab.pki.faults import Outcome
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.verify.checks.model import CONFIGURATION, Entry, Expectation


def entries() -> tuple[Entry, ...]:
    """One entry for each rule."""
    from mtlslab.verify.rules.catalogue import CATALOGUE  # the rules know what a check is

    return tuple(
        Entry(
            id=rule.id,
            title=rule.title,
            category=CONFIGURATION,
            service=MTLS_SERVICE,
            expect=Expectation(Outcome.CONFIGURED),
            why=rule.why,
            hint=rule.hint,
            severity=rule.severity,
            rfc=rule.source,
            directive=rule.directive,
            sabotage=rule.sabotage,
            procedure=rule.id,
            versions=(),
        )
        for rule in CATALOGUE.values()
    )

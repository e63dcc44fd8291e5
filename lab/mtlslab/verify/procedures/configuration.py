"""The procedure of every rule: look at the effective configuration, and say where the rule does not hold."""

from __future__ import annotations

import re
from pathlib import Path

from mtlslab.pki.faults import Severity
from mtlslab.plan.services import SERVICES
from mtlslab.probe.model import Attempt
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.model import Command, Procedure, ProcedureResult
from mtlslab.verify.rules.model import Objection, Rule

_SHOWN = 3  # objections in a sentence


def follows(rule: Rule) -> Procedure:
    """The procedure that judges the configuration by one rule."""

    def judge_by_rule(context: VerifyContext, _check: Check, attempt: Attempt, _probe: Probe) -> ProcedureResult:
        """What nginx itself says that it reads (nginx -T) is read, with all its files, and judged by what it means."""
        if context.configuration is None:
            return ProcedureResult(
                attempt, None, verdict=Verdict(Result.INCONCLUSIVE, "Nobody has read the configuration.")
            )
        known = context.configuration()
        if known.facts is None:
            why = f"The configuration cannot be read: {known.problem}."
            return ProcedureResult(attempt, None, verdict=Verdict(Result.INCONCLUSIVE, why))
        objections = tuple(rule.objections(known.facts))
        facts = {"answer": _answer(objections), "places": [str(one.place) for one in objections if one.place]}
        return ProcedureResult(attempt, None, facts=facts, verdict=_verdict(rule, objections))

    return judge_by_rule


def show_directives(rule: Rule) -> Command:
    """The command that shows where the directives of a rule stand in the files of the services."""
    words = re.findall(r"[a-z_]+", rule.directive)

    def command(context: VerifyContext, _attempt: Attempt) -> list[str]:
        files = [f"./{service}/{name}" for service in SERVICES for name in _configurations(context.directory / service)]
        return ["grep", "-nwE", "|".join(words), *(files or [f"./{service}/nginx.conf" for service in SERVICES])]

    return command


def _configurations(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.conf") if path.name != "listen.container.conf")


def _answer(objections: tuple[Objection, ...]) -> str:
    places = list(dict.fromkeys(str(one.place) for one in objections if one.place))
    return ", ".join(places[:_SHOWN]) + (" ..." if len(places) > _SHOWN else "")


def _verdict(rule: Rule, objections: tuple[Objection, ...]) -> Verdict:
    if not objections:
        return Verdict(Result.PASS, "Nothing in the configuration is against it.")
    # What makes it fail comes first.
    ordered = sorted(objections, key=lambda one: not one.grave)
    more = f" (and {len(ordered) - _SHOWN} more)" if len(ordered) > _SHOWN else ""
    reason = "; ".join(str(one) for one in ordered[:_SHOWN]) + more + "."
    fails = rule.severity is Severity.REQUIRED and ordered[0].grave
    return Verdict(Result.FAIL if fails else Result.WARN, reason)

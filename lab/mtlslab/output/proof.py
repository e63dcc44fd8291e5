"""Looks of a proof that the checks bite."""

from __future__ import annotations

from mtlslab.output.look import Look
from mtlslab.verify.proof.prove import Proof, TwinResult

_WIDTH = 78


def render_proof(proof: Proof, look: Look) -> str:
    """A proof as text that ends with a line end."""
    lines = [f'sabotaged twins of the lab "{proof.lab}" ({proof.runtime})', ""]
    lines += [render_twin(twin, unicode=look.unicode) for twin in proof.twins]
    seconds = f" ({proof.duration_ms / 1000:.0f} s)" if proof.duration_ms else ""
    return "\n".join([*lines, "", f"{_closing(proof)}{seconds}", ""])


def render_twin(twin: TwinResult, *, unicode: bool = True) -> str:
    """One twin as one line: what was wrong, and which check caught it."""
    marks = ("✓", "✗") if unicode else ("ok", "!!")
    return f"  {marks[0] if twin.good else marks[1]} {twin.title:<{_WIDTH}}  {_verdict(twin)}"


def _verdict(twin: TwinResult) -> str:
    if twin.control:
        return f"none of {twin.checks} checks failed" if twin.good else f"not green: {twin.caught_by[0]}"
    if not twin.caught_by:
        return "SURVIVED: no check failed"
    more = len(twin.caught_by) - 1
    return f"caught by {twin.caught_by[0]}" + (f" and {more} more" if more else "")


def _closing(proof: Proof) -> str:
    caught, total = len(proof.mutants) - len(proof.survivors), len(proof.mutants)
    faithful = [twin for twin in proof.twins if twin.control]
    score = f"mutation score {proof.score:.0%}: the checks caught {caught} of {total} mutants"
    if proof.false_alarms:
        names = ", ".join(twin.name for twin in proof.false_alarms)
        alarms = f"false alarms on {len(proof.false_alarms)} of {len(faithful)}"
        return f"Nothing is proved: a faithful twin is not green ({alarms}: {names}); {score}."
    if not proof.mutants:
        return "Nothing is proved: no mutant was tried."
    words = f"no false alarm on {len(faithful)} faithful twins; {score}"
    if proof.survivors:
        return f"{words}; {', '.join(twin.name for twin in proof.survivors)} survived."
    return f"{words}. The checks bite."

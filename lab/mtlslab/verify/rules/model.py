"""What a rule is: a fact about the configuration that must hold, and how to find where it does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from mtlslab.pki.faults import Severity
from mtlslab.verify.configuration.model import Directive, Position
from mtlslab.verify.rules.facts import Facts


@dataclasses.dataclass(frozen=True)
class Objection:
    """One place at which a rule does not hold.

    Attributes:
        what: what is wrong there, as a clause without its full stop.
        place: where; None for what is missing, or for something outside of the configuration.
        grave: whether it makes the rule fail; else it is worth a warning.
    """

    what: str
    place: Position | None = None
    grave: bool = True

    def __str__(self) -> str:
        return f"{self.place}: {self.what}" if self.place else self.what


@dataclasses.dataclass(frozen=True)
class Rule:
    """One fact about the configuration.

    Attributes:
        id: stable name in kebab case, beginning with ``config-``.
        title: the fact, as a sentence in the indicative without its full stop.
        why: two or three sentences for a student: what depends on it.
        hint: what to write instead.
        directive: the directives that decide it.
        source: the section of an RFC, or the document of nginx, that says so.
        sabotage: what to change in order to see the rule fail.
        objections: finds the places at which it does not hold.
        severity: required, or advisory: then every objection is a warning.
    """

    id: str
    title: str
    why: str
    hint: str
    directive: str
    source: str
    sabotage: str
    objections: Callable[[Facts], Iterable[Objection]] = dataclasses.field(repr=False)
    severity: Severity = Severity.REQUIRED


def grave(directive: Directive, what: str = "") -> Objection:
    """An objection to a directive; without words of its own it shows the directive."""
    return Objection(what or str(directive), directive.place)


def mild(directive: Directive, what: str = "") -> Objection:
    """The same, as a warning."""
    return Objection(what or str(directive), directive.place, grave=False)

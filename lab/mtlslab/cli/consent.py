"""Asks the person at the terminal whether a lab that came from elsewhere may be run."""

from __future__ import annotations

from collections.abc import Callable

from mtlslab.cli.terminal import ask, can_ask, say
from mtlslab.errors import SpecError


def consent(given: bool) -> Callable[[SpecError], None]:
    """Make the function that agrees to run a lab or raises the refusal: the ``Trusts`` of ``workspace.trust``.

    With ``--trust`` (``given``) it agrees. Else it asks the user at the terminal. Without a terminal it refuses.
    """

    def answer(refusal: SpecError) -> None:
        if given:
            return
        if not can_ask():
            raise refusal
        say(refusal.what)
        for line in refusal.lines:
            say(line)
        if ask("Run it all the same? [y/N] ").lower() not in ("y", "yes"):
            raise SpecError("Nothing was run.", hint=refusal.hint)

    return answer

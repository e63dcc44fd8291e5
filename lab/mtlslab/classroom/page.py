"""A page of ``mtlslab explain``: the value."""

from __future__ import annotations

import dataclasses
from typing import Any

SCHEMA = "mtlslab.explain/1"


@dataclasses.dataclass(frozen=True)
class Page:
    """A page about one check, or about a verdict of an audit.

    Attributes:
        id: the check's id without the TLS version.
        title: the fact that the check states.
        severity: required or advisory; of a verdict, the exit status.
        tried: what the client does.
        happens: the expected result, in words.
        why: the reason, and the lesson.
        rfc: RFC sections to read.
        directive: the nginx directive that decides the result.
        hint: what to look at if the check fails.
        sabotage: what to change to make the check fail.
        prepare: the command that issues the credential, as arguments; empty if none is needed.
        command: the command that shows the result, as arguments, to be run inside the workspace.
        run: the command that runs the check, as arguments.
    """

    id: str
    title: str
    severity: str
    tried: str
    happens: str
    why: str
    rfc: str
    directive: str
    hint: str
    sabotage: str
    prepare: tuple[str, ...]
    command: tuple[str, ...]
    run: tuple[str, ...]

    def to_mapping(self) -> dict[str, Any]:
        """The page as JSON-ready values, schema ``mtlslab.explain/1``."""
        commands = {name: list(getattr(self, name)) for name in ("prepare", "command", "run")}
        return {"schema": SCHEMA, **dataclasses.asdict(self), **commands}

"""The command line as a report tells it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

PROGRAM = "mtlslab"


def command_line(ctx: typer.Context) -> tuple[str, ...]:
    """The command with all that was set for it, as arguments: what came from the environment stands there as an option.

    No option of the program takes a password, so there is none in it.
    """
    arguments: list[str] = []
    options: list[str] = []
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if source is None or source.name.startswith("DEFAULT"):
            continue
        words = [*_words(parameter, ctx.params[parameter.name or ""])]
        (arguments if parameter.param_type_name == "argument" else options).extend(words)
    return (PROGRAM, ctx.info_name or "", *arguments, *options)


def _words(parameter: Any, value: Any) -> Iterator[str]:
    if parameter.param_type_name == "argument":
        yield str(value)
        return
    name = max(parameter.opts, key=len)
    if getattr(parameter, "count", False):
        yield from [name] * value
    elif getattr(parameter, "is_flag", False):
        yield from [name] if value else []
    else:
        for one in value if isinstance(value, list | tuple) else [value]:
            yield from (name, str(one))

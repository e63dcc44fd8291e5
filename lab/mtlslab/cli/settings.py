"""Makes the options of the settings from their declaration in :class:`mtlslab.plan.spec.LabSpec`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any

import typer

from mtlslab.plan.choices import one_of
from mtlslab.plan.spec import Setting, lab_settings

Settings = Mapping[str, Any]
UNSET: Settings = MappingProxyType({})


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter ``settings`` of a command by one option for each setting.

    The command gets the values in ``settings``: field of the spec -> value; None if the user did not set it.
    """
    declared = lab_settings()

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        values = {item.field: given.pop(item.field) for item in declared}
        # Typer passes an empty list for a repeatable option that was not used.
        settings = {
            field: (tuple(value) or None) if isinstance(value, list) else value for field, value in values.items()
        }
        command(settings=settings, **given)

    # Typer reads this signature, and makes an option of each parameter.
    signature = inspect.signature(command, eval_str=True)
    parameters = _replaced(signature, [_parameter(item) for item in declared])
    with_options.__signature__ = signature.replace(parameters=list(parameters))  # type: ignore[attr-defined]
    return with_options


def _replaced(signature: inspect.Signature, options: list[inspect.Parameter]) -> Iterator[inspect.Parameter]:
    """The parameters of a command, with those of the settings in place of ``settings``."""
    for parameter in signature.parameters.values():
        yield from options if parameter.name == "settings" else [parameter]


def _parameter(item: Setting) -> inspect.Parameter:
    kind = list[str] if item.type == tuple[str, ...] else item.type
    option = typer.Option(
        f"--{item.option}/--no-{item.option}" if item.type is bool else f"--{item.option}",
        envvar=f"MTLSLAB_{item.option.replace('-', '_').upper()}",
        metavar=item.metavar or None,
        autocompletion=(lambda: item.choices) if item.choices else None,
        help=_help(item),
    )
    return inspect.Parameter(
        item.field, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Annotated[kind | None, option]
    )


def _help(item: Setting) -> str:
    text = f"{item.help.removesuffix('.')}: {one_of(item.choices)}." if item.choices else item.help
    return text if isinstance(item.default, bool | tuple) else f"{text} [{item.default}]"

"""The command ``mtlslab list``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mtlslab.cli import options
from mtlslab.cli.find import find, require_choice
from mtlslab.cli.options import epilog
from mtlslab.cli.terminal import put, put_json, say
from mtlslab.errors import ExitCode, LabError

if TYPE_CHECKING:
    from mtlslab.lifecycle.known import KnownLab
    from mtlslab.workspace.target import Target

_TITLES = ("NAME", "STATE", "RUNTIME", "TLS", "mTLS", "DIRECTORY")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        "list",
        epilog=epilog(
            {
                "mtlslab list": "every lab of yours, running or not, in whatever directory",
                "mtlslab list -o json": "the same for programs",
            },
            ExitCode.OK,
            ExitCode.USAGE,
        ),
    )(list_)


def list_(output: Annotated[str, options.plain_output()] = "text") -> None:
    """List all labs: where they are, what runs, on which ports.

    Those that this account made or trusted, and those of which anything runs on the Docker Engine or as a process of
    this account. A lab that runs although its directory is gone is listed, too.
    """
    from mtlslab.lifecycle.known import SCHEMA, known_labs

    require_choice("--output", output, options.PLAIN_FORMATS)
    labs = known_labs(_current())
    if output == "json":
        put_json({"schema": SCHEMA, "labs": [lab.to_mapping() for lab in labs]})
        return
    if not labs:
        say("There is no lab. Make one with: mtlslab up")
        return
    rows = [_TITLES, *map(_row, labs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    for row in rows:
        put(_line(row, widths))


def _current() -> Target | None:
    """The lab of the current directory, which the register need not know; None where it cannot be read."""
    try:
        return find(None, None, new=True)
    except LabError:
        return None


def _row(lab: KnownLab) -> tuple[str, ...]:
    tls, mtls = lab.ports or ("-", "-")
    return (lab.name, lab.state, lab.runtime or "-", str(tls), str(mtls), str(lab.directory or "-"))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()

"""The command ``mtlslab verify``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from lab.cli import options
from lab.cli.find import find, require_choice
from lab.cli.options import epilog
from lab.errors import ExitCode, SpecError


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=epilog(
            {
                "mtlslab verify": "all checks, for people",
                "mtlslab verify -v": "with the curl command behind each check",
                "mtlslab verify --list": "what would be checked",
                "mtlslab verify --only mtls-refuses-expired": "one check, and the control that it depends on",
                "mtlslab verify -o junit --output-file r.xml": "a report for a CI",
            },
            ExitCode.OK,
            ExitCode.CHECK_FAILED,
            ExitCode.USAGE,
            ExitCode.ENVIRONMENT,
            ExitCode.NOT_FOUND,
            ExitCode.INCONCLUSIVE,
        )
    )(verify)


def verify(
    name: options.Name = None,
    directory: options.Directory = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            envvar="MTLSLAB_ONLY",
            metavar="ID",
            help="Only this check (id, its beginning, or a pattern); repeatable.",
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", envvar="MTLSLAB_LIST", help="List the checks, run none.")] = False,
    output: Annotated[
        str, typer.Option("-o", "--output", envvar="MTLSLAB_OUTPUT", help="text, json or junit.")
    ] = "text",
    output_file: Annotated[
        Path | None,
        typer.Option(
            "--output-file", envvar="MTLSLAB_OUTPUT_FILE", help="Write the report there instead of to stdout."
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", envvar="MTLSLAB_VERBOSE", help="Show the command behind every check.")
    ] = False,
) -> None:
    """Prove from the outside that the mTLS server serves the right client and refuses every other.

    Each check makes one real TLS connection and compares what it saw with what must be seen.
    """
    from lab import output as looks
    from lab.checks import catalogue, select
    from lab.verify import verify as run

    require_choice("--output", output, ("text", "json", "junit"))
    if list_:
        typer.echo(looks.render_list(select(catalogue(), only or ()), output))
        return
    report = run(find(name, directory), only or ())
    text = looks.render_report(report, output, colour=_colour(), unicode=_unicode(), verbose=verbose)
    if output_file is None:
        typer.echo(text)
    else:
        _write(output_file, text)
    raise typer.Exit(report.exit_code)


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    except OSError as error:
        raise SpecError(
            f"Cannot write {path}.", why=error.strerror or "", hint="Name another --output-file."
        ) from error

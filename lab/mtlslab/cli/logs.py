"""The command ``mtlslab logs``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mtlslab.cli import options
from mtlslab.cli.find import find, require_choice
from mtlslab.cli.options import epilog
from mtlslab.cli.terminal import columns, put, put_log_line
from mtlslab.errors import ExitCode
from mtlslab.plan.choices import SERVICES

if TYPE_CHECKING:
    from mtlslab.runtime.base import LogLine
    from mtlslab.workspace.target import Target


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=epilog(
            {
                "mtlslab logs": "a short line for each request",
                "mtlslab logs -f --mine": "follow one's own, without the program's probes",
                "mtlslab logs --refused nginx-mtls": "who was refused by the mTLS service, and why",
                "mtlslab logs -o json": "all that the services wrote",
            },
            ExitCode.OK,
            ExitCode.USAGE,
            ExitCode.ENVIRONMENT,
            ExitCode.NOT_FOUND,
        )
    )(logs)


def logs(
    service: Annotated[
        str | None,
        typer.Argument(help="nginx-tls or nginx-mtls; both when left away.", autocompletion=lambda: SERVICES),
    ] = None,
    name: options.Name = None,
    directory: options.Directory = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", envvar="MTLSLAB_FOLLOW", help="Go on until interrupted.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", envvar="MTLSLAB_TAIL", min=0, help="Only the last N lines of each service.")
    ] = None,
    mine: Annotated[
        bool, typer.Option("--mine", envvar="MTLSLAB_MINE", help="Without the probes of up and verify.")
    ] = False,
    refused: Annotated[
        bool, typer.Option("--refused", envvar="MTLSLAB_REFUSED", help="Only requests that were refused.")
    ] = False,
    output: Annotated[
        str | None, options.plain_output("text (on a terminal) or json (the lines as they are; in a pipe).")
    ] = None,
) -> None:
    """Print what the services wrote; one short line per request.

    Time, service, HTTP status, what the server made of the client's certificate, and why. With -o json, and in a pipe,
    the lines as they are: one JSON line per request, and nginx's own messages between them.
    """
    from mtlslab.lifecycle import status as use_case

    if service is not None:
        require_choice("SERVICE", service, SERVICES)
    if output is not None:
        require_choice("--output", output, options.PLAIN_FORMATS)
    target = find(name, directory)
    lines: Iterable[LogLine] = use_case.logs(target, service, follow=follow, tail=tail)
    if mine or refused:
        lines = _wanted(target, lines, mine=mine, refused=refused, follow=follow)
    if output == "text" or (output is None and columns()):
        from mtlslab.output.requests import short_lines

        for text in short_lines(lines, _token(target)):
            put(_cut(text))
        return
    alone = service is not None or output is not None  # a program wants the line, which names its service
    for line in lines:
        put_log_line(line.text, before="" if alone else f"{line.service:<11}| ")


def _wanted(target: Target, lines: Iterable[LogLine], *, mine: bool, refused: bool, follow: bool) -> Iterator[LogLine]:
    from mtlslab.output.requests import wanted

    return wanted(lines, _token(target), mine=mine, refused=refused, follow=follow)


def _cut(text: str) -> str:
    """One line a request, however narrow the terminal is."""
    width = columns()
    return text if not width or len(text) <= width else f"{text[: width - 3]}..."


def _token(target: Target) -> str:
    """The word with which the lines of this lab's requests begin."""
    from mtlslab.plan.spec import make_spec

    return make_spec(target.record.spec).log_token if target.record else ""

"""The command ``mtlslab explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from mtlslab import output as looks
from mtlslab.cli import complete, options
from mtlslab.cli.find import find, require_choice
from mtlslab.cli.options import epilog
from mtlslab.cli.terminal import columns, put_text
from mtlslab.errors import ExitCode, LabError, SpecError


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=epilog(
            {
                "mtlslab explain mtls-refuses-expired": "what is tried, what happens and why",
                "mtlslab explain stolen-certificate": "the same, by the name of a fault",
                "mtlslab explain doors": "where unauthorised clients knock",
                "mtlslab explain --list": "all pages",
            },
            ExitCode.OK,
            ExitCode.USAGE,
        )
    )(explain)


def explain(
    id_: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            autocompletion=complete.pages,
            show_default=False,
            help="Id of a check, name of a fault, or doors.",
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", envvar="MTLSLAB_LIST", help="List all pages.")] = False,
    output: Annotated[str, options.output_option(looks.PAGE_FORMATS, list_=looks.LIST_FORMATS)] = "text",
    name: options.Name = None,
    directory: options.Directory = None,
) -> None:
    """Explain a check: what happens, why, and how to see it fail.

    The page says what is tried, what the server does and why, and what to change to see the check fail. Needs no lab
    and no network; the commands have the ports of the lab, if there is one.
    """
    from mtlslab.classroom import explain as pages
    from mtlslab.verify.checks import families

    require_choice("--output", output, looks.LIST_FORMATS if list_ else looks.PAGE_FORMATS)
    if list_:
        put_text(looks.render_list([entry.check() for entry in families().values()], output), fit=output == "text")
        return
    if id_ is None:
        raise SpecError("Which check?", hint="mtlslab explain ID, or all of them: mtlslab explain --list")
    try:
        target = find(name, directory, new=True)
    except LabError:
        if name or directory:
            raise
        target = None  # a damaged lab in the current directory does not matter: the page needs none
    look = looks.Look(width=columns())
    put_text(looks.render(pages.explain(id_, target), looks.PAGE_FORMATS, output, look))

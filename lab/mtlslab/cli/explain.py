"""The command ``mtlslab explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from mtlslab import output as looks
from mtlslab.cli import complete, options
from mtlslab.cli.find import find, require_choice
from mtlslab.cli.options import epilog
from mtlslab.cli.terminal import columns, put, put_text
from mtlslab.errors import ExitCode, LabError, SpecError


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=epilog(
            {
                "mtlslab explain san": "a word of TLS, of certificates or of this program",
                "mtlslab explain curl 60": "an exit status of curl; nginx's statuses likewise",
                "mtlslab explain mtls-refuses-expired": "a check: what is tried, what happens and why",
                "mtlslab explain stolen-certificate": "the same, by the name of a fault",
                "mtlslab explain doors": "where unauthorised clients knock",
                "mtlslab explain verdict-only-a-name": "what a verdict of audit means",
                "mtlslab explain --list": "all pages",
            },
            ExitCode.OK,
            ExitCode.USAGE,
        )
    )(explain)


def explain(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORD...",
            autocompletion=complete.pages,
            show_default=False,
            help="A word, a status of curl or nginx, an alert, a check, a fault, a verdict, or doors.",
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", envvar="MTLSLAB_LIST", help="List all pages.")] = False,
    output: Annotated[str, options.output_option(looks.PAGE_FORMATS, list_=looks.LIST_FORMATS)] = "text",
    name: options.Name = None,
    directory: options.Directory = None,
) -> None:
    """Explain a word, a status, an error message or a check.

    The page of a check says what is tried, what the server does and why, and what to change to see the check fail.
    Needs no lab and no network; the commands have the ports of the lab, if there is one.
    """
    from mtlslab.classroom import explain as pages
    from mtlslab.classroom.terms import terms
    from mtlslab.verify.checks import families

    require_choice("--output", output, looks.LIST_FORMATS if list_ else looks.PAGE_FORMATS)
    if list_:
        text = looks.render_list([*(entry.check() for entry in families().values()), *terms().values()], output)
        put_text(text, fit=output == "text")
        if output == "text":
            _list_others()
        return
    if not words:
        raise SpecError("Explain what?", hint="mtlslab explain WORD, or all pages: mtlslab explain --list")
    try:
        target = find(name, directory, new=True)
    except LabError:
        if name or directory:
            raise
        target = None  # a damaged lab in the current directory does not matter: the page needs none
    look = looks.Look(width=columns())
    put_text(looks.render(pages.explain(" ".join(words), target), looks.PAGE_FORMATS, output, look))


def _list_others() -> None:
    """The pages that are about no check and no word."""
    from mtlslab.classroom.explain import DOORS_PAGE
    from mtlslab.classroom.verdicts import VERDICT_PAGES
    from mtlslab.output.catalogue import render_page_list

    put()
    put_text(render_page_list("Other pages", [DOORS_PAGE, *VERDICT_PAGES.values()]), fit=True)

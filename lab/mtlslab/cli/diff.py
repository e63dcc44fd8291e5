"""The command ``mtlslab diff``."""

from __future__ import annotations

from typing import Annotated

import typer

from mtlslab import output as looks
from mtlslab.cli import options
from mtlslab.cli.find import find, require_choice
from mtlslab.cli.options import epilog
from mtlslab.cli.terminal import put_text
from mtlslab.errors import ExitCode


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=epilog(
            {
                "mtlslab diff": "the directives that make TLS mutual, and some checks for each",
                "mtlslab diff -v": "all checks that depend on them",
                "mtlslab diff -o json": "the same for programs",
            },
            ExitCode.OK,
            ExitCode.USAGE,
        )
    )(diff)


def diff(
    output: Annotated[str, options.output_option(looks.DIFF_FORMATS)] = "text",
    verbose: Annotated[
        int, typer.Option("-v", "--verbose", count=True, envvar="MTLSLAB_VERBOSE", help="Show all checks.")
    ] = 0,
    name: options.Name = None,
    directory: options.Directory = None,
) -> None:
    """Show which lines make TLS mutual, and the checks about each.

    Compares the nginx.conf of the two services as they lie there, with edits and includes; without a lab, as they would
    be rendered. Nothing needs to run.
    """
    from mtlslab.classroom.difference import compare
    from mtlslab.plan.spec import make_spec

    require_choice("--output", output, looks.DIFF_FORMATS)
    target = find(name, directory, new=True)
    spec = make_spec(target.record.spec if target.record else {"name": target.name})
    difference = compare(spec, target.workspace if target.record else None)
    put_text(looks.render(difference, looks.DIFF_FORMATS, output, looks.Look(verbose=verbose)))

"""The command ``mtlslab doctor``."""

from __future__ import annotations

import typer

from mtlslab.cli.find import here
from mtlslab.cli.options import epilog
from mtlslab.cli.terminal import put
from mtlslab.errors import ExitCode


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=epilog(
            {"mtlslab doctor": "what can a lab run on here?"},
            ExitCode.OK,
            ExitCode.ENVIRONMENT,
        )
    )(doctor)


def doctor() -> None:
    """Tell whether this machine can run a lab, and what is missing.

    Looked at are Docker, nginx, the default ports, curl and openssl. Exit code 3 if no lab could run.
    """
    from mtlslab.lifecycle.doctor import can_run, examine
    from mtlslab.plan.spec import make_spec

    signs = examine(here(), make_spec())
    for sign in signs:
        put(f"{'ok' if sign.good else '--'}  {sign.subject:<17} {sign.seen}")
        if sign.hint:
            put(f"      {sign.hint}")
    if not can_run(signs):
        raise typer.Exit(ExitCode.ENVIRONMENT)

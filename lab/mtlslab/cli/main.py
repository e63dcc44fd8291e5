"""The program ``mtlslab``. ``mtlslab.cli.lazy`` lists its commands; each calls one use case of a lower room."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from mtlslab import __version__
from mtlslab.cli.lazy import LazyGroup
from mtlslab.cli.options import epilog
from mtlslab.cli.terminal import put
from mtlslab.errors import ExitCode

PROGRAM = "mtlslab"  # also for `python -m mtlslab`: completion is installed for this word

app = typer.Typer(
    name=PROGRAM,
    cls=LazyGroup,
    help="A lab to show, learn and prove mutual TLS: two real nginx servers, and checks that bite.",
    epilog=epilog(
        {
            "mtlslab up": "start the lab: TLS on port 8888, mutual TLS on 8889",
            "mtlslab verify": "prove that the mTLS server serves authorised clients only",
            "mtlslab down": "take everything that runs away",
        },
        *(code for code in ExitCode if code is not ExitCode.INTERRUPTED),
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        put(f"mtlslab {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="MTLSLAB_DEBUG", help="Print the traceback of a bug.")
    ] = False,
) -> None:
    """Declare the options before the command."""


def main() -> None:
    """Run the program; ends the process with one of the documented exit codes."""
    # With a closed stream (`mtlslab verify >&-`), Python sets None.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  for as long as the program runs
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  the same
    # A path may contain bytes that the encoding of stdout cannot express: show them escaped.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if "_MTLSLAB_COMPLETE" in os.environ or {"--install-completion", "--show-completion"} & {*sys.argv}:
        from mtlslab.cli.zsh import mend

        mend()
    app(prog_name=PROGRAM)

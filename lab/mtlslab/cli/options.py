"""Options of several commands, with their environment variables, and the epilog of every command's help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mtlslab.cli import complete
from mtlslab.cli.border import BUG
from mtlslab.errors import ExitCode
from mtlslab.plan.choices import one_of

MEANINGS = {
    ExitCode.OK: "all good",
    ExitCode.CHECK_FAILED: "a check failed: the server does not do what it must",
    ExitCode.USAGE: "wrong option, setting or file",
    ExitCode.ENVIRONMENT: "the machine does not give what is needed (engine, image, port, disk)",
    ExitCode.NOT_FOUND: "no such lab, or it does not run",
    ExitCode.NOT_READY: "a service did not answer in time, or does not serve its own client",
    ExitCode.INCONCLUSIVE: "could not tell",
    ExitCode.INTERRUPTED: "interrupted",
}


def epilog(examples: dict[str, str], *codes: ExitCode) -> str:
    """The epilog of a command's help: examples (command -> its effect) and the exit codes that it can end with."""
    width = max(len(example) for example in examples)
    lines = ["\b", "Examples:", *(f"  {command:<{width}}  {text}" for command, text in examples.items()), "", "\b"]
    lines += ["Exit codes:", *(f"  {int(code):>3}  {MEANINGS[code]}" for code in (*codes, ExitCode.INTERRUPTED))]
    return "\n".join([*lines, f"  {BUG:>3}  a bug in mtlslab"])


PLAIN_FORMATS = ("text", "json")


def plain_output(text: str = "text or json.") -> Any:
    """The option ``-o`` of a command that has the two plain formats; ``text`` is its help."""
    return typer.Option(
        "-o", "--output", envvar="MTLSLAB_OUTPUT", autocompletion=lambda: list(PLAIN_FORMATS), help=text
    )


def password_file(text: str) -> Any:
    """The option for a file with a password; ``text`` is its help."""
    return typer.Option("--password-file", envvar="MTLSLAB_PASSWORD_FILE", metavar="FILE", help=text)


def output_option(formats: Mapping[str, object], **others: Mapping[str, object]) -> Any:
    """The option ``-o``. The keys of the tables are its valid values, its shell completion and its help.

    Args:
        formats: table of the command's formats.
        others: parameter of a flag -> table of the formats with that flag.
    """
    further = (
        f"; with --{name.strip('_')}: {one_of(table)}" for name, table in others.items() if [*table] != [*formats]
    )
    return typer.Option(
        "-o",
        "--output",
        envvar="MTLSLAB_OUTPUT",
        autocompletion=_offering(formats, others),
        help=f"{one_of(formats)}{''.join(further)}.",
    )


def _offering(
    formats: Mapping[str, object], others: Mapping[str, Mapping[str, object]]
) -> Callable[[typer.Context], list[str]]:
    def offered(ctx: typer.Context) -> list[str]:
        return list(next((table for name, table in others.items() if ctx.params.get(name)), formats))

    return offered


Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        envvar="MTLSLAB_NAME",
        autocompletion=complete.labs,
        help="Name of the lab; also its Compose project and directory.",
    ),
]
Directory = Annotated[
    Path | None,
    typer.Option(
        "--dir", envvar="MTLSLAB_DIR", help="Directory of the lab. Default: the one here, above, or in ./NAME."
    ),
]
RotateCerts = Annotated[
    bool,
    typer.Option(
        "--rotate-certs", envvar="MTLSLAB_ROTATE_CERTS", help="Throw the lab's certificates away and issue new ones."
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", envvar="MTLSLAB_OVERWRITE", help="Render over files that were edited by hand.")
]
Trust = Annotated[
    bool,
    typer.Option("--trust", envvar="MTLSLAB_TRUST", help="Run a lab that was made elsewhere; needed once for it."),
]
OutputFile = Annotated[
    Path | None,
    typer.Option("--output-file", envvar="MTLSLAB_OUTPUT_FILE", help="Write the report there instead of to stdout."),
]

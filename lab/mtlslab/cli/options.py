"""Options that several commands share, each with its environment variable, and the tail of every command's help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtlslab.cli.border import BUG
from mtlslab.errors import ExitCode

MEANINGS = {
    ExitCode.OK: "all good",
    ExitCode.CHECK_FAILED: "a check failed: the server does not do what it must",
    ExitCode.USAGE: "wrong option, setting or file",
    ExitCode.ENVIRONMENT: "the machine does not give what is needed (engine, image, port, disk)",
    ExitCode.NOT_FOUND: "no such lab, or it does not run",
    ExitCode.NOT_READY: "a service did not answer in time",
    ExitCode.INCONCLUSIVE: "could not tell",
    ExitCode.INTERRUPTED: "interrupted",
}


def epilog(examples: dict[str, str], *codes: ExitCode) -> str:
    """The tail of a command's help: examples (command -> what it does) and the exit codes that it can end with."""
    width = max(len(example) for example in examples)
    lines = ["\b", "Examples:", *(f"  {command:<{width}}  {text}" for command, text in examples.items()), "", "\b"]
    lines += ["Exit codes:", *(f"  {int(code):>3}  {MEANINGS[code]}" for code in (*codes, ExitCode.INTERRUPTED))]
    return "\n".join([*lines, f"  {BUG:>3}  a bug in mtlslab"])


Name = Annotated[
    str | None,
    typer.Option("--name", envvar="MTLSLAB_NAME", help="Name of the lab; also its Compose project and directory."),
]
Directory = Annotated[
    Path | None,
    typer.Option("--dir", envvar="MTLSLAB_DIR", help="Directory of the lab. Default: ./NAME, else ./mtls-lab."),
]
RotateCerts = Annotated[
    bool,
    typer.Option(
        "--rotate-certs", envvar="MTLSLAB_ROTATE_CERTS", help="Throw all certificates away and issue new ones."
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

"""The commands below ``mtlslab certs``: look at certificates."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lab.cli import options
from lab.cli.find import find, require_choice
from lab.cli.options import epilog
from lab.errors import ExitCode, SpecError

app = typer.Typer(
    help="Look at the lab's certificates.",
    epilog=epilog(
        {"mtlslab certs list": "all certificates of the lab", "mtlslab certs show certs/client.crt": "one in full"},
        ExitCode.OK,
        ExitCode.USAGE,
        ExitCode.NOT_FOUND,
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)
Output = Annotated[str, typer.Option("-o", "--output", envvar="MTLSLAB_OUTPUT", help="text or json.")]


@app.command(
    "list",
    epilog=epilog(
        {"mtlslab certs list": "one line for each certificate", "mtlslab certs list -o json": "the same for programs"},
        ExitCode.OK,
        ExitCode.USAGE,
        ExitCode.NOT_FOUND,
    ),
)
def list_(name: options.Name = None, directory: options.Directory = None, output: Output = "text") -> None:
    """List the lab's certificates: what for, for which names, how many days are left."""
    require_choice("--output", output, ("text", "json"))
    workspace = find(name, directory).workspace
    workspace.require()
    rows = [_describe(path, workspace.read(path) or b"") for path in workspace.certificates()]
    if output == "json":
        typer.echo(json.dumps({"schema": "mtlslab.certs/1", "certificates": rows}, indent=2))
        return
    for row in rows:
        names = ", ".join(row["sans"][:4]) or row["subject"]
        typer.echo(f"{row['file']:<26} {', '.join(row['purposes']):<7} {row['days_left']:>5} days left  {names}")


@app.command(
    epilog=epilog(
        {
            "mtlslab certs show certs/server.crt": "a file of the lab",
            "mtlslab certs show ./other.pem": "any certificate in PEM",
            "mtlslab certs show certs/client.crt -o json": "the same for programs",
        },
        ExitCode.OK,
        ExitCode.USAGE,
    )
)
def show(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Certificate in PEM: a path of the lab, or any path.")],
    name: options.Name = None,
    directory: options.Directory = None,
    output: Output = "text",
) -> None:
    """Show one certificate: subject, issuer, names, purposes, validity, fingerprints."""
    require_choice("--output", output, ("text", "json"))
    row = _describe(file, _content(file, name, directory))
    if output == "json":
        typer.echo(json.dumps({"schema": "mtlslab.cert/1", **row}, indent=2))
    else:
        typer.echo(row["text"])


def _content(file: str, name: str | None, directory: Path | None) -> bytes:
    """The file below the current directory, else the one of that path inside the lab."""
    inside = find(name, directory).workspace.directory / file
    for path in (Path(file), inside):
        if path.is_file():
            try:
                return path.read_bytes()
            except OSError as error:
                raise SpecError(f"Cannot read {path}.", why=error.strerror or "", hint=f"ls -l {path}") from error
    raise SpecError(f"There is no file {file}.", why=f"neither here nor as {inside}", hint="mtlslab certs list")


def _describe(file: str, content: bytes) -> dict[str, Any]:
    from lab.certs import describe

    try:
        info = describe(content, now=datetime.datetime.now(datetime.UTC))
    except ValueError as error:
        raise SpecError(
            f"{file} holds no certificate that can be read.", why=str(error), hint="PEM is needed."
        ) from error
    return {"file": file, **info.to_mapping(), "text": info.to_text()}

"""The command ``mtlslab certs import``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtlslab.cli import options
from mtlslab.cli.find import find, require_choice, shown
from mtlslab.cli.options import epilog
from mtlslab.cli.passwords import asking
from mtlslab.cli.terminal import put, put_json, say
from mtlslab.errors import ExitCode, SpecError
from mtlslab.plan.shell import shell_line

if TYPE_CHECKING:
    from mtlslab.lifecycle.bring import BringReport
    from mtlslab.workspace.target import Target


def register(app: typer.Typer) -> None:
    """Add the command to ``mtlslab certs``."""
    app.command(
        "import",
        epilog=epilog(
            {
                "mtlslab certs import --client-ca ca.pem --client-cert me.p12": "a company's CA and my certificate",
                "mtlslab certs import --client-ca ca.crt --client-ca-key ca.key": "the lab issues its client under it",
                "mtlslab certs import --server-cert both.p12 --dry-run": "only tell what is wrong or odd",
            },
            ExitCode.OK,
            ExitCode.USAGE,
            ExitCode.ENVIRONMENT,
        ),
    )(import_)


def _file(option: str, text: str) -> Any:
    variable = f"MTLSLAB_{option.lstrip('-').replace('-', '_').upper()}"
    return typer.Option(option, envvar=variable, metavar="FILE", help=text)


def import_(
    server_cert: Annotated[
        Path | None, _file("--server-cert", "The server's certificate and its chain: PEM, DER, PKCS #7 or PKCS #12.")
    ] = None,
    server_key: Annotated[Path | None, _file("--server-key", "Its private key. [in the file of --server-cert]")] = None,
    server_ca: Annotated[
        Path | None, _file("--server-ca", "CA that clients trust. [a root in the file of --server-cert]")
    ] = None,
    server_ca_key: Annotated[
        Path | None, _file("--server-ca-key", "Private key of that CA, where you have it.")
    ] = None,
    client_cert: Annotated[Path | None, _file("--client-cert", "A client's certificate and its chain.")] = None,
    client_key: Annotated[Path | None, _file("--client-key", "Its private key. [in the file of --client-cert]")] = None,
    client_ca: Annotated[
        Path | None, _file("--client-ca", "CA that the mTLS service trusts. [a root in the file of --client-cert]")
    ] = None,
    client_ca_key: Annotated[
        Path | None, _file("--client-ca-key", "Private key of that CA, where you have it.")
    ] = None,
    password_file: Annotated[
        Path | None,
        options.password_file("Password of protected files: its first line. [MTLSLAB_KEY_PASSWORD, or asked for]"),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option("--host", envvar="MTLSLAB_HOST", metavar="NAME|IP", help="Further name of the server."),
    ] = None,
    nginx: Annotated[
        Path | None, typer.Option("--nginx", envvar="MTLSLAB_NGINX", help="nginx binary that is asked (nginx -t).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", envvar="MTLSLAB_DRY_RUN", help="Tell what is wrong or odd; write nothing.")
    ] = False,
    name: options.Name = None,
    directory: options.Directory = None,
    output: Annotated[str, options.plain_output()] = "text",
) -> None:
    """Take over certificates from elsewhere: all named ones, or none.

    They are checked first: chain, names, purposes, dates, keys; client and server meet in memory, and nginx is asked.
    Then the lab gets copies, the keys with mode 0600. Your files are only read. What the lab had in their place is kept
    as NAME.crt.old-DATE. A side that is not named stays as it is; without a lab, one is made.
    """
    from mtlslab.lifecycle.bring import BringOptions, bring
    from mtlslab.workspace.brought import Named
    from mtlslab.workspace.user_files import PASSWORD_VARIABLE

    require_choice("--output", output, options.PLAIN_FORMATS)
    named = {
        "server": Named(server_cert, server_key, server_ca, server_ca_key),
        "client": Named(client_cert, client_key, client_ca, client_ca_key),
    }
    target = find(name, directory, new=True)
    password = asking(password_file, PASSWORD_VARIABLE)
    hosts = tuple(host) if host else None
    report = bring(target, BringOptions(named, password, hosts, dry_run, nginx), say)
    if output == "json":
        put_json(_mapping(target, report))
    else:
        _print(target, report, dry_run=dry_run)
    if report.refused:
        raise SpecError(
            "Nothing was imported.",
            problems=tuple(one.text for one in report.misfits if one.grave),
            hint="docs/own-certificates.md shows how to make files that fit; --dry-run tries them",
        )


def _print(target: Target, report: BringReport, *, dry_run: bool) -> None:
    place = shown(target.workspace.directory)
    for note in report.notes:
        put(f"note: {note}")
    for misfit in report.misfits:
        if not misfit.grave:  # the grave ones are the error's
            put(f"odd: {misfit.text}")
    if report.nginx:
        put(f"{report.nginx}.")
    if report.refused:
        return
    if dry_run:
        put("They would be imported; nothing was written.")
        return
    for message in report.messages:
        put(message)
    put(f"Imported into {place}: {', '.join(report.written) or 'nothing new, all of it was there'}.")
    if report.aside:
        put(f"Kept what was there: {', '.join(report.aside)}.")
    put(f"Next: {shell_line(['mtlslab', 'up', '--dir', Path(place)])}")


def _mapping(target: Target, report: BringReport) -> dict[str, Any]:
    """The report as JSON-ready values."""
    return {
        "schema": "mtlslab.import/1",
        "lab": target.name,
        "directory": str(target.workspace.directory),
        "imported": bool(report.written),
        "written": list(report.written),
        "aside": list(report.aside),
        "problems": [one.text for one in report.misfits if one.grave],
        "odd": [one.text for one in report.misfits if not one.grave],
        "notes": list(report.notes),
        "messages": list(report.messages),
        "nginx": report.nginx,
    }

"""The command ``mtlslab audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mtlslab import output as looks
from mtlslab.cli import options
from mtlslab.cli.find import require_choice
from mtlslab.cli.options import epilog
from mtlslab.cli.reportfile import write_report
from mtlslab.cli.terminal import columns, put_text, shows_colour, shows_unicode
from mtlslab.errors import ExitCode


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=epilog(
            {
                "mtlslab audit https://localhost:8889 --cacert ca.crt": "does an unauthorised client get in?",
                "mtlslab audit https://[::1]:8889 --insecure": "the same, with any server certificate",
                "mtlslab audit URL --cert c.crt --key c.key": "compared with what an authorised client gets",
                "mtlslab audit URL --client-ca-cert ca.crt --client-ca-key ca.key": "with all faults",
                "mtlslab audit URL --path /private -o json": "another page, for programs",
            },
            ExitCode.OK,
            ExitCode.CHECK_FAILED,
            ExitCode.USAGE,
            ExitCode.ENVIRONMENT,
            ExitCode.INCONCLUSIVE,
        )
    )(audit)


def audit(
    url: Annotated[str, typer.Argument(metavar="URL", help="https://HOST, with a port if it is not 443.")],
    cacert: Annotated[
        Path | None,
        typer.Option("--cacert", envvar="MTLSLAB_CACERT", help="CA of the server's certificate. [those of the system]"),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", envvar="MTLSLAB_INSECURE", help="Accept any server certificate; for labs.")
    ] = False,
    cert: Annotated[
        Path | None,
        typer.Option("--cert", envvar="MTLSLAB_CERT", help="Certificate (PEM) of an authorised client."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", envvar="MTLSLAB_KEY", help="Its private key (PEM). [in the same file]"),
    ] = None,
    client_ca_cert: Annotated[
        Path | None,
        typer.Option(
            "--client-ca-cert", envvar="MTLSLAB_CLIENT_CA_CERT", help="CA that the server trusts for its clients."
        ),
    ] = None,
    client_ca_key: Annotated[
        Path | None,
        typer.Option(
            "--client-ca-key",
            envvar="MTLSLAB_CLIENT_CA_KEY",
            help="Its private key: issues an authorised client and all faults, for this audit only, valid for an hour.",
        ),
    ] = None,
    path: Annotated[
        str | None, typer.Option("--path", envvar="MTLSLAB_PATH", help="Page that an authorised client may see. [/]")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", envvar="MTLSLAB_TIMEOUT", help="Seconds for each attempt.")
    ] = 5.0,
    strict: Annotated[
        bool, typer.Option("--strict", envvar="MTLSLAB_STRICT", help="Warnings count as failures.")
    ] = False,
    output: Annotated[str, options.output_option(looks.REPORT_FORMATS)] = "text",
    output_file: options.OutputFile = None,
    verbose: Annotated[
        int,
        typer.Option(
            "-v", "--verbose", count=True, envvar="MTLSLAB_VERBOSE", help="Show the reason behind every check."
        ),
    ] = 0,
) -> None:
    """Tell whether a server, whosever it is, enforces mutual TLS.

    It connects without a certificate, with a self-signed one and with those of unknown CAs; with --cert, it compares
    the answers with what the authorised client gets. Exit code 6 if nobody can tell whether an unauthorised client gets
    in, or the authorised client could not be tried. Only this server is contacted; redirects are not followed.
    """
    require_choice("--output", output, looks.REPORT_FORMATS)
    from mtlslab.audit import audit as run
    from mtlslab.audit import make_request

    request = make_request(
        url,
        path=path,
        cacert=cacert,
        insecure=insecure,
        cert=cert,
        key=key,
        client_ca_cert=client_ca_cert,
        client_ca_key=client_ca_key,
        timeout=timeout,
        strict=strict,
    )
    report = run(request)
    colour = shows_colour() and output_file is None
    width = 0 if output_file else columns()
    text = looks.render_report(report, output, colour=colour, unicode=shows_unicode(), width=width, verbose=verbose)
    if output_file is None:
        put_text(text, styled=colour)
    else:
        write_report(output_file, text)
    raise typer.Exit(report.exit_code)

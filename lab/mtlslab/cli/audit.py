"""The command ``mtlslab audit``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtlslab import output as looks
from mtlslab.cli import options
from mtlslab.cli.commandline import command_line
from mtlslab.cli.find import require_choice
from mtlslab.cli.options import epilog
from mtlslab.cli.passwords import asking
from mtlslab.cli.progress import counting
from mtlslab.cli.reportfile import attachment_of, write_attachment, write_report
from mtlslab.cli.terminal import columns, put_text, read_input, say, shows_colour, shows_unicode
from mtlslab.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from mtlslab.audit import AuditReport, AuditReports, KeyRing

EXAMPLE = "mtlslab audit https://localhost:8889, or: mtlslab audit --targets FILE"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=epilog(
            {
                "mtlslab audit https://localhost:8889 --cacert ca.crt": "does an unauthorised client get in?",
                "mtlslab audit https://[::1]:8889 --insecure": "the same, with any server certificate",
                "mtlslab audit URL --cert c.crt --key c.key": "compared with what an authorised client gets",
                "mtlslab audit URL --client-ca-cert ca.crt --client-ca-key ca.key": "with all faults",
                "mtlslab audit URL --cert c.p12 --password-file pw.txt": "a client out of a PKCS #12 file",
                "mtlslab audit URL --path /private -o json": "another page, for programs",
                "mtlslab audit URL -o html --output-file r.html": "evidence on two pages, r.html.json beside it",
                "mtlslab audit --targets targets.yaml -o junit": "many servers side by side, for a CI",
            },
            ExitCode.OK,
            ExitCode.CHECK_FAILED,
            ExitCode.USAGE,
            ExitCode.ENVIRONMENT,
            ExitCode.INCONCLUSIVE,
        )
    )(audit)


def audit(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", show_default=False, help="https://HOST, with a port if it is not 443."),
    ] = None,
    cacert: Annotated[
        Path | None,
        typer.Option("--cacert", envvar="MTLSLAB_CACERT", help="CA of the server's certificate. [those of the system]"),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", envvar="MTLSLAB_INSECURE", help="Accept any server certificate; for labs.")
    ] = False,
    cert: Annotated[
        Path | None,
        typer.Option("--cert", envvar="MTLSLAB_CERT", help="Certificate of an authorised client: PEM, PKCS #12, DER."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", envvar="MTLSLAB_KEY", help="Its private key: PEM or DER. [in the same file]"),
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
    password_file: Annotated[
        Path | None,
        options.password_file(
            "Password of the key or PKCS #12 file: the file's first line. [MTLSLAB_KEY_PASSWORD, or asked for]"
        ),
    ] = None,
    path: Annotated[
        str | None, typer.Option("--path", envvar="MTLSLAB_PATH", help="Page that an authorised client may see. [/]")
    ] = None,
    targets: Annotated[
        Path | None,
        typer.Option(
            "--targets",
            envvar="MTLSLAB_TARGETS",
            help="File with a URL a line, or YAML with options (-: stdin).",
        ),
    ] = None,
    expect: Annotated[
        str,
        typer.Option(
            "--expect", envvar="MTLSLAB_EXPECT", help="Text that the protected page contains: tells it apart."
        ),
    ] = "",
    connect_to: Annotated[
        str,
        typer.Option("--connect-to", envvar="MTLSLAB_CONNECT_TO", help="HOST[:PORT] to connect to, not the URL's."),
    ] = "",
    sni: Annotated[
        str | None, typer.Option("--sni", envvar="MTLSLAB_SNI", help="Name in SNI; '' sends none. [the URL's host]")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", envvar="MTLSLAB_TIMEOUT", help="Seconds for each attempt.")
    ] = 5.0,
    strict: Annotated[
        bool, typer.Option("--strict", envvar="MTLSLAB_STRICT", help="Warnings count as failures.")
    ] = False,
    output: Annotated[str, options.output_option(looks.AUDIT_FORMATS, targets=looks.TABLE_FORMATS)] = "text",
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
    in, or the authorised client could not be tried; of many targets, the worst counts. Nobody else is contacted, and
    redirects are not followed. What each verdict means: mtlslab explain verdict-required, and the like.
    """
    formats = looks.TABLE_FORMATS if targets else looks.AUDIT_FORMATS
    require_choice("--output", output, formats)
    if (url is None) == (targets is None):
        raise SpecError("What is to be audited?", why="either a URL or --targets is needed", hint=EXAMPLE)
    beside = attachment_of(output_file) if output == "html" else None
    defaults = {
        "path": path,
        "cacert": cacert,
        "insecure": insecure,
        "cert": cert,
        "key": key,
        "client_ca_cert": client_ca_cert,
        "client_ca_key": client_ca_key,
        "timeout": timeout,
        "strict": strict,
        "expect": expect,
        "connect_to": connect_to,
        "sni": sni,
    }
    told = _one(url, defaults, password_file) if url is not None else _many(targets, defaults, password_file)
    told = told.asked_by(command_line(ctx))
    colour = shows_colour() and output_file is None
    attachment = None
    if beside is not None:
        attachment = write_attachment(beside, looks.render(told, formats, "json"))
    look = looks.Look(
        colour=colour,
        unicode=shows_unicode(),
        width=0 if output_file else columns(),
        verbose=verbose,
        attachment=attachment,
    )
    text = looks.render(told, formats, output, look)
    if output_file is None:
        put_text(text, styled=colour and url is not None)
    else:
        write_report(output_file, text)
        if attachment is not None:
            say(f"Report: {output_file}, as JSON: {beside} (SHA-256 {attachment.sha256})")
    raise typer.Exit(told.exit_code)


def _one(url: str, options: dict[str, Any], password_file: Path | None) -> AuditReport:
    from mtlslab.audit import Count, make_request
    from mtlslab.audit import audit as run

    with _rings() as ring_for:
        request = make_request(url, **options, ring=ring_for(password_file))
        with counting("attempts:") as progress:
            return run(request, watch=Count(progress))


def _many(targets: Path | None, options: dict[str, Any], password_file: Path | None) -> AuditReports:
    from mtlslab.audit import audit_all, requests_for, targets_in

    # What comes through a pipe has no directory of its own.
    directory = targets.parent if targets is not None and targets.is_file() else Path()
    entries = targets_in(_read_targets(targets), directory)
    with _rings() as ring_for:
        requests = requests_for(entries, {**options, "password_file": password_file}, ring_for)
        with counting("audited") as progress:
            return audit_all(requests, progress)


@contextlib.contextmanager
def _rings() -> Iterator[Callable[[Path | None], KeyRing]]:
    """Yield what opens protected keys, for each password's file the same; what it makes is gone after the block."""
    from mtlslab.audit import KeyRing
    from mtlslab.probe.secret_files import secret_files
    from mtlslab.workspace.user_files import PASSWORD_VARIABLE

    with secret_files() as keep:
        rings: dict[Path | None, KeyRing] = {}

        def ring_for(file: Path | None) -> KeyRing:
            return rings.setdefault(file, KeyRing(keep, asking(file, PASSWORD_VARIABLE)))

        yield ring_for


def _read_targets(file: Path | None) -> str:
    try:
        content = read_input() if file is None or str(file) == "-" else file.read_bytes()
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise SpecError(f"--targets {file} cannot be read.", why=why) from error

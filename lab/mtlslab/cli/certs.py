"""The commands ``mtlslab certs list``, ``show`` and ``export``; the others are in ``issue`` and ``revocation``."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mtlslab.cli import bring, complete, issue, options, revocation
from mtlslab.cli.find import find, require_choice, shown
from mtlslab.cli.lazy import WholeGroup
from mtlslab.cli.options import epilog
from mtlslab.cli.passwords import given_password
from mtlslab.cli.terminal import put, put_json, put_text, say
from mtlslab.errors import ExitCode, LabError, SpecError
from mtlslab.plan.shell import shell_line

app = typer.Typer(
    cls=WholeGroup,
    help="List, show, issue, import, revoke and export certificates.",
    epilog=epilog(
        {
            "mtlslab certs list": "all certificates of the lab",
            "mtlslab certs issue alice": "a further client",
            "mtlslab certs issue --fault expired": "a fault, and the command that shows how the server answers",
            "mtlslab certs revoke alice": "enter it into the client CA's revocation list",
        },
        ExitCode.OK,
        ExitCode.USAGE,
        ExitCode.NOT_FOUND,
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
)


Output = Annotated[str, options.plain_output()]


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="certs")


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
    """List the lab's certificates and how long they are valid.

    Each with its purpose, its names and the days left. Files that cannot be read are named at the end; the exit
    status is then 2.
    """
    require_choice("--output", output, ("text", "json"))
    workspace = find(name, directory).workspace
    workspace.require()
    rows: list[dict[str, Any]] = []
    problems: dict[str, LabError] = {}  # path, or path and position in the file
    for path in workspace.certificates():
        try:
            content = workspace.read(path) or b""
            rows.append(_describe(path, content))
            problems |= _unread(path, content)
        except LabError as error:
            problems[path] = error
    if output == "json":
        unreadable = [{"file": path, "problem": f"{error.what} {error.why}"} for path, error in problems.items()]
        document = {"schema": "mtlslab.certs/1", "certificates": rows, "unreadable": unreadable}
        put_json(document)
    else:
        for row in rows:
            names = ", ".join(row["sans"][:4]) or row["subject"]
            put(f"{row['file']:<26} {', '.join(row['purposes']):<7} {row['days_left']:>5} days left  {names}")
    if problems:
        raise SpecError(
            f"Cannot be read: {', '.join(problems)}.",
            problems=tuple(f"{path}: {error.what} ({error.why})" for path, error in problems.items()),
            hint="Mend these files, or move them away.",
        )


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
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            autocompletion=complete.certificates,
            help="Certificate in PEM: a path of the lab, or any path.",
        ),
    ],
    name: options.Name = None,
    directory: options.Directory = None,
    output: Output = "text",
) -> None:
    """Show one certificate: names, purposes, validity, fingerprints."""
    require_choice("--output", output, ("text", "json"))
    content = _content(file, name, directory)
    try:
        row = _describe(file, content)
    except SpecError:
        seen = _by_openssl(content) if output == "text" else ()
        if not seen:
            raise
        for line in seen:
            put(line)
        say("Only openssl can read this certificate: other programs may refuse it.")
        return
    if output == "json":
        put_json({"schema": "mtlslab.cert/1", **row})
    else:
        put_text(row["text"], fit=True)


issue.register(app)
bring.register(app)
revocation.register(app)


@app.command(
    epilog=epilog(
        {
            "mtlslab certs export client": "certs/client.p12 with a random password, which is printed once",
            "mtlslab certs export alice --password-file pw.txt": "with your own password, the file's first line",
            "mtlslab certs export client --legacy": "for old key chains of macOS and Windows",
        },
        ExitCode.OK,
        ExitCode.USAGE,
        ExitCode.ENVIRONMENT,
        ExitCode.NOT_FOUND,
    )
)
def export(
    credential: Annotated[
        str,
        typer.Argument(
            metavar="NAME", autocompletion=complete.credentials, help="client, or a further client credential."
        ),
    ],
    p12: Annotated[
        bool, typer.Option("--p12", envvar="MTLSLAB_P12", help="As a PKCS #12 file. It is the only format.")
    ] = True,
    password_file: Annotated[
        Path | None,
        options.password_file("Password: the file's first line."),
    ] = None,
    legacy: Annotated[
        bool,
        typer.Option("--legacy", envvar="MTLSLAB_LEGACY", help="Triple DES and SHA-1, which old programs insist on."),
    ] = False,
    name: options.Name = None,
    directory: options.Directory = None,
) -> None:
    """Export a client credential as PKCS #12, for browsers and Java.

    certs/NAME.p12 holds its certificate, its private key and the CA. No option takes the password itself, because
    every user of the machine can see command lines. It comes from --password-file, else from the environment variable
    MTLSLAB_P12_PASSWORD, else it is made up and printed once.
    """
    from mtlslab.plan.paths import SERVER_CA
    from mtlslab.workspace.export import export_p12, friendly_name, new_password

    del p12  # the only format
    given = given_password(password_file, "MTLSLAB_P12_PASSWORD")
    password = new_password() if given is None else given
    workspace = find(name, directory).workspace
    workspace.require()
    with workspace.lock():
        path = export_p12(workspace, credential, password, legacy=legacy)
        label = friendly_name(workspace, credential)
    place = shown(workspace.directory)
    put(f"Wrote {place}/{path}: certificate, private key and client CA; its name inside is {label!r}.")
    if given is None:
        put(f"Password: {password}")
        say("The password is kept nowhere: note it now, or export again.")
    say(f"The client must also trust the server's CA: import {place}/{SERVER_CA} as a certificate authority.")


def _content(file: str, name: str | None, directory: Path | None) -> bytes:
    """Content of a file, whose path is relative to the current directory or else to the lab."""
    inside = find(name, directory, new=True).workspace.directory / file
    for path in (Path(file), inside):
        if path.is_file():
            try:
                return path.read_bytes()
            except OSError as error:
                raise SpecError(
                    f"Cannot read {path}.", why=error.strerror or "", hint=shell_line(["ls", "-l", path])
                ) from error
    raise SpecError(f"There is no file {file}.", why=f"neither here nor as {inside}", hint="mtlslab certs list")


def _unread(file: str, content: bytes) -> dict[str, LabError]:
    """The certificates of a file that cannot be read, beside others that can."""
    from mtlslab.pki.bundle import read_bundle

    bundle = read_bundle(content)
    return {
        f"{file} ({one.position} of {bundle.count})": SpecError("It cannot be read.", why=one.why)
        for one in bundle.unread
    }


def _by_openssl(content: bytes) -> tuple[str, ...]:
    """What openssl says about the first certificate of a file that we cannot read."""
    from mtlslab.pki.bundle import read_bundle
    from mtlslab.workspace.second_reader import read_with_openssl

    unread = read_bundle(content).unread
    return read_with_openssl(unread[0].der) if unread else ()


def _describe(file: str, content: bytes) -> dict[str, Any]:
    from mtlslab.pki.describe import describe
    from mtlslab.pki.formats import to_pem

    try:
        info = describe(content, now=datetime.datetime.now(datetime.UTC))
    except ValueError as error:
        raise SpecError(
            f"{file} holds no certificate that can be read.", why=str(error), hint=to_pem(file, content)
        ) from error
    return {"file": file, **info.to_mapping(), "text": info.to_text()}

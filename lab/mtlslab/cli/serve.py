"""The command ``mtlslab serve``."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from mtlslab.cli import complete, options
from mtlslab.cli.find import find, shown
from mtlslab.cli.options import epilog
from mtlslab.cli.terminal import put, say
from mtlslab.errors import ExitCode
from mtlslab.plan.shell import shell_line


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=epilog(
            {
                "mtlslab serve expired": "until Ctrl-C; open it in a browser",
                "mtlslab serve expired -- curl --insecure https://localhost:8890": "for as long as curl runs",
            },
            ExitCode.OK,
            ExitCode.USAGE,
            ExitCode.ENVIRONMENT,
            ExitCode.NOT_FOUND,
        )
    )(serve)


def serve(
    credential: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            autocompletion=complete.servers,
            help="The certificate to present; without a name, all are listed.",
        ),
    ] = None,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="A client to run against it; then it ends.")
    ] = None,
    port: Annotated[int, typer.Option("--port", envvar="MTLSLAB_PORT", help="Port to listen on.")] = 8890,
    name: options.Name = None,
    directory: options.Directory = None,
) -> None:
    """Run a small TLS server with a good or a broken certificate.

    It shows how a client reacts to the certificate, which is new each time and stays in certs/faults/server-NAME.crt.
    The lab's services are not touched. With a command, the exit status is that of the command.
    """
    if credential is None:
        return _list()
    from mtlslab.verify.procedures.serving import open_server, run_client, server_command

    workspace = find(name, directory).workspace
    with open_server(workspace, credential, port) as server:
        if command:
            raise typer.Exit(run_client(command))
        say(f"Serving {credential} on https://localhost:{server.port}/ (Ctrl-C ends it).")
        say(f"Try it: {shell_line(['cd', shown(workspace.directory)])}")
        say(f"  {shell_line(server_command(workspace, credential, server.port))}")
        threading.Event().wait()
    return None


def _list() -> None:
    from mtlslab.pki.servers import SERVER_CREDENTIALS

    width = max(map(len, SERVER_CREDENTIALS))
    for entry in SERVER_CREDENTIALS.values():
        put(f"{entry.name:<{width}}  {entry.title}")

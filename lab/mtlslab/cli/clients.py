"""The command ``mtlslab clients``."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Annotated

import typer

from mtlslab.cli import complete, options
from mtlslab.cli.find import find, require_choice, shown
from mtlslab.cli.options import epilog
from mtlslab.cli.terminal import put, put_json, put_text, say
from mtlslab.errors import ExitCode
from mtlslab.plan.shell import shell_line

if TYPE_CHECKING:
    from mtlslab.plan.spec import LabSpec
    from mtlslab.workspace.target import Target


_COMMANDS = ("curl ", "openssl ", "wget ", "gnutls-cli ")


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=epilog(
            {
                "mtlslab clients": "which clients there is a recipe for",
                "mtlslab clients java": "how Java reaches this lab, with and without the certificate",
                "mtlslab clients chromium --name b": "the same for a browser and the lab called b",
                "mtlslab clients curl -o json": "for programs",
            },
            ExitCode.OK,
            ExitCode.USAGE,
        )
    )(clients)


def clients(
    client: Annotated[
        str | None,
        typer.Argument(
            metavar="CLIENT", autocompletion=complete.clients, help="Name of the client; all are listed without."
        ),
    ] = None,
    name: options.Name = None,
    directory: options.Directory = None,
    output: Annotated[str, options.plain_output("text (Markdown) or json.")] = "text",
) -> None:
    """Show how other clients reach the lab: curl, Java, browsers.

    With the certificate, without it, and what to know about each. The code can be pasted as it is: ports, paths and
    names are those of the lab, running or not.
    """
    require_choice("--output", output, ("text", "json"))
    if client is None:
        _print_list(output)
    else:
        _print_recipe(client, find(name, directory, new=True), output)


def _print_list(output: str) -> None:
    from mtlslab.classroom.clients import CLIENTS

    if output == "json":
        rows = [{"name": client.name, "title": client.title, "tested": client.tested} for client in CLIENTS]
        put_json({"schema": "mtlslab.clients/1", "clients": rows})
        return
    for client in CLIENTS:
        put(f"{client.name:<9}  {'tested' if client.tested else 'words only':<10}  {client.title}")
    say("One of them: mtlslab clients curl")


def _print_recipe(name: str, target: Target, output: str) -> None:
    from mtlslab.classroom.clients import find_client, make_recipe, needs_of
    from mtlslab.plan.spec import make_spec

    client = find_client(name)
    spec = make_spec(target.record.spec if target.record else {"name": target.name})
    recipe = make_recipe(client, spec, shown(target.workspace.directory), needs_of(target.workspace))
    running = target.record is not None and _answers(spec)
    _say_what_differs(target, spec, running=running)
    if output == "json":
        place = {"lab": spec.name, "directory": str(target.workspace.directory), "running": running}
        put_json({"schema": "mtlslab.client/1", **place, **recipe.to_mapping()})
    else:
        _put_markdown(recipe.text)


def _say_what_differs(target: Target, spec: LabSpec, *, running: bool) -> None:
    from mtlslab.lifecycle.known import elsewhere

    place = shown(target.workspace.directory)
    if target.record is None:
        say(f"There is no lab in {place} yet: this is the recipe for the defaults. Start one with: mtlslab up")
        problem = elsewhere(target, named=True)
        if problem:
            say(f"{' and '.join(problem.lines)}: {problem.hint}")
    elif not running:
        start = shell_line(["mtlslab", "up", "--dir", place])
        say(f"Nothing answers on port {spec.mtls_port}. Start the lab with: {start}")
    if spec.client_auth != "required":
        say(f"This lab's client auth is {spec.client_auth!r}: it serves clients without a certificate, too.")


def _answers(spec: LabSpec) -> bool:
    from mtlslab.plan.spec import reachable_address

    try:
        with socket.create_connection((reachable_address(spec.listen), spec.mtls_port), timeout=1):
            return True
    except OSError:
        return False


def _put_markdown(text: str) -> None:
    """Print a recipe; a program in it keeps its lines, whatever the terminal's width."""
    program = False
    for line in text.removesuffix("\n").split("\n"):
        put_text(line, fit=not program or line.startswith(_COMMANDS))
        program ^= line.startswith("```")

"""The commands ``mtlslab certs revoke`` and ``mtlslab certs crl``."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtlslab.cli import complete, options
from mtlslab.cli.find import find, require_choice
from mtlslab.cli.options import epilog
from mtlslab.cli.terminal import put, put_json, say
from mtlslab.errors import ExitCode, SpecError

if TYPE_CHECKING:
    from mtlslab.workspace.directory import Workspace
    from mtlslab.workspace.revocation import CrlState

_CODES = (ExitCode.OK, ExitCode.USAGE, ExitCode.ENVIRONMENT, ExitCode.NOT_FOUND)
# RFC 5280 section 4.1.2.2: a positive number of at most 20 octets. Some programs print colons between the octets.
_SERIAL = re.compile(r"(?:0x)?([0-9a-f]{1,2}(?::[0-9a-f]{2}){0,19}|[0-9a-f]{1,40})", re.IGNORECASE)


def register(app: typer.Typer) -> None:
    """Add the commands to ``mtlslab certs``."""
    app.command(
        epilog=epilog(
            {
                "mtlslab certs revoke alice": "enter certs/alice.crt into crl/client-ca.crl",
                "mtlslab certs revoke --serial 3F09A1": "a certificate whose file is gone",
                "mtlslab certs revoke --list": "what is revoked",
            },
            *_CODES,
        )
    )(revoke)
    app.command(
        epilog=epilog(
            {"mtlslab certs crl": "the revocation list in words", "mtlslab certs crl -o json": "the same for programs"},
            *_CODES,
        )
    )(crl)


def revoke(
    credential: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            autocompletion=complete.revocable,
            help="client, a further client, or the fault `revoked`.",
        ),
    ] = None,
    serial: Annotated[
        str | None,
        typer.Option("--serial", envvar="MTLSLAB_SERIAL", metavar="HEX", help="Serial number instead of a name."),
    ] = None,
    crl_days: Annotated[
        int | None,
        typer.Option(
            "--crl-days",
            envvar="MTLSLAB_CRL_DAYS",
            min=1,
            max=3650,
            help="Days until the list must be renewed (its next update). [as before, at first 30]",
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", envvar="MTLSLAB_LIST", help="Show what is revoked; change nothing.")
    ] = False,
    name: options.Name = None,
    directory: options.Directory = None,
) -> None:
    """Revoke a client certificate: enter it into the client CA's list.

    The list (CRL) is crl/client-ca.crl. The mTLS service checks it after the next `mtlslab up`; `up --crl` creates
    an empty one. From then on `mtlslab reload` applies every change. A revocation is final (RFC 5280 section 5.3.1 has
    removeFromCRL for delta CRLs only): a client that was revoked by mistake needs a new certificate.
    """
    if list_ and not (credential or serial):
        crl(name, directory)
        return
    if list_ or bool(credential) == bool(serial):
        raise SpecError(
            "Name one thing: a client credential, --serial or --list.", hint="Example: mtlslab certs revoke client"
        )
    workspace = find(name, directory).workspace
    workspace.require()
    with workspace.lock():
        _revoke(workspace, credential, serial, crl_days)
    if credential == "client":
        say("mtlslab verify needs a client that is served. A new one: rm certs/client.crt, then mtlslab up")


def crl(
    name: options.Name = None,
    directory: options.Directory = None,
    output: Annotated[str, options.plain_output()] = "text",
) -> None:
    """Show the client CA's revocation list and whether it is current.

    It says what is revoked since when, and until when the list is valid.
    """
    from mtlslab.workspace.revocation import crl_state, names_by_serial

    require_choice("--output", output, ("text", "json"))
    workspace = find(name, directory).workspace
    workspace.require()
    document = _mapping(crl_state(workspace, datetime.datetime.now(datetime.UTC)), names_by_serial(workspace))
    if output == "json":
        put_json({"schema": "mtlslab.crl/1", **document})
        return
    for line in _text(document):
        put(line)


def _revoke(workspace: Workspace, credential: str | None, serial: str | None, days: int | None) -> None:
    from mtlslab.pki.describe import serial_hex
    from mtlslab.plan.paths import CRL
    from mtlslab.workspace import revocation

    number = _serial_number(serial) if serial else revocation.serial_of(workspace, credential or "")
    made = revocation.revoke(workspace, number, now=datetime.datetime.now(datetime.UTC), days=days)
    what = f"{credential} (serial {serial_hex(number)})" if credential else f"serial {serial_hex(number)}"
    if made.already:
        put(f"Already revoked at {made.moment:%Y-%m-%d %H:%M} UTC: {what}.")
    else:
        put(f"Revoked {what} in {CRL}.")
    put(revocation.still_open(workspace, made.state))


def _serial_number(text: str) -> int:
    match = _SERIAL.fullmatch(text.strip())
    number = int(match[1].replace(":", ""), 16) if match else 0
    if number == 0:
        raise SpecError(
            f"--serial {text!r} is no serial number.",
            why="it is a positive number of at most 20 bytes, in hexadecimal digits",
            hint="See them with: mtlslab certs show certs/client.crt",
        )
    return number


def _mapping(state: CrlState, names: dict[int, str]) -> dict[str, Any]:
    from mtlslab.pki.describe import serial_hex
    from mtlslab.plan.paths import CRL

    document: dict[str, Any] = {"file": CRL, "condition": str(state.condition), "configured": state.configured}
    info = state.info
    if info is None:
        return {**document, "revoked": []}
    return {
        **document,
        "issuer": info.issuer,
        "number": info.number,
        "this_update": info.this_update.isoformat(),
        "next_update": info.next_update.isoformat() if info.next_update else None,
        "revoked": [
            {"serial": serial_hex(serial), "since": moment.isoformat(), "file": names.get(serial, "")}
            for serial, moment in sorted(info.revoked.items(), key=lambda item: item[1])
        ],
    }


def _text(document: dict[str, Any]) -> list[str]:
    if "number" not in document:
        return [f"There is no {document['file']}: nothing is revoked. Make one with mtlslab up --crl."]
    use = "the mTLS service checks it" if document["configured"] else "not checked yet: mtlslab up"
    valid = f"{_minute(document['this_update'])} to {_minute(document['next_update'])} UTC ({document['condition']})"
    entries = [f"{_minute(row['since'])}  {row['serial']}  {row['file']}".rstrip() for row in document["revoked"]]
    return [
        f"{document['file']}: number {document['number']} of {document['issuer']}; {use}",
        f"{'valid':<8} {valid}",
        *(f"{'revoked':<8} {entry}" for entry in entries or ["nothing"]),
    ]


def _minute(iso: str | None) -> str:
    return iso[:16].replace("T", " ") if iso else "ever"

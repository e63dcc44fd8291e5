"""The commands ``mtlslab certs faults`` and ``mtlslab certs issue``."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtlslab.cli import complete, options
from mtlslab.cli.find import find, require_choice, shown
from mtlslab.cli.options import epilog
from mtlslab.cli.progress import counting
from mtlslab.cli.terminal import put, put_json, say
from mtlslab.errors import ExitCode, SpecError
from mtlslab.plan.shell import shell_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mtlslab.pki.faults import Fault
    from mtlslab.workspace.issue import IssuedFault
    from mtlslab.workspace.target import Target

_VERSIONS = ("TLSv1.2", "TLSv1.3")


def register(app: typer.Typer) -> None:
    """Add the commands to ``mtlslab certs``."""
    app.command(
        epilog=epilog(
            {
                "mtlslab certs faults": "one line for each",
                "mtlslab certs faults -o json": "all that is known, for programs",
            },
            ExitCode.OK,
            ExitCode.USAGE,
        )
    )(faults)
    app.command(
        epilog=epilog(
            {
                "mtlslab certs issue alice": "certs/alice.crt and .key: a further client",
                "mtlslab certs issue bob --key-type ed25519 --days 7": "another type of key, valid for a week",
                "mtlslab certs issue student --count 30": "one for each of a class: certs/student-0001.crt and so on",
                "mtlslab certs issue --fault expired --fault other-ca": "two faults into certs/faults",
                "mtlslab certs issue --fault all": "all faults",
            },
            ExitCode.OK,
            ExitCode.USAGE,
            ExitCode.ENVIRONMENT,
            ExitCode.NOT_FOUND,
        )
    )(issue)


def faults(
    output: Annotated[str, options.plain_output()] = "text",
) -> None:
    """List the faults: credentials that are broken or odd on purpose.

    The columns: name, title, whether nginx accepts it, whether another outcome fails `mtlslab verify`, and the RFC
    section.
    """
    from mtlslab.pki.faults import FAULTS

    require_choice("--output", output, ("text", "json"))
    if output == "json":
        rows = [_fault_mapping(fault) for fault in FAULTS.values()]
        put_json({"schema": "mtlslab.faults/1", "faults": rows})
        return
    names, titles = max(map(len, FAULTS)), max(len(fault.title) for fault in FAULTS.values())
    for fault in FAULTS.values():
        columns = f"{fault.name:<{names}}  {fault.title:<{titles}}  {fault.verdict:<7}  {fault.severity:<8}"
        put(f"{columns}  {fault.rfc}")


def issue(
    credential: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Name of a further client: its files and its common name.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            envvar="MTLSLAB_FAULT",
            metavar="FAULT",
            autocompletion=complete.faults,
            help="A fault (see mtlslab certs faults), or all; repeatable.",
        ),
    ] = None,
    key_type: Annotated[
        str | None,
        typer.Option(
            "--key-type",
            envvar="MTLSLAB_KEY_TYPE",
            autocompletion=complete.key_types,
            help="Type of the key: rsa-2048, rsa-3072, ec-p256, ec-p384 or ed25519. [the lab's]",
        ),
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", envvar="MTLSLAB_DAYS", help="Validity in days. [the lab's]")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--count", envvar="MTLSLAB_COUNT", metavar="N", help="N clients: NAME-0001, NAME-0002 and so on."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", envvar="MTLSLAB_OVERWRITE", help="Replace the client of that name.")
    ] = False,
    name: options.Name = None,
    directory: options.Directory = None,
) -> None:
    """Issue further client credentials, good ones or faults.

    Good ones go into certs/, faults into certs/faults/; private keys have mode 0600. --count issues one for each
    student of a class; repeated, it keeps the valid ones and issues what is missing. Faults are new each time, because
    some show their fault for a moment only.
    """
    if (credential is None) == (not fault):
        raise SpecError(
            "Name either a further client or --fault.", hint="mtlslab certs issue alice, or: --fault expired"
        )
    if fault and count is not None:
        raise SpecError("--count is for good clients.", hint="mtlslab certs issue student --count 30")
    target = find(name, directory)
    target.workspace.require()
    if fault:
        _issue_faults(target, fault)
    elif credential is not None and count is not None:
        _issue_clients(target, credential, count, key_type, days, overwrite=overwrite)
    elif credential is not None:
        _issue_client(target, credential, key_type, days, overwrite=overwrite)


def _issue_client(target: Target, credential: str, key_type: str | None, days: int | None, *, overwrite: bool) -> None:
    from mtlslab.pki.describe import serial_hex
    from mtlslab.workspace.issue import issue_client

    workspace = target.workspace
    now = datetime.datetime.now(datetime.UTC)
    with workspace.lock():
        made = issue_client(workspace, credential, now=now, key_type=key_type, days=days, overwrite=overwrite)
    put(f"Issued {made.certificate} and {made.key}, valid until {made.not_after:%Y-%m-%d}.")
    if made.aside:
        say(f"This lab did not issue what was there: kept as {', '.join(made.aside)}.")
    _print_try(target, [made.certificate, made.key])
    if made.replaced is not None:
        say("The certificate that was there before stays valid for whoever has a copy of it and of its key.")
        say(f"  Revoke it with: mtlslab certs revoke --serial {serial_hex(made.replaced)}")


def _issue_clients(
    target: Target, prefix: str, count: int, key_type: str | None, days: int | None, *, overwrite: bool
) -> None:
    from mtlslab.workspace.bulk import issue_clients
    from mtlslab.workspace.credentials import files_of

    workspace = target.workspace
    now = datetime.datetime.now(datetime.UTC)
    with workspace.lock(), counting("Issued") as progress:
        made = issue_clients(
            workspace, prefix, count, now=now, key_type=key_type, days=days, overwrite=overwrite, progress=progress
        )
    there = count - len(made.issued)
    kept = f"; {there} {'was' if there == 1 else 'were'} there and good" if there else ""
    put(f"Issued {len(made.issued)} of {count} client credentials{kept}.")
    first, last = (files_of(name) for name in (made.names[0], made.names[-1]))
    put(f"They are {first[0]} to {last[0]}, the private keys {first[1]} to {last[1]}.")
    _print_try(target, first)


def _issue_faults(target: Target, asked: list[str]) -> None:
    from mtlslab.plan.spec import make_spec
    from mtlslab.workspace.issue import fault_names, issue_faults

    workspace = target.workspace
    crl = make_spec(workspace.require().spec).crl
    names = fault_names(asked)
    with workspace.lock():
        made = issue_faults(workspace, names)
    put(f"Try the commands inside: {shell_line(['cd', shown(workspace.directory)])}")
    for one in made:
        put()
        put(f"{one.fault.name}: {one.fault.title} ({one.fault.rfc})")
        for label, text in _story(target, one, crl=crl):
            put(f"  {label:<6} {text}")


def _story(target: Target, made: IssuedFault, *, crl: bool) -> Iterator[tuple[str, str]]:
    from mtlslab.plan.spec import make_spec
    from mtlslab.workspace.issue import try_command

    fault = made.fault
    workspace = target.workspace
    files = [*made.files, made.crl] if made.crl else made.files
    yield "files", ", ".join(files) or "none: this client has no certificate"
    yield "wrong", fault.wrong
    yield from _prediction(fault, crl=crl)
    spec = make_spec(workspace.require().spec)
    yield "try", shell_line(try_command(workspace, spec, made.files, weak=fault.weak))
    if fault.load_fails_locally:
        yield "note", "The client itself refuses to load it: the server is never asked."
    if fault.name == "revoked":
        yield "note", _revoked_note(revoked=made.revoked, crl=crl)
    if made.crl:
        yield "note", f"The list of the CA in between, for the file that ssl_crl names: {made.crl}"


def _revoked_note(*, revoked: bool, crl: bool) -> str:
    if not revoked:
        return "It is on no list yet: mtlslab certs revoke revoked, then mtlslab up"
    return f"It is on the list; a running server reads it on: mtlslab {'reload' if crl else 'up'}"


def _prediction(fault: Fault, *, crl: bool) -> Iterator[tuple[str, str]]:
    """Lines about the expected answer of the mTLS service; one for both TLS versions if they agree."""
    by_version = {version: fault.answers(version, crl=crl) for version in _VERSIONS}
    told = {version: _outcome_text(answers) for version, answers in by_version.items()}
    same = len(set(told.values())) == 1
    yield "expect", told["TLSv1.3"] if same else "; ".join(f"{version}: {text}" for version, text in told.items())
    if fault.reason:
        yield "reason", f"X-SSL-Client-Verify matches /{fault.expected_reason(crl=crl)}/"
    if fault.alert:
        yield "alert", fault.alert


def _outcome_text(answers: Iterable[str]) -> str:
    words = {"200": "served (HTTP 200)", "alert": "refused: a TLS alert", "local": "never sent"}
    return " or ".join(words.get(answer, f"refused: HTTP {answer}") for answer in answers)


def _fault_mapping(fault: Fault) -> dict[str, Any]:
    """A fault as JSON-ready values."""
    return {
        "name": fault.name,
        "title": fault.title,
        "wrong": fault.wrong,
        "lesson": fault.lesson,
        "rfc": fault.rfc,
        "verdict": fault.verdict,
        "severity": str(fault.severity),
        "expected": {version: fault.answers(version) for version in _VERSIONS},
        "expected_with_crl": {version: fault.answers(version, crl=True) for version in _VERSIONS},
        "reason_pattern": fault.expected_reason(),
        "reason_pattern_with_crl": fault.expected_reason(crl=True),
        "alert": fault.alert,
        "weak": fault.weak,
        "load_fails_locally": fault.load_fails_locally,
        "needs_client_ca": fault.needs_client_ca,
    }


def _print_try(target: Target, files: Sequence[str]) -> None:
    from mtlslab.plan.spec import make_spec
    from mtlslab.workspace.issue import try_command

    workspace = target.workspace
    command = try_command(workspace, make_spec(workspace.require().spec), files)
    put(f"Try it: {shell_line(['cd', shown(workspace.directory)])}")
    put(f"  {shell_line(command)}")

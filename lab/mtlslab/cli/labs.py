"""The commands up, down, status, reload and render: read options, call the use case, print the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mtlslab.cli import options
from mtlslab.cli.consent import consent
from mtlslab.cli.find import find, find_to_end, require_choice, shown
from mtlslab.cli.options import epilog
from mtlslab.cli.settings import UNSET, Settings, with_settings
from mtlslab.cli.terminal import put, put_json, say
from mtlslab.errors import ExitCode, NotReadyError, SpecError
from mtlslab.plan.choices import PULL, one_of
from mtlslab.plan.shell import shell_line
from mtlslab.runtime.table import AUTO, runtime_choices

if TYPE_CHECKING:
    from mtlslab.lifecycle.timings import Timings
    from mtlslab.lifecycle.up import UpResult
    from mtlslab.runtime.base import ServiceStatus
    from mtlslab.workspace.target import Target


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    for command, examples, codes in COMMANDS:
        app.command(epilog=epilog(examples, ExitCode.OK, ExitCode.USAGE, ExitCode.ENVIRONMENT, *codes))(command)


@with_settings
def up(
    name: options.Name = None,
    directory: options.Directory = None,
    runtime: Annotated[
        str,
        typer.Option(
            "--runtime",
            envvar="MTLSLAB_RUNTIME",
            autocompletion=runtime_choices,
            help=f"{one_of(runtime_choices())}.",
        ),
    ] = AUTO,
    settings: Settings = UNSET,
    pull: Annotated[
        str,
        typer.Option(
            "--pull",
            envvar="MTLSLAB_PULL",
            autocompletion=lambda: PULL,
            help="Pull the image: missing, always or never.",
        ),
    ] = "missing",
    nginx: Annotated[
        Path | None,
        typer.Option("--nginx", envvar="MTLSLAB_NGINX", help="nginx binary for the embedded runtime."),
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", envvar="MTLSLAB_WAIT", help="How long to wait for both services: 60s, 2m.")
    ] = "60s",
    rotate_certs: options.RotateCerts = False,
    overwrite: options.Overwrite = False,
    trust: options.Trust = False,
    retain: Annotated[
        bool,
        typer.Option(
            "--retain", envvar="MTLSLAB_RETAIN", help="After a failure leave what was started, to inspect it."
        ),
    ] = False,
    timings: Annotated[
        bool, typer.Option("--timings", envvar="MTLSLAB_TIMINGS", help="Show where the time goes (on stderr).")
    ] = False,
) -> None:
    """Issue certificates and start both nginx services.

    It renders the files of the lab and returns when both services answer. What is already there is kept: valid
    certificates, files edited by hand, services that already run as asked.
    """
    from mtlslab.lifecycle import up as use_case
    from mtlslab.lifecycle.asked import UpOptions
    from mtlslab.lifecycle.timings import Timings

    require_choice("--runtime", runtime, runtime_choices())
    require_choice("--pull", pull, PULL)
    up_options = UpOptions(
        settings=settings,
        runtime=runtime,
        nginx=nginx,
        pull=pull,
        wait=_seconds(wait),
        rotate_certs=rotate_certs,
        overwrite=overwrite,
        retain=retain,
        trusts=consent(trust),
    )
    target = find(name, directory, new=True)
    clock = Timings()
    with clock.step("all"):
        result = use_case.up(target, up_options, say, clock)
    if timings:
        _print_timings(clock)
    _print_up(target, result)


def down(
    name: options.Name = None,
    directory: options.Directory = None,
    purge: Annotated[
        bool, typer.Option("--purge", envvar="MTLSLAB_PURGE", help="Also remove the lab's directory.")
    ] = False,
) -> None:
    """Take away all that runs of a lab; its files stay.

    Nothing there is success. --purge removes the files, too.
    """
    from mtlslab.lifecycle import down as use_case

    target = find_to_end(name, directory)
    removed = use_case.down(target, purge=purge, say=say)
    put(f"Removed: {', '.join(removed)}." if removed else f"Nothing runs of the lab {target.name!r}.")


def status(
    name: options.Name = None,
    directory: options.Directory = None,
    output: Annotated[str, options.plain_output()] = "text",
) -> None:
    """Show what exists of a lab and what runs.

    Exit code 4 when nothing runs.
    """
    from mtlslab.lifecycle import status as use_case
    from mtlslab.lifecycle.where import nothing_runs

    require_choice("--output", output, ("text", "json"))
    target = find(name, directory)
    found = use_case.status(target)
    services = [
        {
            **_row(runtime, item),
            "detail": item.detail,
            "exit_code": item.exit_code,
            "url": _url_of(target, item),
        }
        for runtime, item in found.services
    ]
    twins = [{"twin": name, **_row(runtime, item)} for name, runtime, item in found.twins]
    if (services or twins) and output == "json":
        document = {"schema": "mtlslab.status/1", "lab": target.name, "services": services, "twins": twins}
        put_json(document)
    elif output == "text":
        _print_status(services, twins)
    for sentence in use_case.other_ports(target, found):
        say(f"{sentence} mtlslab up puts it back.")
    # What was ended, or was created and never started, is shown, and runs no more than what does not exist.
    if all(row["state"] == "exited" for row in services):
        raise nothing_runs(target.name)


def _row(runtime: str, item: ServiceStatus) -> dict[str, Any]:
    return {"service": item.service, "state": str(item.state), "runtime": runtime, "identity": item.identity}


def _print_status(services: list[dict[str, Any]], twins: list[dict[str, Any]]) -> None:
    for row in services:
        detail = f" ({row['detail']})" if row["detail"] else ""
        put(f"{row['service']:<11} {row['state']}{detail}  {row['runtime']} {row['identity']}  {row['url']}")
    for row in twins:
        put(f"{row['twin']}: {row['service']} {row['state']}  {row['runtime']} {row['identity']}")
    if twins:
        say("Twins belong to verify --prove. If none is at work it was killed: mtlslab down takes them away.")


def reload(name: options.Name = None, directory: options.Directory = None, trust: options.Trust = False) -> None:
    """Apply an edited nginx.conf to the running services.

    The configuration is tested first (nginx -t); then nginx is told to read it (HUP).
    """
    from mtlslab.lifecycle import reload as use_case

    use_case.reload(find(name, directory), say=put, trusts=consent(trust))


@with_settings
def render(
    name: options.Name = None,
    directory: options.Directory = None,
    settings: Settings = UNSET,
    rotate_certs: options.RotateCerts = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Write the lab's files; start nothing, ask no engine.

    These are certificates and keys, nginx.conf of both services, and docker-compose.yml.
    """
    from mtlslab.lifecycle import render as use_case
    from mtlslab.lifecycle.asked import UpOptions

    target = find(name, directory, new=True)
    up_options = UpOptions(settings=settings, rotate_certs=rotate_certs, overwrite=overwrite)
    use_case.write_lab(target, up_options, say)
    place = shown(target.workspace.directory)
    put(f"Wrote the lab {target.name!r} into {place}.")
    put(f"Next: mtlslab up, or: {shell_line(['cd', place])} && docker compose up")


def _seconds(text: str) -> float:
    number, unit = (text[:-1], text[-1]) if text[-1:] in ("s", "m") else (text, "s")
    if number.isascii() and number.isdigit() and 0 < int(number) <= 3600:
        return float(number) * (60 if unit == "m" else 1)
    raise SpecError(f"--wait {text!r} is no length of time.", hint="Examples: --wait 90s, --wait 2m")


def _url_of(target: Target, item: ServiceStatus) -> str:
    """Where a service answers: as an engine publishes it, else as lab.json says."""
    from mtlslab.lifecycle.status import planned
    from mtlslab.plan.addresses import page_url
    from mtlslab.plan.spec import make_spec

    if target.record is None:
        return ""
    port = planned(target, item.service).port
    if item.doors and port not in [number for _, number in item.doors]:
        port = item.doors[0][1]
    return page_url(make_spec(target.record.spec), port)


def _print_up(target: Target, result: UpResult) -> None:
    from mtlslab.plan.addresses import page_url
    from mtlslab.plan.paths import CLIENT_CERT, CLIENT_KEY
    from mtlslab.workspace.issue import try_command

    spec, place = result.spec, shown(target.workspace.directory)
    done = f"started {', '.join(result.started)}" if result.started else "it already ran as asked"
    put(f"The lab {target.name!r} is up in {place} ({result.runtime}; {done}).")
    put(f"  TLS   {page_url(spec, spec.tls_port)}")
    put(f"  mTLS  {page_url(spec, spec.mtls_port)}")
    put()
    put(f"Try it: {shell_line(['cd', place])}")
    put(f"  {shell_line(try_command(target.workspace, spec, (CLIENT_CERT, CLIENT_KEY)))}")
    served = "is served: the certificate comes from the client CA"
    put(f"      {f'is NOT served: {result.refusal}' if result.refusal else served}")
    put(f"  {shell_line(try_command(target.workspace, spec, ()))}")
    put("      is refused with HTTP 400: no certificate")
    put("Then: mtlslab verify")
    if result.refusal:
        raise NotReadyError(
            f"The lab {target.name!r} runs, but its own client is not served.",
            why=result.refusal,
            hint="What is wrong: mtlslab verify; mtlslab logs nginx-mtls. Take it down: mtlslab down",
        )


def _print_timings(clock: Timings) -> None:
    for step, seconds in clock.steps:
        say(f"{seconds * 1000:8.0f} ms  {step}")


# Command, examples for its help (command -> text), exit codes in addition to those of all commands here.
COMMANDS: tuple[tuple[Callable[..., None], dict[str, str], tuple[ExitCode, ...]], ...] = (
    (
        up,
        {
            "mtlslab up": "Docker if an engine answers, else plain nginx processes",
            "mtlslab up --runtime embedded": "no Docker at all",
            "mtlslab up --name b --tls-port 0 --mtls-port 0": "a second lab beside the first",
            "mtlslab up --trust": "a lab that was cloned or copied, after a look at its nginx.conf",
            "mtlslab up --key-type ec-p256 --host lab.test": "other keys, one more name",
        },
        (ExitCode.NOT_READY,),
    ),
    (
        down,
        {
            "mtlslab down": "stop and remove what runs; certificates and files stay",
            "mtlslab down --purge": "remove the directory too",
            "mtlslab down --name b": "the lab called b, wherever its directory is",
        },
        (),
    ),
    (
        status,
        {"mtlslab status": "what runs, where", "mtlslab status -o json": "the same for programs"},
        (ExitCode.NOT_FOUND,),
    ),
    (
        reload,
        {"mtlslab reload": "apply an edited nginx.conf; a bad edit is refused and the old one keeps running"},
        (ExitCode.NOT_FOUND,),
    ),
    (
        render,
        {
            "mtlslab render": "write certificates and files into ./mtls-lab, start nothing",
            "mtlslab render --dir demo --overwrite": "render over files that were edited",
        },
        (),
    ),
)

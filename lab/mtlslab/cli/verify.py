"""The command ``mtlslab verify``."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mtlslab import output as looks
from mtlslab.cli import complete, options
from mtlslab.cli.find import find, require_choice
from mtlslab.cli.options import epilog
from mtlslab.cli.prove import run_proof
from mtlslab.cli.reportfile import write_report
from mtlslab.cli.terminal import (
    clear_passing,
    columns,
    put,
    put_text,
    say,
    show_passing,
    shows_colour,
    shows_passing,
    shows_unicode,
)
from mtlslab.errors import ExitCode
from mtlslab.plan.shell import shell_line
from mtlslab.verify.doors.model import DEFAULT_DOORS

if TYPE_CHECKING:
    from mtlslab.verify.report import Finding, VerifyReport
    from mtlslab.verify.runner import Observer
    from mtlslab.workspace.target import Target


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog=epilog(
            {
                "mtlslab verify": "all checks, for people",
                "mtlslab verify -v": "every check; -vv: with the command behind it",
                "mtlslab verify --list": "what would be checked",
                "mtlslab verify --list-doors": "where unauthorised clients would knock",
                "mtlslab verify --only mtls-refuses-expired": "one check, and the control that it depends on",
                "mtlslab verify --strict": "warnings fail, too",
                "mtlslab verify --prove": "do the checks bite? sabotaged twins of the lab must turn them red",
                "mtlslab verify -o html --output-file r.html": "a page with the handshakes, message by message",
                "mtlslab verify -o junit --output-file r.xml": "a report for a CI",
            },
            ExitCode.OK,
            ExitCode.CHECK_FAILED,
            ExitCode.USAGE,
            ExitCode.ENVIRONMENT,
            ExitCode.NOT_FOUND,
            ExitCode.NOT_READY,  # a twin
            ExitCode.INCONCLUSIVE,
        )
    )(verify)


def verify(
    name: options.Name = None,
    directory: options.Directory = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            envvar="MTLSLAB_ONLY",
            metavar="ID",
            autocompletion=complete.checks,
            help="Only this check (id, its beginning, or a pattern); repeatable.",
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", envvar="MTLSLAB_LIST", help="List the checks, run none.")] = False,
    output: Annotated[
        str,
        options.output_option(
            looks.VERIFY_FORMATS, list_=looks.LIST_FORMATS, list_doors=looks.DOOR_FORMATS, prove=looks.PROOF_FORMATS
        ),
    ] = "text",
    output_file: options.OutputFile = None,
    list_doors: Annotated[
        bool,
        typer.Option("--list-doors", envvar="MTLSLAB_LIST_DOORS", help="List the doors to knock at, and try none."),
    ] = False,
    doors: Annotated[
        int,
        typer.Option("--doors", envvar="MTLSLAB_DOORS", metavar="N", min=1, help="Knock N times at most at the doors."),
    ] = DEFAULT_DOORS,
    strict: Annotated[
        bool,
        typer.Option("--strict", envvar="MTLSLAB_STRICT", help="Warnings fail, too: also what nginx does by design."),
    ] = False,
    prove: Annotated[
        bool,
        typer.Option("--prove", envvar="MTLSLAB_PROVE", help="Run the checks on sabotaged twins: each must be caught."),
    ] = False,
    mutant: Annotated[
        list[str] | None,
        typer.Option(
            "--mutant",
            envvar="MTLSLAB_MUTANT",
            metavar="NAME",
            autocompletion=complete.mutants,
            help="With --prove: only this mutant or kind (doors, trust*, ...); repeatable.",
        ),
    ] = None,
    verbose: Annotated[
        int,
        typer.Option(
            "-v",
            "--verbose",
            count=True,
            envvar="MTLSLAB_VERBOSE",
            help="Show every check, not only groups and what is wrong; -vv: with the command behind it.",
        ),
    ] = 0,
) -> None:
    """Prove that the mTLS server serves authorised clients only.

    Most checks make real TLS connections and compare what they observe with the expectation; others read the files and
    the configuration that nginx reads.
    """
    from mtlslab.verify import run as use_case

    listed = looks.LIST_FORMATS if list_ else looks.DOOR_FORMATS if list_doors else None
    if prove:
        require_choice("--output with --prove", output, looks.PROOF_FORMATS)
    else:
        require_choice("--output", output, listed or looks.VERIFY_FORMATS)
    target = find(name, directory, new=list_)
    if prove:
        run_proof(target, mutant or [], output, output_file, unicode=shows_unicode())
    if list_:
        put_text(looks.render_list(use_case.listed(target, only or ()), output), fit=output == "text")
        return
    if list_doors:
        listing = use_case.listed_doors(target, doors)
        put_text(looks.render(listing, looks.DOOR_FORMATS, output), fit=output == "text")
        return
    if output == "html" and output_file is None and columns():
        output_file = _new_file(target.name)
    _warn_of_detours(target)
    with _progress() as observer:
        report = use_case.verify(target, only or (), strict=strict, observer=observer, doors=doors)
    colour = shows_colour() and output_file is None
    text = looks.render_report(
        report,
        output,
        colour=colour,
        unicode=shows_unicode(),
        width=0 if output_file else columns(),
        verbose=verbose,
        pictures=lambda: use_case.record_pictures(target),
    )
    if output_file is None:
        put_text(text, styled=colour)
        if output == "text":
            _say_next(report)
        elif output == "html":
            say(report.closing_sentence)
    else:
        write_report(output_file, text)
        if str(output_file) != "-":
            put(report.closing_sentence)
            put(f"Report: {output_file}")
    raise typer.Exit(report.exit_code)


def _new_file(lab: str) -> Path:
    """A file in the current directory for a page that no terminal can show; it replaces none."""
    return Path(f"{lab}-{datetime.datetime.now().astimezone():%Y-%m-%d-%H%M%S}.html")


def _say_next(report: VerifyReport) -> None:
    """Two commands that lead on, on stderr: the verdict is the last that a program reads."""
    if report.success:
        steps = {"mtlslab explain mtls-refuses-expired": "what a check does", "mtlslab verify --prove": "do they bite?"}
    elif report.exit_code is ExitCode.INCONCLUSIVE:
        steps = {"mtlslab status": "what runs", "mtlslab up": "starts what does not"}
    else:
        failures = [one for one in report.findings if report.fails(one)]
        worst = next((one for one in failures if one.lets_in), failures[0])
        steps = {shell_line(["mtlslab", "explain", worst.family]): "what it checks"}
        if report.causes:
            steps["mtlslab up --overwrite"] = "undoes the edit"
        else:
            steps["mtlslab logs --refused"] = "what the server said"
    width = max(map(len, steps))
    for number, (command, what) in enumerate(steps.items()):
        say(f"{'      ' if number else 'Next: '}{command:<{width}}  {what}")


def _warn_of_detours(target: Target) -> None:
    """Say why clients that a person starts may not meet the lab: the checks connect to its own address."""
    from mtlslab.lifecycle.detours import detours
    from mtlslab.plan.spec import make_spec

    for sentence in detours(make_spec(target.record.spec)) if target.record else ():
        say(f"WARNING: {sentence}")


@contextlib.contextmanager
def _progress() -> Iterator[Observer | None]:
    """Yield an observer that shows the number of finished checks on stderr; None if stderr is no terminal."""
    if not shows_passing():
        yield None
        return
    done = itertools.count(1)

    def show(finding: Finding, total: int) -> None:
        show_passing(f"{next(done)}/{total} {finding.id}")

    try:
        yield show
    finally:
        clear_passing()

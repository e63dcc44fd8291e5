"""``mtlslab verify --prove``: proves that the checks detect sabotage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mtlslab import output as looks
from mtlslab.cli.reportfile import write_report
from mtlslab.cli.terminal import is_watched, put_text, say

if TYPE_CHECKING:
    from mtlslab.verify.proof.prove import TwinResult
    from mtlslab.workspace.target import Target


def _once() -> Callable[[str], None]:
    """Make a ``say`` that prints each message once, because all twins cause the same messages."""
    said: set[str] = set()

    def say_once(message: str) -> None:
        if message not in said:
            said.add(message)
            say(message)

    return say_once


def run_proof(target: Target, mutants: list[str], output: str, output_file: Path | None, *, unicode: bool) -> None:
    """Run the checks on sabotaged twins of a lab, print the results, and exit with the exit code of the proof."""
    from mtlslab.output.proof import render_twin
    from mtlslab.runtime.choose import Runtimes
    from mtlslab.verify.proof.prove import prove

    record = target.workspace.require()
    runtime = Runtimes(target.workspace.directory, say=_once()).choose(record.runtime or "auto")

    def watch(result: TwinResult) -> None:
        if is_watched():
            say(render_twin(result, unicode=unicode))

    proof = prove(target, runtime, mutants, observer=watch)
    text = looks.render(proof, looks.PROOF_FORMATS, output, looks.Look(unicode=unicode))
    if output_file is None:
        put_text(text, fit=output == "text")
    else:
        write_report(output_file, text)
    raise typer.Exit(proof.exit_code)

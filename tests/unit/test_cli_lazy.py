"""Commands are loaded when they are typed; what `--help` says of them is what they say of themselves."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from mtlslab.cli.lazy import COMMANDS
from mtlslab.cli.main import app

from tests.support.cli import ROOT, mtlslab, python

LOADED = """\
import atexit, json, sys
import typer
before = set(sys.modules)
atexit.register(lambda: print(json.dumps(sorted(set(sys.modules) - before)), file=sys.stderr))
from mtlslab.cli.main import main
main()
"""
FOR_THE_START = {
    *("mtlslab", "mtlslab.cli", "mtlslab.cli.main", "mtlslab.cli.lazy", "mtlslab.cli.border", "mtlslab.cli.options"),
    *("mtlslab.cli.complete", "mtlslab.cli.terminal", "mtlslab.lifecycle", "mtlslab.lifecycle.interrupts"),
    *("mtlslab.errors", "mtlslab.plan", "mtlslab.plan.choices", "mtlslab.plan.visible"),
}
MAX_OTHERS = 10  # beside our own: what typer has not loaded anyway


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_start_loads_no_command_and_little_else(option: str) -> None:
    done = python(LOADED, option, cwd=ROOT, seconds=60)
    assert done.code == 0, done.err
    loaded = set(json.loads(done.err.splitlines()[-1]))
    assert {name for name in loaded if name.split(".")[0] == "mtlslab"} == FOR_THE_START
    assert len(loaded - FOR_THE_START) <= MAX_OTHERS, sorted(loaded - FOR_THE_START)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_the_command_says(name: str) -> None:
    """`--help` shows the table; the command itself shows its docstring."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    first_sentence = " ".join(commands[name].help.split("\n\n")[0].split())
    assert COMMANDS[name][1] == first_sentence


def test_the_commands_of_all_modules_are_those_of_the_table() -> None:
    holder = typer.Typer()
    holder.callback()(lambda: None)
    for module in {module for module, _ in COMMANDS.values()}:
        importlib.import_module(f"mtlslab.cli.{module}").register(holder)
    assert set(typer.main.get_group(holder).commands) == COMMANDS.keys()


@pytest.mark.parametrize("words", [("up", "--help"), ("certs", "issue", "--help"), ("serve",), ("explain", "expired")])
def test_nothing_is_lost_where_python_drops_docstrings(tmp_path: Path, words: tuple[str, ...]) -> None:
    """``python -OO``, and PYTHONOPTIMIZE=2: docstrings are what people read here."""
    usual, without = (mtlslab(*words, cwd=tmp_path, PYTHONOPTIMIZE=level) for level in ("", "2"))
    assert usual.code == 0
    assert len(usual.out) > 300
    assert without == usual

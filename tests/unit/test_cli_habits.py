"""What people type who come from other programs: the answer names what is meant here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from mtlslab.cli.certs import app as certs
from mtlslab.cli.lazy import CERTS_HABITS, COMMANDS, HABITS

from tests.support.cli import mtlslab
from tests.support.in_process import invoke


@pytest.mark.parametrize("word", HABITS)
def test_a_word_of_another_program_names_the_command_that_is_meant(word: str, tmp_path: Path) -> None:
    meant = HABITS[word]
    assert meant in COMMANDS or mtlslab(meant, cwd=tmp_path).code == 0
    assert word not in COMMANDS
    run = invoke(word)
    assert run.code == 2
    assert f" {meant}'?" in run.err


@pytest.mark.parametrize("word", CERTS_HABITS)
def test_so_does_a_word_after_certs(word: str) -> None:
    commands = typer.main.get_command(certs).commands  # type: ignore[attr-defined]
    assert CERTS_HABITS[word] in commands
    assert word not in commands
    run = invoke("certs", word, "alice")
    assert run.code == 2
    assert f" certs {CERTS_HABITS[word]}'?" in run.err


@pytest.mark.parametrize(
    ("typed", "meant"), [("strt", "up"), ("stpo", "down"), ("tset", "verify"), ("verfy", "verify"), ("hlep", "--help")]
)
def test_a_typo_in_such_a_word_is_understood_too(typed: str, meant: str, tmp_path: Path) -> None:
    run = mtlslab(typed, cwd=tmp_path)
    assert run.code == 2
    assert re.search(rf"Did you mean '(?:mtlslab )?{meant}'\?", run.err)


@pytest.mark.parametrize("command", ["up", "down", "status", "reload", "render"])
def test_the_name_of_a_lab_without_its_option_is_told(command: str, tmp_path: Path) -> None:
    run = mtlslab(command, "mylab", cwd=tmp_path)
    assert run.code == 2
    assert f"mtlslab {command} --name mylab" in " ".join(run.err.split())
    assert not list(tmp_path.iterdir())

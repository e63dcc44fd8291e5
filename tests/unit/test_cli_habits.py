"""What people type who come from other programs: the answer names what is meant here."""

from __future__ import annotations

from pathlib import Path

import pytest
from mtlslab.cli.lazy import COMMANDS, HABITS

from tests.support.cli import mtlslab


@pytest.mark.parametrize("word", HABITS)
def test_a_word_of_another_program_names_the_command_that_is_meant(word: str, tmp_path: Path) -> None:
    meant = HABITS[word]
    assert meant in COMMANDS or mtlslab(meant, cwd=tmp_path).code == 0
    assert word not in COMMANDS
    run = mtlslab(word, cwd=tmp_path)
    assert run.code == 2
    assert f"Did you mean 'mtlslab {meant}'?" in run.err


@pytest.mark.parametrize("command", ["up", "down", "status", "reload", "render"])
def test_the_name_of_a_lab_without_its_option_is_told(command: str, tmp_path: Path) -> None:
    run = mtlslab(command, "mylab", cwd=tmp_path)
    assert run.code == 2
    assert f"mtlslab {command} --name mylab" in " ".join(run.err.split())
    assert not list(tmp_path.iterdir())

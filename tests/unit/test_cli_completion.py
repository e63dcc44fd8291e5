"""Shell completion knows commands, options and the values of choices; `python -m mtlslab` is the same program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mtlslab import __version__

from tests.support.cli import environment, mtlslab

PROGRAM = "import sys; sys.argv[0] = 'mtlslab'; from mtlslab.cli.main import main; main()"


def completed(line: str, cwd: Path) -> list[str]:
    """What the shell is offered for the last word of a line."""
    asked = {"_MTLSLAB_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=cwd, env=environment(**asked), capture_output=True, text=True, check=False
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mtlslab ver", ["verify"]),
        ("mtlslab certs exp", ["export"]),
        ("mtlslab up --runt", ["--runtime"]),
        ("mtlslab up --runtime e", ["embedded"]),
        ("mtlslab up --key-type ec", ["ec-p256", "ec-p384"]),
        ("mtlslab up --client-auth opt", ["optional"]),
        ("mtlslab logs nginx-m", ["nginx-mtls"]),
    ],
)
def test_the_shell_is_offered(line: str, offered: list[str], tmp_path: Path) -> None:
    assert completed(line, tmp_path) == offered


def test_the_version_is_one_line_on_stdout(tmp_path: Path) -> None:
    run = mtlslab("--version", cwd=tmp_path)
    assert (run.code, run.out) == (0, f"mtlslab {__version__}\n")


def test_the_program_without_a_command_shows_the_way(tmp_path: Path) -> None:
    assert "mtlslab up" in "".join(mtlslab(cwd=tmp_path).out.split("\n")) + mtlslab(cwd=tmp_path).err

"""Shell completion knows commands, options and the values of choices; `python -m mtlslab` is the same program."""

from __future__ import annotations

from pathlib import Path

import pytest
from mtlslab import __version__

from tests.support.cli import mtlslab, python

PROGRAM = "import sys; sys.argv[0] = 'mtlslab'; from mtlslab.cli.main import main; main()"


def completed(line: str, cwd: Path) -> list[str]:
    """What the shell is offered for the last word of a line."""
    word = str(line.count(" "))
    done = python(PROGRAM, cwd=cwd, _MTLSLAB_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=word)
    return done.out.split()


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
        ("mtlslab verify --only mtls-refuses-expired-", ["mtls-refuses-expired-a-second-ago"]),
        ("mtlslab verify --mutant verify-of", ["verify-off"]),
        ("mtlslab certs issue --fault not-y", ["not-yet-valid"]),
        ("mtlslab serve wrong-", ["wrong-host"]),
        ("mtlslab clients chr", ["chromium"]),
        ("mtlslab explain door-nam", ["door-names"]),
        ("mtlslab verify -o ju", ["junit"]),
        ("mtlslab list -o j", ["json"]),
        ("mtlslab certs list -o j", ["json"]),
    ],
)
def test_the_shell_is_offered(line: str, offered: list[str], tmp_path: Path) -> None:
    assert completed(line, tmp_path) == offered


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("mtlslab ", "Prove that the mTLS server serves authorised clients only."),
        ("mtlslab certs ", "Show the client CA's revocation list and whether it is current."),
    ],
)
def test_zsh_is_told_the_whole_summary_of_a_command(typed: str, told: str, tmp_path: Path) -> None:
    done = python(PROGRAM, cwd=tmp_path, _MTLSLAB_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=typed)
    assert told.replace("'", "'\\''") in done.out
    assert "..." not in done.out


def test_issued_certificates_are_offered_by_name_from_below_the_lab(tmp_path: Path) -> None:
    assert mtlslab("render", "--dir", "lab", "--key-type", "ec-p256", cwd=tmp_path).code == 0
    assert mtlslab("certs", "issue", "alice", cwd=tmp_path / "lab").code == 0
    below = tmp_path / "lab/certs"
    assert completed("mtlslab certs revoke al", below) == ["alice"]
    assert completed("mtlslab certs export ", below) == ["client", "alice"]
    assert completed("mtlslab certs show certs/al", below) == ["certs/alice.crt"]
    assert completed("mtlslab certs export --dir lab al", tmp_path) == ["alice"]
    assert completed("mtlslab certs export al", tmp_path) == []
    assert "lab" in completed("mtlslab down --name ", tmp_path)


def test_the_version_is_one_line_on_stdout(tmp_path: Path) -> None:
    run = mtlslab("--version", cwd=tmp_path)
    assert (run.code, run.out) == (0, f"mtlslab {__version__}\n")


def test_the_program_without_a_command_shows_the_way(tmp_path: Path) -> None:
    assert "mtlslab up" in "".join(mtlslab(cwd=tmp_path).out.split("\n")) + mtlslab(cwd=tmp_path).err

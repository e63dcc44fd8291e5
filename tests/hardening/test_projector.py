"""What a lecture shows on a terminal: no styles where the terminal has none, a report on a file is told of."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import command, environment, mtlslab
from tests.support.projector import on_a_terminal, plain
from tests.support.terminal import everything_from

SMALL = ("--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")


@pytest.mark.parametrize("plain", [{"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}], ids=["dumb", "no colour"])
def test_a_terminal_without_colour_gets_no_style(plain: dict[str, str], tmp_path: Path, lab_name: str) -> None:
    assert mtlslab("render", "--name", lab_name, *SMALL, cwd=tmp_path).code == 0
    assert b"\x1b[1m" in _on_a_terminal(lab_name, tmp_path, TERM="xterm", NO_COLOR="")
    assert b"m" not in [piece[:4][-1:] for piece in _on_a_terminal(lab_name, tmp_path, **plain).split(b"\x1b[")[1:]]
    if plain["TERM"] == "dumb":
        assert b"\x1b" not in _on_a_terminal(lab_name, tmp_path, **plain)


def _on_a_terminal(lab: str, place: Path, **more: str) -> bytes:
    screen, terminal = pty.openpty()
    words = command("verify", "--name", lab, "--only", "mtls-serves-client-certificate")
    running = subprocess.Popen(words, cwd=place, env=environment(**more), stdout=terminal, stderr=terminal)
    os.close(terminal)
    said = everything_from(screen)
    os.close(screen)
    assert running.wait(60) == 6
    return said


def test_a_report_in_a_file_says_its_verdict_and_its_path(tmp_path: Path, lab_name: str) -> None:
    assert mtlslab("render", "--name", lab_name, *SMALL, cwd=tmp_path).code == 0
    words = ("--only", "mtls-serves-client-certificate", "-o", "html", "--output-file", "r.html")
    told = mtlslab("verify", "--name", lab_name, *words, cwd=tmp_path)
    assert told.out.splitlines() == [
        f'lab "{lab_name}" could not be judged here: 2 checks without an answer (mtls-serves-client-certificate).',
        "Report: r.html",
    ]


def test_a_page_for_a_browser_goes_into_a_file_where_a_terminal_would_have_to_show_it(
    tmp_path: Path, lab_name: str
) -> None:
    assert mtlslab("render", "--name", lab_name, *SMALL, cwd=tmp_path).code == 0
    run = on_a_terminal(
        "verify", "--name", lab_name, "--only", "mtls-serves-client-certificate", "-o", "html", cwd=tmp_path
    )
    [page] = tmp_path.glob(f"{lab_name}-*.html")
    assert plain(run.out)[-1] == f"Report: {page.name}"
    assert "could not be judged here" in run.out
    assert page.read_text().startswith("<!DOCTYPE html>")

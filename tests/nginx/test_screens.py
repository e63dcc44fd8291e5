"""The screens in docs/ are what the program shows today: in order on one screen, broken with its cause in the end."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support import screens
from tests.support.projector import LINES, plain, too_wide

# What depends on the machine: how many checks its OpenSSL and its nginx allow for, and where a line was edited.
_NUMBER = re.compile(r"\d+")


def test_the_screens_in_docs_are_those_of_this_program(tmp_path: Path, nginx_binary: Path) -> None:
    """Compared with all numbers left open; they are renewed with `python -m tests.support.screens`."""
    recorded = list(screens.record(tmp_path))
    _fits_one_screen(plain(recorded[2].text))
    _says_its_cause_once_and_last(recorded[3].text)
    assert [too_wide(scene.text) for scene in recorded] == [[]] * len(recorded)
    kept, new = screens.TEXT.read_text(), screens.as_text(recorded)
    assert _NUMBER.sub("N", new) == _NUMBER.sub("N", kept)
    header, *events = screens.CAST.read_text().splitlines()
    assert json.loads(header)["version"] == 2
    assert all(len(json.loads(event)) == 3 for event in events)


def _fits_one_screen(lines: list[str]) -> None:
    assert len(lines) < LINES
    assert sum(line.startswith("✓") for line in lines) == 11, "a line a group"
    assert " enforces mTLS: " in lines[-3]
    assert [line[:6] for line in lines[-2:]] == ["Next: ", "      "], "the next two commands, after the verdict"


def _says_its_cause_once_and_last(text: str) -> None:
    lines = plain(text)
    [place] = [number for number, line in enumerate(lines) if line.startswith("Cause: ")]
    assert re.fullmatch(r"Cause: ssl_verify_client optional; nginx-mtls/nginx\.conf:\d+", lines[place])
    assert [line[:6] for line in lines[place + 1 :]] == ["Next: ", "      "]
    assert "lets unauthorised clients in" in " ".join(lines[place - 3 : place])
    # The findings are a line or two each, and one of them is told in full: what somebody types first.
    assert sum(line.startswith("      why ") for line in lines) == 1
    assert "      check     mtls-refuses-no-certificate" in lines
    assert not [line for line in lines if "ssl_verify_client must be on" in line]
    assert f"\x1b[1m{lines[place]}\x1b[0m" in text, "bold"
    assert "\x1b[2m" not in text, "what was observed is not dim"

"""README and docs show what their commands print; the lesson is ten steps, and leads on to pages that there are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from mtlslab.classroom.explain import explain

from tests.support.cli import ROOT

SCRIPT = ROOT / "docs/samples.py"
CONSOLE = re.compile(r"^(<!-- (?:keep|not run): .+ -->\n)?```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [
    path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if CONSOLE.search(path.read_text())
]
LESSON = (ROOT / "docs/lesson.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_what_its_commands_print(page: Path, nginx_binary: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, page], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"make samples writes it anew:\n{done.stdout}{done.stderr}"


def test_a_sample_that_is_no_longer_so_is_seen_and_written_anew(tmp_path: Path, nginx_binary: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n<!-- keep: b$ -->\n```console\n$ printf 'ab\\nc\\nd\\nb\\n'\nab\n```\n")
    seen = subprocess.run([sys.executable, SCRIPT, page], capture_output=True, text=True, timeout=60, check=False)
    assert seen.returncode == 1
    assert "+..." in seen.stdout
    subprocess.run([sys.executable, SCRIPT, "--write", page], timeout=60, check=True)
    assert page.read_text().endswith("nb\\n'\nab\n...\nb\n```\n")
    subprocess.run([sys.executable, SCRIPT, page], timeout=60, check=True)


def test_the_lesson_is_ten_steps_with_curl_each_with_what_comes_and_why() -> None:
    steps = re.split(r"^## ", LESSON, flags=re.MULTILINE)[1:]
    assert [step.partition(".")[0] for step in steps] == [str(number) for number in range(1, 11)]
    for step in steps:
        body = CONSOLE.findall(step)[0][1]
        assert re.search(r"^\$ (?:curl|perl|mtlslab)", body)
        assert "$ curl" in step
        assert len(re.sub(r"```.*?```", "", step, flags=re.DOTALL).split()) > 30


def test_the_pages_that_the_lesson_leads_to_are_there() -> None:
    words = re.findall(r"`mtlslab explain ([^`]+)`", LESSON)
    assert len(words) >= 8
    assert [word for word in words if word != "WORD" and not explain(word)] == []

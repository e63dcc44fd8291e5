"""Reads what `nginx -T` prints, by nginx's own rules: the directives in order, their words, blocks as "{" and "}"."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_FILE = re.compile(r"^# configuration file (.*):$", re.MULTILINE)
# A comment, a quoted word, a mark, or a plain word; a backslash takes the next character along.
_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)|"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>(?:\\.|[^'\\])*)'|(?P<mark>[{};])"""
    r"""|(?P<plain>(?:\\.|\$\{[^}]*\}|[^\s;{}\\])+)""",
    re.DOTALL,
)


def words(text: str) -> list[str]:
    """The words of a configuration, without comments; marks stand for themselves."""
    found = []
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup or ""
        if kind != "comment":
            found.append(token[kind])
    return found


def dump(nginx: Path, directory: Path, service: str) -> dict[str, list[str]]:
    """What nginx reads for a service of the lab in ``directory``: file, relative to it -> its words.

    Fails where nginx refuses the configuration.
    """
    arguments = ["-p", f"{directory}/", "-c", f"{directory}/{service}/nginx.conf", "-T", "-g", "user root root;"]
    (directory / "run").mkdir(exist_ok=True)
    done = subprocess.run([nginx, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr, done.stderr
    _, *pieces = _FILE.split(done.stdout)
    return {
        name.removeprefix(f"{directory}/"): words(text) for name, text in zip(pieces[::2], pieces[1::2], strict=True)
    }

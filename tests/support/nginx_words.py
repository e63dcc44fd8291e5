"""Reads what `nginx -T` prints, by nginx's own rules: the directives in order, their words, blocks as "{" and "}"."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

# A comment, a quoted word, a mark, or a plain word; a backslash takes the next character along.
_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)|"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>(?:\\.|[^'\\])*)'|(?P<mark>[{};])"""
    r"""|(?P<plain>(?:\\.|\$\{[^}]*\}|[^\s;{}\\])+)""",
    re.DOTALL,
)


class Refused(Exception):  # noqa: N818  a fact, not an error of a test
    """nginx cannot read a certificate or key."""


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

    Raises:
        Refused: nginx cannot read a certificate or key.
        AssertionError: it refuses the configuration for another reason, or warns.
    """
    arguments = ["-p", f"{directory}/", "-c", f"{directory}/{service}/nginx.conf", "-T"]
    if os.geteuid() == 0:  # else nginx looks for an unprivileged user; from others it takes none, and says so
        arguments += ["-g", "user root root;"]
    (directory / "run").mkdir(exist_ok=True)
    done = subprocess.run([nginx, *arguments], capture_output=True, check=False)
    said = done.stderr.decode(errors="replace")
    if "cannot load certificate" in said:
        raise Refused(said)
    assert done.returncode == 0, said
    assert "[warn]" not in said, said
    _, *pieces = os.fsdecode(done.stdout).split(f"# configuration file {directory}/")
    files = [piece.partition(":\n") for piece in pieces]
    return {name: words(text) for name, _, text in files}

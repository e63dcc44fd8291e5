"""Runs the commands of README and docs, and compares or writes what they print.

Usage: python docs/samples.py [--write] [PAGE...]

A sample is a fenced block of the language ``console``. Lines that begin with ``$ `` are commands, the others are what
they print, on stdout and stderr. All commands of a page are typed into one shell, in an empty directory, on plain nginx
processes. Above a block may stand:

- ``<!-- keep: REGEX -->``: only lines that match are shown; ``...`` stands for others between them.
- ``<!-- not run: REASON -->``: the block needs what is not everywhere, or takes too long.

What is another one at each run (times, serial numbers, versions) is masked before texts are compared; the page keeps
what it has. The lab's name and ports are shown as the default ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "lab"))

from mtlslab.plan.spec import DEFAULT_NAME, LabSpec  # noqa: E402  the checkout's own package
from mtlslab.runtime.ports import free_port, pick_ports  # noqa: E402

_BLOCK = re.compile(r"(?:^<!-- (keep|not run): (.+?) -->\n)?^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = "$ "
_CUT = "..."
_SECONDS = 300
_SERVE_PORT = "8890"  # of `mtlslab serve`
# What differs from run to run or from machine to machine -> what stands for it when texts are compared.
_MASKS = (
    (re.compile(r"\b[0-9A-F]{30,40}\b"), "SERIAL"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d)?)?"), "DATE"),
    (re.compile(r"\b\d+ days left"), "N days left"),
    (re.compile(r"\b\d+(?:\.\d+)? s\b"), "N s"),
    (re.compile(r"\b(?:pids?|process|Python|nginx) +[\d.]+(?:, [\d.]+)*"), "NUMBER"),
    (re.compile(r"self.signed"), "self-signed"),
    (re.compile(r" +"), " "),
)


@dataclasses.dataclass(frozen=True)
class Sample:
    """One block of a page.

    Attributes:
        start, end: where what is between the fences stands in the page.
        keep: regular expression for the lines that are shown; empty for all.
        commands: what is typed.
    """

    start: int
    end: int
    keep: str
    commands: tuple[str, ...]


def pages() -> list[Path]:
    """The pages that have samples which are run."""
    return [path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if list(samples_in(path))]


def samples_in(page: Path) -> Iterator[Sample]:
    """The samples of a page that are run."""
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        kind, what, body = block.groups()
        commands = tuple(_commands(body))
        if kind != "not run" and commands:
            yield Sample(block.start(3), block.end(3), what if kind == "keep" else "", commands)


def rendered(page: Path) -> str:
    """The page with what its commands print now; what is the same but for masked parts stays as it is."""
    samples = list(samples_in(page))
    outputs = iter(_outputs([command for sample in samples for command in sample.commands]))
    text = page.read_text(encoding="utf-8")
    pieces, end = [], 0
    for sample in samples:
        new = "".join(_shown(command, next(outputs), sample.keep) for command in sample.commands)
        old = text[sample.start : sample.end]
        pieces += [text[end : sample.start], old if masked(old) == masked(new) else new]
        end = sample.end
    return "".join([*pieces, text[end:]])


def masked(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, word in _MASKS:
        text = pattern.sub(word, text)
    return text


def _commands(body: str) -> Iterator[str]:
    """The commands of a block; one that ends with a backslash goes on in the next line."""
    lines = iter(body.splitlines())
    for line in lines:
        if line.startswith(_PROMPT):
            command = [line.removeprefix(_PROMPT)]
            while command[-1].endswith("\\"):
                command.append(next(lines))
            yield "\n".join(command)


def _shown(command: str, output: str, keep: str) -> str:
    lines: list[str] = []
    for line in output.splitlines():
        wanted = not keep or re.search(keep, line)
        if wanted or lines[-1:] != [_CUT]:
            lines.append(line.rstrip() if wanted else _CUT)
    return "\n".join([f"{_PROMPT}{command}", *lines]) + "\n"


def _outputs(commands: list[str]) -> list[str]:
    """What each command prints, typed one after the other into one shell."""
    name = f"s-{uuid.uuid4().hex[:10]}"
    with tempfile.TemporaryDirectory() as directory:
        spec = pick_ports(LabSpec(name=name, tls_port=0, mtls_port=0))
        serve_port = free_port("127.0.0.1")
        usual = LabSpec(name=DEFAULT_NAME)
        here = {
            usual.name: name,
            str(usual.tls_port): str(spec.tls_port),
            str(usual.mtls_port): str(spec.mtls_port),
            _SERVE_PORT: str(serve_port),
        }
        mark = uuid.uuid4().hex
        typed = (f"{_replaced(command, here)}\ns=$?; printf '\\n%s\\n' {mark}; (exit $s)\n" for command in commands)
        environment = {**_environment(Path(directory), spec), "MTLSLAB_PORT": str(serve_port)}
        try:
            done = _run("exec 2>&1\ncd here\n" + "".join(typed), directory, environment)
        finally:
            if list(Path(directory).glob("here/*/lab.json")):
                _run("mtlslab down --purge", directory, environment)
        back = {value: key for key, value in here.items()} | {f"{directory}/here": "."}
        outputs = _replaced(done, back).split(f"\n{mark}\n")
        return [output.removesuffix("\n") for output in outputs[:-1]]


def _run(script: str, directory: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    return done.stdout


def _replaced(text: str, words: Mapping[str, str]) -> str:
    pattern = "|".join(rf"(?<![\w.]){re.escape(word)}(?!\w)" for word in words)
    return re.sub(pattern, lambda found: words[found[0]], text)


def _environment(directory: Path, spec: LabSpec) -> dict[str, str]:
    """Plain processes, a width of 100 columns, and nobody's settings."""
    home, programs = directory / "home", directory / "bin"
    for place in (home, programs, directory / "here"):
        place.mkdir()
    # On a terminal curl shows no progress of a page that it prints.
    (home / ".curlrc").write_text("silent\nshow-error\n")
    program = programs / "mtlslab"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}/lab" exec "{sys.executable}" -m mtlslab "$@"\n')
    program.chmod(0o755)
    usual = {key: value for key, value in os.environ.items() if not key.startswith("MTLSLAB_")}
    return {
        **{key: value for key, value in usual.items() if not key.lower().endswith("_proxy")},
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
        "MTLSLAB_RUNTIME": "embedded",
        "MTLSLAB_NAME": spec.name,
        "MTLSLAB_TLS_PORT": str(spec.tls_port),
        "MTLSLAB_MTLS_PORT": str(spec.mtls_port),
    }


def main() -> int:
    """Compare pages, or write them; returns 1 if one is not as its commands print."""
    parser = argparse.ArgumentParser(description="Compare the samples of README and docs with what is printed now.")
    parser.add_argument("--write", action="store_true", help="write what is printed into the pages")
    parser.add_argument("page", nargs="*", type=Path, help="default: all pages with samples")
    options = parser.parse_args()
    differing = 0
    for page in [path.resolve() for path in options.page] or pages():
        old, new = page.read_text(encoding="utf-8"), rendered(page)
        if old == new:
            continue
        differing += 1
        if options.write:
            page.write_text(new, encoding="utf-8")
        else:
            sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), str(page), "now"))
    return int(differing > 0 and not options.write)


if __name__ == "__main__":
    sys.exit(main())

"""The project's own files, and the help of every command: what is promised there is so."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mtlslab
import pytest
import typer
import yaml
from mtlslab.cli.lazy import GROUPS
from mtlslab.cli.main import app
from mtlslab.errors import ExitCode
from packaging.requirements import Requirement
from packaging.version import Version
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{32}")
SCRIPTS = sorted(path for path in (ROOT / ".ci").iterdir() if path.suffix != ".txt")

# Options that Typer makes itself, and those that end the program before any setting matters.
WITHOUT_VARIABLE = {"--help", "--version", "--install-completion", "--show-completion"}


def _commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that lead to it, groups and the program itself included."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop()
        yield words, command
        waiting.extend(((*words, name), child) for name, child in getattr(command, "commands", {}).items())


COMMANDS = dict(sorted(_commands()))
every_command = pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "mtlslab")


def _help(words: tuple[str, ...]) -> str:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0, result.output
    return result.output


def _section(text: str, title: str) -> list[str]:
    """The indented lines below a title of a help text, up to the next empty line."""
    _, found, rest = text.partition(f"{title}:\n")
    assert found, f"no section {title!r} in:\n{text}"
    return [line.strip() for line in rest.split("\n\n")[0].splitlines()]


def _examples(words: tuple[str, ...]) -> list[list[str]]:
    """The arguments of each example, without the program's name and without what it is said to do."""
    commands = [re.split(r"\s{2,}", line)[0] for line in _section(_help(words), "Examples")]
    assert all(command.startswith("mtlslab") for command in commands), commands
    return [shlex.split(command)[1:] for command in commands]


@every_command
def test_help_has_examples_that_the_program_understands(words: tuple[str, ...]) -> None:
    """An example names no command or option that does not exist, and shows the command that it stands with."""
    examples = _examples(words)
    assert examples
    for example in examples:
        assert tuple(example[: len(words)]) == words
        _parse(example)


def _parse(arguments: list[str]) -> None:
    """Read a command line as the program does, without running it."""
    command = typer.main.get_command(app)
    context = command.make_context("mtlslab", list(arguments))
    while rest := [*context._protected_args, *context.args]:
        name, child, rest = command.resolve_command(context, rest)  # type: ignore[attr-defined]
        context = child.make_context(name, rest, parent=context)
        command = child
        if not hasattr(command, "commands"):
            return


@pytest.mark.parametrize("words", [words for words, command in COMMANDS.items() if hasattr(command, "commands")])
def test_no_summary_is_cut_on_a_screen_of_80_columns(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A group lists each of its commands on one line, with the whole first sentence of the command's help."""
    monkeypatch.setenv("COLUMNS", "80")
    text = _help(words)
    titles = ("Commands",) if words else tuple(GROUPS)
    told = dict(line.split(maxsplit=1) for title in titles for line in _section(text, title))
    commands = COMMANDS[words].commands
    assert told == {name: " ".join(command.help.split("\n\n")[0].split()) for name, command in commands.items()}
    assert all(len(f"  {line}") <= 80 for title in titles for line in _section(text, title))


@every_command
def test_help_lists_exit_codes_that_are_documented(words: tuple[str, ...]) -> None:
    """Success, wrong usage and interruption can happen to every command; no number without a meaning."""
    codes = {int(line.split()[0]) for line in _section(_help(words), "Exit codes")}
    assert {ExitCode.OK, ExitCode.INTERRUPTED} <= codes
    assert codes <= {*map(int, ExitCode), 70}


@every_command
def test_every_option_has_its_environment_variable(words: tuple[str, ...]) -> None:
    """MTLSLAB_<FLAG>, derived from the flag by rule, and shown in the help."""
    text = _help(words)
    for option in COMMANDS[words].params:
        flag = next((name for name in option.opts if name.startswith("--")), None)
        if flag is None or flag in WITHOUT_VARIABLE:
            continue
        variable = "MTLSLAB_" + flag.removeprefix("--").replace("-", "_").upper()
        assert option.envvar == variable
        assert variable in text


@every_command
def test_every_command_and_option_says_what_it_does(words: tuple[str, ...]) -> None:
    """No bare flag in a help text; -h is the same as --help."""
    command = COMMANDS[words]
    assert command.help
    assert all(option.help for option in command.params if option.param_type_name == "option"), command.name
    assert CliRunner().invoke(app, [*words, "-h"]).output == _help(words)


@every_command
def test_the_output_option_is_spelled_the_same_everywhere(words: tuple[str, ...]) -> None:
    """-o, --output and nothing else."""
    for option in COMMANDS[words].params:
        if "-o" in option.opts or "--output" in option.opts:
            assert sorted(option.opts) == ["--output", "-o"]


@pytest.mark.parametrize(("shell", "typed"), [("bash", "mtlslab ver"), ("zsh", "mtlslab ver"), ("fish", "mtlslab ver")])
def test_shells_can_complete_commands(shell: str, typed: str) -> None:
    """What the completion script of each shell asks the program is answered."""
    asked = {
        "COMP_WORDS": typed,
        "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": typed,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    program = "import sys; sys.argv[0] = 'mtlslab'; from mtlslab.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "_MTLSLAB_COMPLETE": f"complete_{shell}", **asked},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "verify" in done.stdout
    assert "down" not in done.stdout.split()


def _tracked() -> list[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no Git checkout")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]  # also in somebody else's checkout
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_private_key_is_in_the_repository() -> None:
    """Neither by its name nor by its content."""
    for path in _tracked():
        assert path.suffix not in (".key", ".p12", ".pfx"), path
        assert not PRIVATE_KEY.search(path.read_bytes()), path


def test_the_lock_pins_every_dependency_by_version_and_hash() -> None:
    """Every requirement of pyproject.toml, extras and build backend included, is in it at a version that fits."""
    locked = _locked()
    assert locked
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    for requirement in map(Requirement, [*wanted, *PROJECT["build-system"]["requires"]]):
        assert requirement.name in locked, f"{requirement.name}: make lock"
        assert requirement.specifier.contains(locked[requirement.name]), f"{requirement}: make lock"


def _locked() -> dict[str, Version]:
    """Name -> version of all that constraints.txt pins; every entry has hashes."""
    locked = {}
    for entry in re.split(r"\n(?=[a-zA-Z0-9])", re.sub(r"^\s*#.*\n", "", CONSTRAINTS, flags=re.MULTILINE)):
        requirement, *hashes = (line.strip(" \\") for line in entry.strip().splitlines())
        name, version = re.fullmatch(r"([a-z0-9-]+)==([^ ;]+)(?: ; .+)?", requirement).groups()  # type: ignore[union-attr]
        assert hashes, f"{name} has no hash"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), name
        locked[name] = Version(version)
    return locked


def test_the_lock_names_no_index_and_no_path() -> None:
    """Where packages come from is the business of the machine that installs them."""
    for lock in (CONSTRAINTS, (ROOT / ".ci/scanners.txt").read_text()):
        assert "://" not in lock
        assert not re.search(r"index-url|find-links|trusted-host|file:| @ ", lock)


def test_the_changelog_tells_of_this_version() -> None:
    """A version without an entry is one that nobody was told of."""
    assert f"## [{mtlslab.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_stop_at_the_first_error(script: Path) -> None:
    """They parse, and neither a failed command nor an unset variable goes unnoticed."""
    assert "\nset -euo pipefail\n" in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)


def test_the_checks_can_be_started_by_name() -> None:
    """All scripts are executable but those that are only read by others (.sh)."""
    assert ROOT / ".ci" / "run" in SCRIPTS
    for script in SCRIPTS:
        assert os.access(script, os.X_OK) == (script.suffix != ".sh"), script


def _make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_make_alone_lists_every_target() -> None:
    """What can be made is found by typing four letters."""
    listed = set(re.findall(r"^  make (\w+)  +\S", _make(), flags=re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert phony
    assert listed == set(phony[1].split())


def test_the_demo_starts_the_lab_and_then_proves_it() -> None:
    """Its last words are the verdict of ``verify``."""
    steps = [line for line in _make("--dry-run", "demo").splitlines() if "mtlslab" in line and "echo" not in line]
    assert [line.split("/")[-1] for line in steps[-2:]] == ["mtlslab up", "mtlslab verify"]


def test_the_hosted_workflow_runs_the_same_checks_as_everybody() -> None:
    """It installs what brings the checkout, and leaves the rest to .ci/run."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert [step for step in job["steps"] if "uses" in step] == [{"uses": "actions/checkout@v4"}]
    assert job["steps"][-1] == {"run": "bash .ci/run"}
    assert workflow["permissions"] == {"contents": "read"}


@pytest.mark.parametrize(
    ("form", "asked"),
    [
        ("wrong_verdict.yml", ("verify -o json", "--version", "doctor")),
        ("engine.yml", ("--debug", "doctor", "docker version")),
    ],
)
def test_the_issue_forms_are_valid_and_ask_for_what_helps(form: str, asked: tuple[str, ...]) -> None:
    """As GitHub's form schema has it: a name, a description, and elements of known kinds with a label each."""
    text = (ROOT / ".github/ISSUE_TEMPLATE" / form).read_text()
    document = yaml.safe_load(text)
    assert document["name"]
    assert document["description"]
    elements = document["body"]
    assert {element["type"] for element in elements} <= {"input", "textarea", "dropdown"}
    assert len({element["id"] for element in elements}) == len({element["attributes"]["label"] for element in elements})
    assert len({element["id"] for element in elements}) == len(elements)
    assert all(isinstance(option, str) for element in elements for option in element["attributes"].get("options", []))
    assert any(element["validations"]["required"] for element in elements)
    assert [words for words in asked if words not in text] == []


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/adding.md"])
def test_a_guide_names_only_files_that_are_there(document: str) -> None:
    """Whoever follows it finds what it names; words in capitals stand for a name."""
    named = re.findall(
        r"(?:^|[`( ])((?:tests|lab|templates|docs|\.ci|\.github)/[\w./-]*)", (ROOT / document).read_text()
    )
    assert len(named) >= 8
    assert [path for path in named if "NAME" not in path and not (ROOT / path).exists()] == []

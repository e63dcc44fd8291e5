"""What README and docs say that can be looked up is so: links, commands, tables, counts, limits."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import typer
from mtlslab.cli.lazy import COMMANDS, GROUPS
from mtlslab.cli.main import app
from mtlslab.cli.options import MEANINGS
from mtlslab.errors import ExitCode
from mtlslab.pki.faults import FAULTS
from mtlslab.plan.paths import CLIENT_CA, SERVER_CA
from mtlslab.plan.services import Limits
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.embedded import logfile
from mtlslab.verify.checks import catalogue
from mtlslab.verify.proof.mutants import CONTROLS, MUTANTS
from mtlslab.verify.rules.catalogue import CATALOGUE

from tests.support.cli import ROOT

README = (ROOT / "README.md").read_text()
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
# For users: their commands are typed as they stand. The others tell of the past, or of how the program is built.
GUIDES = [ROOT / "README.md", *(ROOT / f"docs/{name}.md" for name in ("lesson", "running", "proving", "certificates"))]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
every_guide = pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)


def told(pattern: str) -> list[str]:
    """What the guides say at a place, wherever it stands; at least once."""
    found = [match for page in GUIDES for match in re.findall(pattern, " ".join(page.read_text().split()))]
    assert found, pattern
    return found


def table(text: str, heading: str) -> dict[str, str]:
    """The rows of the Markdown table with that first heading: first cell -> second cell."""
    rows = text.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows]
    return {first: second for first, second, *_ in cells}


# --- links


@every_page
def test_every_link_leads_to_a_file_and_a_heading_that_is_there(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in set(_anchors(target)), link


def _anchors(page: Path) -> Iterator[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_contents_name_every_page_for_readers() -> None:
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= set(re.findall(r"\(docs/([\w-]+\.md)\) \|", README))


def test_what_a_newcomer_needs_first_stands_first() -> None:
    """Problem, picture, what the words mean, install, the block that turns red, commands, platforms, contents."""
    headings = re.findall(r"^## (.+)$", README, re.MULTILINE)
    assert headings == [
        "What TLS, a CA and mutual TLS are",
        *("Install", "One line turns it red", "The commands", "Platforms", "Contents"),
    ]
    assert README.index("docs/mutual-tls.svg") < README.index("## What TLS") < README.index("pipx install")
    assert len(README.splitlines()) < 120


# --- commands


@every_guide
def test_every_command_on_a_page_is_one_that_the_program_understands(page: Path) -> None:
    text = page.read_text()
    typed = [*re.findall(r"^\$ (mtlslab .+)$", text, re.MULTILINE), *re.findall(r"`(mtlslab [^`\n]+)`", text)]
    assert typed
    for line in typed:
        words = shlex.split(line.partition(" > ")[0])[1:]
        if len(words) == 1:
            assert words[0] in COMMANDS or words == ["--install-completion"]
        elif not {"COMMAND", "ID", "WORD"} & {*words}:
            _parse(words)


def _parse(arguments: list[str]) -> None:
    """Read a command line as the program does, without running it."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("mtlslab", list(arguments))
    while hasattr(command, "commands") and (rest := [*context._protected_args, *context.args]):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context, resilient_parsing="--help" in rest)


def test_the_table_of_commands_is_that_of_the_help() -> None:
    assert table(README, "command") == {f"mtlslab {name}": summary for name, (_, summary) in COMMANDS.items()}
    assert [*table(README, "command")] == [f"mtlslab {name}" for group in GROUPS.values() for name in group]


def test_the_table_of_exit_codes_is_that_of_the_help() -> None:
    codes = {int(code): meaning for code, meaning in table((ROOT / "docs/running.md").read_text(), "exit code").items()}
    assert codes.pop(70) == "a bug in mtlslab"
    assert codes.pop(int(ExitCode.INTERRUPTED)).startswith(MEANINGS[ExitCode.INTERRUPTED])
    assert codes == {int(code): meaning for code, meaning in MEANINGS.items() if code is not ExitCode.INTERRUPTED}


# --- numbers


def test_counts_are_those_of_the_tables() -> None:
    certificates = len(FAULTS) - 1 + 1  # without the fault "no certificate", with the lab's own client
    assert {*told(r"(\d+) kinds of client certificates")} == {str(certificates)}
    assert {*told(r"and (\d+) rules judge it")} == {str(len(CATALOGUE))}
    # The sample is one on plain processes.
    twins, mutants = (sum(one.in_processes for one in table.values()) for table in (CONTROLS, MUTANTS))
    assert {*told(r"no false alarm on (\d+) faithful twins")} == {str(twins)}
    assert {*told(r"caught (\d+ of \d+) mutants")} == {f"{mutants} of {mutants}"}
    assert {*told(r"none of (\d+) checks failed")} == {str(len(catalogue(crl=crl))) for crl in (False, True)}


def test_limits_are_those_of_the_plan() -> None:
    limits = Limits()
    assert told(r"may take (\d+) MiB of memory") == [str(limits.memory >> 20)]
    assert told(r"of memory and (\d+) processes") == [str(limits.processes)]
    assert told(r"keeps (\d+) MB of log") == [str(int(limits.log_size.removesuffix("m")) * limits.log_files)]
    assert told(r"Logs of processes keep (\d+) MiB") == [str(logfile.ROTATE_BYTES >> 20)]
    assert {*told(r"official `([^`]+)`")} == {LabSpec().image}


def test_the_python_that_is_needed_is_that_of_the_project() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert {*told(r"Python (3\.\d+) or newer")} == {wanted}


# --- the picture


def test_the_picture_is_text_and_has_colours_for_light_and_dark() -> None:
    """It loads nothing, and names what the lab has."""
    source = (ROOT / "docs/mutual-tls.svg").read_text()
    picture = ET.fromstring(source)  # noqa: S314  our own file
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    shown = " ".join("".join(node.itertext()) for node in picture.iter("{http://www.w3.org/2000/svg}text"))
    spec = LabSpec()
    for word in (str(spec.tls_port), str(spec.mtls_port), Path(SERVER_CA).name, Path(CLIENT_CA).name, "client CA"):
        assert word in shown
    assert "prefers-color-scheme: dark" in source
    assert re.findall(r"(?:href|src|url)\W*(?:https?:)?//", source) == []
    assert not list(picture.iter("{http://www.w3.org/2000/svg}image"))

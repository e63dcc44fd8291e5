"""A format is a function and a row of a table: what is added there is offered, explained, refused and rendered."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from pathlib import Path

import pytest
from mtlslab import output
from mtlslab.cli.main import app
from mtlslab.output import Look, Writer, render_report
from mtlslab.plan.choices import one_of
from mtlslab.verify.report import Report
from typer.testing import CliRunner

from tests.support.in_process import invoke
from tests.support.report_values import MIXED

TABLES: dict[str, MutableMapping[str, Writer]] = {
    "verify": output.VERIFY_FORMATS,
    "verify --list": output.LIST_FORMATS,
    "verify --prove": output.PROOF_FORMATS,
    "audit": output.AUDIT_FORMATS,
    "explain": output.PAGE_FORMATS,
    "diff": output.DIFF_FORMATS,
    "explain --list": output.LIST_FORMATS,
}
# What else the command needs to come as far as the format.
NEEDED: dict[str, tuple[str, ...]] = {
    "verify": (),
    "verify --list": (),
    "verify --prove": (),
    "audit": ("https://localhost:1",),
    "explain": ("expired",),
    "diff": (),
    "explain --list": (),
}
every_place = pytest.mark.parametrize("command", TABLES)


def completed(line: str) -> list[str]:
    """What the shell is offered for the last word of a line."""
    asked = {"_MTLSLAB_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    return CliRunner().invoke(app, [], prog_name="mtlslab", env=asked).output.split()


def help_of(command: str) -> str:
    return " ".join(invoke(command.partition(" ")[0], "--help").out.split())


def count(value: object, _look: Look) -> str:
    """A format from outside: how many there are."""
    return f"{len(value.findings) if isinstance(value, Report) else len(str(value))} counted\n"


@every_place
def test_a_format_added_from_outside_is_offered_everywhere(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the help, to the shell, and in the hint of an error: before and after one row of the table."""
    before = list(TABLES[command])
    assert completed(f"mtlslab {command} -o ") == before
    assert "counted" not in help_of(command)
    monkeypatch.setitem(TABLES[command], "counted", count)
    assert set(completed(f"mtlslab {command} -o ")) == {*before, "counted"}
    assert one_of(TABLES[command]) in help_of(command)
    refused = invoke(*command.split(), *NEEDED[command], "-o", "nonsense")
    assert refused.code == 2
    assert f"Use one of: {', '.join(TABLES[command])}" in refused.err


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for table in (output.REPORT_FORMATS, output.LIST_FORMATS, output.PAGE_FORMATS):
        monkeypatch.setitem(table, "counted", count)


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("verify", "--only", "tls-serves-with-ca", "-o", "counted"), 6),
        (("verify", "--list", "-o", "counted"), 0),
        (("audit", "https://localhost:1", "-o", "counted"), 6),
        (("explain", "expired", "-o", "counted"), 0),
        (("explain", "--list", "-o", "counted"), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_format_added_from_outside_is_rendered(
    arguments: Sequence[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lab that does not run and a port that is closed have reports, too."""
    monkeypatch.chdir(tmp_path)
    assert invoke("render", "--key-type", "ec-p256", "--tls-port", "1", "--mtls-port", "2").code == 0
    done = invoke(*arguments)
    assert done.code == code, done.err
    assert done.out.endswith(" counted\n")
    assert int(done.out.split()[0]) > 0


@pytest.mark.usefixtures("counted")
def test_one_row_serves_verify_and_audit() -> None:
    assert "counted" in output.VERIFY_FORMATS
    assert render_report(MIXED, "counted") == f"{len(MIXED.findings)} counted\n"


@pytest.mark.parametrize(
    ("choices", "words"), [(("a",), "a"), (("a", "b"), "a or b"), (("a", "b", "c"), "a, b or c")], ids=str
)
def test_choices_are_told_as_a_sentence_has_them(choices: Sequence[str], words: str) -> None:
    assert one_of(choices) == words

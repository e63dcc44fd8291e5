"""A setting of the lab is declared once, beside LabSpec: options, variables, help and lab.json follow."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from mtlslab.cli.main import app
from mtlslab.plan.spec import LabSpec, Setting, lab_settings

from tests.support.cli import ROOT, Run
from tests.support.in_process import invoke

# What a lab has, and no user sets: its name is that of the directory or --name, the token is a secret.
NO_SETTINGS = {"name", "log_token"}
# Settings that take not every text.
TEXTS = {"listen": "127.0.0.2"}


def _another(setting: Setting) -> Any:
    """Another value than the default, as lab.json holds it."""
    if setting.choices:
        return [choice for choice in setting.choices if choice != setting.default][-1]
    if setting.type is bool:
        return not setting.default
    if setting.type is int:
        return setting.default + 100
    return ["lab.test", "192.0.2.1"] if isinstance(setting.default, tuple) else TEXTS.get(setting.field, "other")


def _typed(setting: Setting) -> list[str]:
    """The words that set it."""
    value = _another(setting)
    if isinstance(value, bool):
        return [f"--{'' if value else 'no-'}{setting.option}"]
    values = value if isinstance(value, list) else [value]
    return [word for one in values for word in (f"--{setting.option}", str(one))]


def _variable(setting: Setting) -> tuple[str, str]:
    value = _another(setting)
    name = "MTLSLAB_" + setting.option.replace("-", "_").upper()
    return name, " ".join(value) if isinstance(value, list) else str(value)


OPTIONS = [word for setting in lab_settings() for word in _typed(setting)]
VARIABLES = dict(map(_variable, lab_settings()))
EXPECTED = {setting.field: _another(setting) for setting in lab_settings()}
every_setting = pytest.mark.parametrize("setting", lab_settings(), ids=lambda item: item.field)


def test_every_field_is_a_setting_or_known_to_be_none() -> None:
    assert {field.name for field in dataclasses.fields(LabSpec)} - NO_SETTINGS == {one.field for one in lab_settings()}


@every_setting
@pytest.mark.parametrize("command", ["up", "render"])
def test_a_setting_is_the_same_option_of_both_commands(setting: Setting, command: str) -> None:
    """Nothing is set without the user: a default of the option would hide what lab.json says."""
    options = {option.name: option for option in typer.main.get_command(app).commands[command].params}  # type: ignore[attr-defined]
    option = options[setting.field]
    assert option.opts == [f"--{setting.option}"]
    assert option.help.startswith(setting.help.removesuffix("."))
    assert option.default is None
    assert isinstance(setting.default, bool | tuple) or option.help.endswith(f" [{setting.default}]")
    assert all(choice in option.help for choice in setting.choices)


def test_every_setting_reaches_lab_json_by_option_and_by_variable(tmp_path: Path) -> None:
    assert invoke("render", "--dir", tmp_path / "a", *OPTIONS).code == 0
    assert invoke("render", "--dir", tmp_path / "b", **VARIABLES).code == 0
    for directory in ("a", "b"):
        spec = json.loads((tmp_path / directory / "lab.json").read_text())["spec"]
        assert {key: spec[key] for key in EXPECTED} == EXPECTED


def test_what_is_not_typed_stays_as_it_was(tmp_path: Path) -> None:
    """Also what may be repeated: no --host at all is no wish for an empty list."""
    assert invoke("render", "--dir", tmp_path / "a", *OPTIONS).code == 0
    before = json.loads((tmp_path / "a" / "lab.json").read_text())["spec"]
    assert invoke("render", "--dir", tmp_path / "a").code == 0
    assert json.loads((tmp_path / "a" / "lab.json").read_text())["spec"] == before


# --- a setting more, in a copy of the program: one line of the spec, one line of a template

FIELD = '    greeting: str = setting("none", "What the server says of itself.", choices=("none", "warm"))\n'
DIRECTIVE = '        add_header X-Greeting "{{ spec.greeting }}";\n'


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The source root of a copy of the program in which the spec has a field more, and a template uses it."""
    place = tmp_path / "copy"
    for name in ("lab", "templates"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "docker-compose.yml.j2", place)
    _insert(place / "lab/mtlslab/plan/spec.py", r"^    image: str = setting\(", FIELD)
    _insert(place / "templates/nginx-mtls.conf.j2", r"^        ssl_verify_client ", DIRECTIVE)
    return place / "lab"


def _insert(file: Path, before: str, line: str) -> None:
    text, count = re.subn(before, lambda found: line + found[0], file.read_text(), flags=re.MULTILINE)
    assert count == 1, file
    file.write_text(text)


def _run(source: Path, *arguments: str, cwd: Path, **more: str) -> Run:
    environment = {**os.environ, "PYTHONPATH": str(source), "COLUMNS": "200", **more}
    command = [sys.executable, "-c", "import sys; sys.argv[0] = 'mtlslab'; from mtlslab.cli.main import main; main()"]
    done = subprocess.run(
        [*command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Run(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("command", ["up", "render"])
def test_a_new_setting_is_in_the_help(copy: Path, tmp_path: Path, command: str) -> None:
    said = " ".join(_run(copy, command, "--help", cwd=tmp_path).out.split())
    assert "--greeting <str> What the server says of itself: none or warm. [none] [env var: MTLSLAB_GREETING]" in said


def test_a_new_setting_is_completed(copy: Path, tmp_path: Path) -> None:
    typed = {
        "_MTLSLAB_COMPLETE": "complete_bash",
        "COMP_WORDS": "mtlslab render --greeting w",
        "COMP_CWORD": "3",
    }
    assert _run(copy, cwd=tmp_path, **typed).out.split() == ["warm"]


def test_a_new_setting_reaches_the_server_and_lab_json_and_stays(copy: Path, tmp_path: Path) -> None:
    options = ("--key-type", "ec-p256", "--greeting", "warm")
    for words in (options, ()):
        done = _run(copy, "render", *words, cwd=tmp_path)
        assert done.code == 0, done.err
        assert json.loads((tmp_path / "mtls-lab/lab.json").read_text())["spec"]["greeting"] == "warm"
        assert 'X-Greeting "warm"' in (tmp_path / "mtls-lab/nginx-mtls/nginx.conf").read_text()


def test_a_wrong_value_of_a_new_setting_is_refused(copy: Path, tmp_path: Path) -> None:
    refused = _run(copy, "render", cwd=tmp_path, MTLSLAB_GREETING="cold")
    assert (refused.code, "greeting 'cold': use one of none, warm" in refused.err) == (2, True), refused.err

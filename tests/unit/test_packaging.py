"""What is handed out: the sdist, and the wheel that is built from it, work without this checkout."""

from __future__ import annotations

import configparser
import email
import re
import sys
from pathlib import Path

import mtlslab
import pytest

from tests.support.built import Built, build, require_complete
from tests.support.cli import ROOT

TEMPLATES = {
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "docker-compose.yml.j2", *(ROOT / "templates").rglob("*"))
    if path.is_file()
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both archives of this checkout."""
    return build(tmp_path_factory.mktemp("built"))


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    """No tests, no docs, no stray file on the import path of whoever installs it."""
    assert {name.split("/")[0] for name in built.wheel_names()} == {
        "mtlslab",
        f"mtlslab-{mtlslab.__version__}.dist-info",
    }


def test_the_wheel_holds_every_module_and_the_type_marker(built: Built) -> None:
    """PEP 561: without py.typed the annotations are invisible to a user's type checker."""
    modules = {path.relative_to(ROOT / "lab").as_posix() for path in (ROOT / "lab").rglob("*.py")}
    assert modules | {"mtlslab/py.typed"} <= built.wheel_names()


def test_the_wheel_holds_the_templates_unchanged(built: Built) -> None:
    """They stand at the top level of the checkout and inside the package in the wheel."""
    assert TEMPLATES
    for template in TEMPLATES:
        assert (built.from_wheel / "mtlslab" / "_templates" / template).read_bytes() == (ROOT / template).read_bytes()


def test_the_wheel_offers_the_command_and_the_licence(built: Built) -> None:
    """One script, MIT, and the licence's text goes along."""
    entry_points = configparser.ConfigParser()
    entry_points.read_string(built.wheel_text("entry_points.txt"))
    assert dict(entry_points["console_scripts"]) == {"mtlslab": "mtlslab.__main__:main"}
    metadata = email.message_from_string(built.wheel_text("METADATA"))
    assert metadata["License-Expression"] == "MIT"
    assert built.wheel_text("licenses/LICENSE") == (ROOT / "LICENSE").read_text()


def test_tools_of_developers_are_no_dependency_of_users(built: Built) -> None:
    """What only tests and checks need is behind an extra, and so is nginx, which many machines have."""
    metadata = email.message_from_string(built.wheel_text("METADATA"))
    required = metadata.get_all("Requires-Dist", [])
    plain = {re.split(r"[^a-z0-9_-]", line)[0] for line in required if "extra ==" not in line}
    assert plain == {"crossplane", "cryptography", "docker", "h2", "jinja2", "psutil", "pyyaml", "typer"}
    assert set(metadata.get_all("Provides-Extra", [])) == {"embedded", "dev"}


def test_the_sdist_holds_what_a_developer_needs(built: Built) -> None:
    """From the sdist alone everything can be built, tested and checked again."""
    for needed in (
        "Makefile",
        "constraints.txt",
        "tests/conftest.py",
        ".ci/run",
        ".github/workflows/ci.yml",
        "CHANGELOG.md",
        "SECURITY.md",
        *TEMPLATES,
    ):
        assert (built.from_sdist / needed).is_file(), needed


def test_no_private_key_is_handed_out(built: Built) -> None:
    """A lab that somebody made inside the checkout stays there."""
    for place in (built.from_wheel, built.from_sdist):
        assert not [path for path in place.rglob("*") if path.suffix in (".key", ".p12", ".pem")]


@pytest.mark.parametrize(("kind", "source"), [("from_wheel", "."), ("from_sdist", "lab")])
def test_an_unpacked_archive_runs(built: Built, kind: str, source: str, tmp_path: Path) -> None:
    """``python -m mtlslab`` finds itself and its templates: it writes a whole lab."""
    require_complete([sys.executable, "-m", "mtlslab"], tmp_path, PYTHONPATH=str(getattr(built, kind) / source))


def test_a_checkout_runs_from_anywhere(tmp_path: Path) -> None:
    """With its directory lab/ on the path and nothing installed."""
    require_complete([sys.executable, "-m", "mtlslab"], tmp_path, PYTHONPATH=str(ROOT / "lab"))

"""What is handed out: the sdist, and the wheel that is built from it, work without this checkout."""

from __future__ import annotations

import configparser
import dataclasses
import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import mtlslab
import pytest

ROOT = Path(__file__).parents[2]
TEMPLATES = {
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "docker-compose.yml.j2", *(ROOT / "templates").rglob("*"))
    if path.is_file()
}


@dataclasses.dataclass(frozen=True)
class Built:
    """Both archives and the directories that they were unpacked into."""

    wheel: Path
    sdist: Path
    from_wheel: Path
    from_sdist: Path

    def wheel_names(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def wheel_text(self, name: str) -> str:
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.read(f"mtlslab-{mtlslab.__version__}.dist-info/{name}").decode()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist of this checkout, and the wheel that is built from that sdist, so that the sdist is proved complete.

    Without isolation: the build backend is the installed, locked one, and nothing is fetched.
    """
    place = tmp_path_factory.mktemp("built")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", place, ROOT],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wheel = place / f"mtlslab-{mtlslab.__version__}-py3-none-any.whl"
    sdist = place / f"mtlslab-{mtlslab.__version__}.tar.gz"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "wheel")  # noqa: S202 - our own archive, made a moment ago
    with tarfile.open(sdist) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.0 to 3.11.3 have none
        tar.extractall(place / "sdist")  # noqa: S202 - our own archive, made a moment ago
    return Built(wheel, sdist, place / "wheel", place / "sdist" / f"mtlslab-{mtlslab.__version__}")


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
    assert dict(entry_points["console_scripts"]) == {"mtlslab": "mtlslab.cli.main:main"}
    metadata = email.message_from_string(built.wheel_text("METADATA"))
    assert metadata["License-Expression"] == "MIT"
    assert built.wheel_text("licenses/LICENSE") == (ROOT / "LICENSE").read_text()


def test_tools_of_developers_are_no_dependency_of_users(built: Built) -> None:
    """What only tests and checks need is behind an extra, and so is nginx, which many machines have."""
    metadata = email.message_from_string(built.wheel_text("METADATA"))
    required = metadata.get_all("Requires-Dist", [])
    plain = {re.split(r"[^a-z0-9_-]", line)[0] for line in required if "extra ==" not in line}
    assert plain == {"cryptography", "docker", "jinja2", "psutil", "typer"}
    assert set(metadata.get_all("Provides-Extra", [])) == {"embedded", "dev"}


def test_the_sdist_holds_what_a_developer_needs(built: Built) -> None:
    """From the sdist alone everything can be built, tested and checked again."""
    for needed in (
        "Makefile",
        "constraints.txt",
        "tests/conftest.py",
        ".ci/run",
        "CHANGELOG.md",
        "SECURITY.md",
        *TEMPLATES,
    ):
        assert (built.from_sdist / needed).is_file(), needed


def test_no_private_key_is_handed_out(built: Built) -> None:
    """A lab that somebody made inside the checkout stays there."""
    for place in (built.from_wheel, built.from_sdist):
        assert not [path for path in place.rglob("*") if path.suffix in (".key", ".p12", ".pem")]


def _run(tree: Path, cwd: Path, *arguments: str) -> str:
    """The standard output of ``python -m mtlslab``, with the package taken from ``tree``."""
    done = subprocess.run(
        [sys.executable, "-m", "mtlslab", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["from_wheel", "from_sdist"])
def test_an_unpacked_archive_runs(built: Built, kind: str, tmp_path: Path) -> None:
    """``python -m mtlslab`` finds itself and its templates: it writes a whole lab."""
    tree = getattr(built, kind)
    where = subprocess.run(
        [sys.executable, "-c", "import mtlslab; print(mtlslab.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()) == tree / "mtlslab" / "__init__.py"
    assert _run(tree, tmp_path, "--version").strip() == f"mtlslab {mtlslab.__version__}"
    _run(tree, tmp_path, "render", "--dir", "demo", "--key-type", "ec-p256")
    for rendered in (
        "nginx-tls/nginx.conf",
        "nginx-mtls/nginx.conf",
        "nginx-mtls/hello-world.txt",
        "docker-compose.yml",
    ):
        assert (tmp_path / "demo" / rendered).stat().st_size > 0

"""Installed in each way that people install it, mtlslab is whole, also beside another package called ``lab``."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REQUIRE_ENGINE
from tests.support.built import Built, build, require_complete

# A package of somebody else whose import package is called like the directory that ours lies in.
LAB = "lab==8.10 --hash=sha256:e6d8577e1a74a7b3a84ffc3e4794fc91e753c51502bf6a3bb7994e6afeecff8a\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def lab_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the package ``lab``; without a network a named skip, a failure in CI, which has just used one."""
    place = tmp_path_factory.mktemp("lab")
    (place / "requirements.txt").write_text(LAB)
    words = ("download", "--quiet", "--no-deps", "--require-hashes", "-r", "requirements.txt")
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words], cwd=place, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode and ("HASHES" in done.stderr or REQUIRE_ENGINE):
        pytest.fail(done.stderr)
    if done.returncode:
        pytest.skip(f"the package lab cannot be had: {done.stderr.strip().splitlines()[-1]}")
    (wheel,) = place.glob("lab-*.whl")
    return wheel


class Environment:
    """A fresh virtual environment; what mtlslab depends on is taken from the one that runs the tests."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.python = place / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
        own = self.says("import sysconfig; print(sysconfig.get_path('purelib'))")
        (Path(own) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def pip(self, *words: str | Path) -> None:
        """Run pip on this environment; nothing is fetched."""
        command = [sys.executable, "-m", "pip", "--python", self.python, "--quiet", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr

    def install(self, *words: str | Path) -> None:
        """Install files that are there, whatever the environment of the tests has of the same name."""
        self.pip("install", "--no-index", "--no-deps", "--ignore-installed", "--no-build-isolation", *words)

    def says(self, program: str) -> str:
        """What a Python program prints, started where nothing of ours lies."""
        command = [str(self.python), "-I", "-c", program]
        return subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout.strip()


def from_wheel(environment: Environment, built: Built) -> Path:
    environment.install(built.wheel)
    return environment.place


def from_sdist(environment: Environment, built: Built) -> Path:
    environment.install(built.sdist)
    return environment.place


def editable(environment: Environment, built: Built) -> Path:
    """A copy of the checkout, as ``make`` installs it; returns where the package lies then."""
    checkout = environment.place.parent / "checkout"
    shutil.copytree(built.from_sdist, checkout)
    environment.install("--editable", checkout)
    return checkout / "lab"


@pytest.mark.parametrize("way", [from_wheel, from_sdist, editable], ids=lambda way: way.__name__)
def test_each_way_to_install_gives_the_whole_program(
    built: Built, way: Callable[[Environment, Built], Path], tmp_path: Path
) -> None:
    """As a command, as ``python -m mtlslab``, and through a link from elsewhere, as pipx makes it."""
    environment = Environment(tmp_path / "venv")
    home = way(environment, built)
    assert Path(environment.says("import mtlslab; print(mtlslab.__file__)")).is_relative_to(home)
    link = tmp_path / "bin" / "mtlslab"
    link.parent.mkdir()
    link.symlink_to(environment.place / "bin" / "mtlslab")
    installed, python = str(environment.place / "bin/mtlslab"), str(environment.python)
    for number, program in enumerate(([installed], [python, "-m", "mtlslab"], [str(link)])):
        place = tmp_path / f"place-{number}"
        place.mkdir()
        require_complete(program, place)


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "theirs first"])
def test_it_lives_beside_the_package_lab(built: Built, lab_wheel: Path, ours_first: bool, tmp_path: Path) -> None:
    """Both work in one environment, and either goes without a trace in the other."""
    environment = Environment(tmp_path / "venv")
    for wheel in (built.wheel, lab_wheel) if ours_first else (lab_wheel, built.wheel):
        environment.install(wheel)
    require_complete([str(environment.place / "bin/mtlslab")], tmp_path)
    assert environment.says("import lab; print(lab.__version__)") == "8.10"
    environment.pip("uninstall", "--yes", "lab")
    shutil.rmtree(tmp_path / "demo")
    require_complete([str(environment.python), "-m", "mtlslab"], tmp_path)


def test_the_wheels_have_no_file_in_common(built: Built, lab_wheel: Path) -> None:
    with zipfile.ZipFile(lab_wheel) as archive:
        theirs = set(archive.namelist())
    assert "lab/__init__.py" in theirs
    assert not {name.split("/")[0] for name in theirs} & {name.split("/")[0] for name in built.wheel_names()}

"""What is handed out: the sdist of this checkout, and the wheel that is built from that sdist."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import mtlslab
from mtlslab.plan.services import SERVICES

from tests.support.cli import ROOT


@dataclasses.dataclass(frozen=True)
class Built:
    """Both archives and the directories that they were unpacked into."""

    wheel: Path
    sdist: Path
    from_wheel: Path
    from_sdist: Path

    def wheel_names(self) -> set[str]:
        """Paths of all files in the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def wheel_text(self, name: str) -> str:
        """A file of the wheel's metadata."""
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.read(f"mtlslab-{mtlslab.__version__}.dist-info/{name}").decode()


def build(place: Path) -> Built:
    """Build both below ``place``: the wheel from the sdist, so that the sdist is proved complete.

    Without isolation: the build backend is the installed, locked one, and nothing is fetched.
    """
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


def require_complete(program: list[str], place: Path, **more: str) -> None:
    """The program knows its version and has its templates: in the empty directory ``place`` it writes a whole lab.

    Args:
        program: the command that is ``mtlslab``.
        place: where it is started.
        more: variables of its environment, which names nothing of this checkout otherwise.
    """
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*program, *arguments],
            cwd=place,
            env={**inherited, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("--version") == f"mtlslab {mtlslab.__version__}\n"
    run("render", "--dir", "demo", "--key-type", "ec-p256")
    for service in SERVICES:
        for name in ("nginx.conf", "listen.conf", "listen.container.conf", "hello-world.txt"):
            assert (place / "demo" / service / name).stat().st_size > 0
    assert (place / "demo/docker-compose.yml").stat().st_size > 0

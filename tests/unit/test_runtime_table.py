"""A runtime is a module and a row in the table: a third one from outside is offered and asked everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mtlslab.errors import LabError, SpecError
from mtlslab.runtime.base import Runtime
from mtlslab.runtime.choose import Runtimes
from mtlslab.runtime.table import RUNTIMES

from tests.support import third_runtime
from tests.support.cli import ROOT, SOURCE, Run, mtlslab
from tests.support.in_process import NO_ENGINE

OFFERED = "auto, swarm, docker or embedded"


@pytest.fixture
def swarm_file(tmp_path: Path) -> Path:
    """What runs in the swarm."""
    file = tmp_path / "swarm.txt"
    file.touch()
    return file


def run(place: str, *arguments: str, cwd: Path, **more: str) -> Run:
    """Run a command of the program that has the third runtime, in that place of the table."""
    environment = {**os.environ, **NO_ENGINE, "SWARM_FILE": str(cwd / "swarm.txt"), "COLUMNS": "200", **more}
    environment["PYTHONPATH"] = os.pathsep.join([str(SOURCE), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", third_runtime.PROGRAM, place, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Run(done.returncode, done.stdout, done.stderr)


def test_help_and_completion_offer_it(swarm_file: Path) -> None:
    here = swarm_file.parent
    assert f"{OFFERED}." in run("first", "up", "--help", cwd=here).out
    typed = {"_MTLSLAB_COMPLETE": "complete_bash", "COMP_WORDS": "mtlslab up --runtime s", "COMP_CWORD": "3"}
    assert run("first", cwd=here, **typed).out.split() == ["swarm"]


def test_an_unknown_name_is_refused_with_all_known_ones(swarm_file: Path) -> None:
    refused = run("first", "up", "--runtime", "nomad", cwd=swarm_file.parent)
    assert refused.code == 2
    assert "auto, swarm, docker, embedded" in refused.err
    assert not (swarm_file.parent / "mtls-lab").exists()


def test_doctor_looks_at_it(swarm_file: Path) -> None:
    assert "ok  swarm runtime     Swarm 1" in run("last", "doctor", cwd=swarm_file.parent).out
    swarm_file.unlink()
    signs = run("last", "doctor", cwd=swarm_file.parent).out
    assert "--  swarm runtime     There is no swarm." in signs
    assert "Make a swarm." in signs


def test_the_named_one_is_started_and_no_other(swarm_file: Path) -> None:
    """Its own refusal is what the user sees: no other runtime has taken its place without a word."""
    options = ("--key-type", "ec-p256", "--tls-port", "0", "--mtls-port", "0")
    up = run("last", "up", "--runtime", "swarm", *options, cwd=swarm_file.parent)
    assert (up.code, "The swarm was asked to start mtls-lab." in up.err) == (3, True), up.err


def test_auto_tries_them_in_the_order_of_the_table(swarm_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_FILE", str(swarm_file))
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE["DOCKER_HOST"])
    said: list[str] = []
    for name in list(RUNTIMES):
        monkeypatch.delitem(RUNTIMES, name)
    monkeypatch.setitem(RUNTIMES, "docker", third_runtime.OTHERS["docker"])
    monkeypatch.setitem(RUNTIMES, "swarm", third_runtime.__name__)
    assert Runtimes(None, say=said.append).choose("auto").name == "swarm"
    assert said[-1].startswith("Runtime: swarm, because Docker cannot be used: Cannot reach Docker")
    swarm_file.unlink()
    with pytest.raises(LabError, match="Neither Docker nor a swarm can be used") as none:
        Runtimes(None).choose("auto")
    assert "There is no swarm." in none.value.why
    assert "Make a swarm." in none.value.hint
    swarm_file.touch()
    monkeypatch.delitem(RUNTIMES, "docker")
    assert Runtimes(None, say=said.append).choose("auto").name == "swarm"
    assert said[-1] == "Runtime: swarm, because a swarm can be used."


def test_status_logs_and_down_ask_it(swarm_file: Path) -> None:
    """Also where lab.json tells nothing of it, and where there is no workspace at all."""
    here = swarm_file.parent
    swarm_file.write_text("mtls-lab nginx-tls\nmtls-lab nginx-mtls\n")
    seen = json.loads(run("last", "status", "-o", "json", cwd=here).out)
    assert [(row["runtime"], row["service"]) for row in seen["services"]] == [
        ("swarm", "nginx-tls"),
        ("swarm", "nginx-mtls"),
    ]
    assert "a line of the swarm" in run("last", "logs", cwd=here).out
    assert run("last", "down", cwd=here).out == "Removed: nginx-tls, nginx-mtls.\n"
    assert swarm_file.read_text() == ""


def test_a_lab_that_ran_in_it_is_not_forgotten_while_it_is_out_of_reach(swarm_file: Path) -> None:
    """As with Docker: what runs may come back with it, so `down` does not say that all is well."""
    here = swarm_file.parent
    assert run("last", "render", "--key-type", "ec-p256", cwd=here).code == 0
    record = here / "mtls-lab" / "lab.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "runtime": "swarm"}))
    swarm_file.unlink()
    assert "There is no swarm." in run("last", "down", cwd=here).err
    # A version that has no such runtime cannot tell what runs, and says so.
    for command in ("down", "status", "reload"):
        without = mtlslab(command, cwd=here, **NO_ENGINE)
        assert (without.code, "'swarm', which is not known" in without.err) == (2, True), without.err
    # Whoever wants to be rid of the lab is told, and is.
    purged = mtlslab("down", "--purge", cwd=here, **NO_ENGINE)
    assert (purged.code, "'swarm', which is not known" in purged.err) == (0, True), purged.err
    assert not record.exists()


def test_hints_name_all_other_runtimes(swarm_file: Path) -> None:
    refused = run("last", "up", "--runtime", "docker", cwd=swarm_file.parent)
    assert "or run without Docker: --runtime embedded or --runtime swarm" in refused.err


def test_no_name_outside_the_table_opens_anything() -> None:
    with pytest.raises(SpecError, match="no runtime 'swarm'"):
        Runtimes(None).named("swarm")


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_row_is_called_as_its_runtime_calls_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """lab.json remembers the one and looks for the other."""
    found = Runtimes(None).problem(name)
    if found is None:
        runtime: Runtime = Runtimes(None).named(name)
        assert runtime.name == name

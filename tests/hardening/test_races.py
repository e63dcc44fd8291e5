"""Many at once, and interrupted: one lab in the end or none, and nobody else's is touched."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.cli import ROOT, Run, command, environment, mtlslab

EMBEDDED = ("--runtime", "embedded", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
DOCKER = ("--runtime", "docker", *EMBEDDED[2:])
BUSY = "Another mtlslab is at work on this lab."
TABLE = "table"
# Steps of the signals lie between each other, so that together they cover more points.
FIRST_STEP = {signal.SIGINT: 2, signal.SIGTERM: 4, signal.SIGHUP: 6}
# Runs `up` and sends itself a signal at the N-th step, with the steps of kill_up.py.
INTERRUPTED_UP = """
import os, runpy, signal, sys
number, real = int(sys.argv.pop(1)), os.kill
os.kill = lambda pid, n: real(pid, number if (pid, n) == (os.getpid(), signal.SIGKILL) else n)
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def masters(name: str) -> list[psutil.Process]:
    label = f"MTLSLAB_LAB={name};"
    return [item for item in psutil.process_iter(["cmdline"]) if label in " ".join(item.info["cmdline"] or [])]


def at_once(commands: list[list[str]], place: Path) -> list[Run]:
    """Start commands at the same moment and wait for all of them."""
    running = [
        subprocess.Popen(words, cwd=place, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for words in commands
    ]
    ended = [(item, *item.communicate(timeout=120)) for item in running]
    assert not any("Traceback" in err for _, _, err in ended), ended
    return [Run(item.returncode, out, err) for item, out, err in ended]


@pytest.fixture
def place(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    """A directory whose lab is taken down after the test."""
    yield tmp_path
    mtlslab("down", "--purge", "--name", lab_name, cwd=tmp_path)


def require_all_well(runs: list[Run]) -> None:
    for run in runs:
        assert run.code == 0 or (run.code == 3 and BUSY in run.err), run


def test_twenty_ups_at_the_same_moment_make_one_lab(place: Path, lab_name: str) -> None:
    runs = at_once([command("up", "--name", lab_name, *EMBEDDED)] * 20, place)
    require_all_well(runs)
    assert any(run.code == 0 for run in runs)
    # All that succeeded tell of the same lab: its ports are those that were picked once.
    spec = json.loads((place / lab_name / "lab.json").read_text())["spec"]
    for run in runs:
        assert run.code or f":{spec['mtls_port']}/" in run.out
    assert len(masters(lab_name)) == 2
    assert mtlslab("verify", "--name", lab_name, "--only", "tls-serves-with-ca", cwd=place).code == 0


@pytest.mark.engine
def test_ups_at_the_same_moment_make_one_lab_in_docker(place: Path, lab_name: str, engine: Any) -> None:
    runs = at_once([command("up", "--name", lab_name, *DOCKER)] * 6, place)
    require_all_well(runs)
    assert any(run.code == 0 for run in runs)
    label = {"label": f"mtlslab.lab={lab_name}"}
    assert len(engine.containers.list(all=True, filters=label)) == 2
    assert len(engine.networks.list(filters=label)) == 1


def test_the_same_up_typed_twice_keeps_the_ports_that_were_picked(place: Path, lab_name: str) -> None:
    words = ("up", "--name", lab_name, *EMBEDDED)
    assert mtlslab(*words, cwd=place).code == 0
    before = {item.pid for item in masters(lab_name)}
    assert len(before) == 2
    assert "it already ran as asked" in mtlslab(*words, cwd=place).out
    assert {item.pid for item in masters(lab_name)} == before


def test_up_and_down_racing_end_as_the_last_one_says_and_leave_a_neighbour_alone(place: Path, lab_name: str) -> None:
    neighbour = f"{lab_name}-n"
    assert mtlslab("up", "--name", neighbour, *EMBEDDED, cwd=place).code == 0
    before = {item.pid for item in masters(neighbour)}
    assert len(before) == 2
    try:
        up, down = command("up", "--name", lab_name, *EMBEDDED), command("down", "--name", lab_name)
        assert mtlslab(*up[3:], cwd=place).code == 0
        require_all_well(at_once([up, down] * 5, place))
        assert mtlslab(*down[3:], cwd=place).code == 0
        assert masters(lab_name) == []
        assert mtlslab(*up[3:], cwd=place).code == 0
        assert {item.pid for item in masters(neighbour)} == before
    finally:
        mtlslab("down", "--name", neighbour, cwd=place)


def test_purges_at_the_same_moment_as_ups_end_well(place: Path, lab_name: str) -> None:
    up, purge = command("up", "--name", lab_name, *EMBEDDED), command("down", "--purge", "--name", lab_name)
    assert mtlslab(*up[3:], cwd=place).code == 0
    require_all_well(at_once([purge, up] * 4, place))
    assert mtlslab(*purge[3:], cwd=place).code == 0
    assert masters(lab_name) == []
    assert [path.name for path in place.iterdir()] == []


def interrupted(number: int, kind: str, step: int, arguments: tuple[str, ...], place: Path) -> str:
    """Run `up` and interrupt it at a step; the step's name, empty when `up` had fewer."""
    driver = str(ROOT / "tests/support/kill_up.py")
    words = [sys.executable, "-c", INTERRUPTED_UP, str(int(number)), driver, kind, str(step), *arguments]
    done = subprocess.run(words, cwd=place, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    names = [line.removeprefix("STEP ") for line in done.stderr.splitlines() if line.startswith("STEP ")]
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == (130 if names else 0), done.stderr
    return names[0] if names else ""


@pytest.mark.parametrize("number", FIRST_STEP, ids=lambda number: number.name)
def test_an_interrupted_up_ends_with_130_and_nothing_runs(
    number: signal.Signals, place: Path, lab_name: str, record_property: Callable[[str, object], None]
) -> None:
    rows, arguments = [], ("--name", lab_name, *EMBEDDED)
    step = FIRST_STEP[number]
    while name := interrupted(number, "any", step, arguments, place):
        assert masters(lab_name) == [], name
        rows.append(f"{step:>3}  {name:<45} {number.name}: 130, nothing runs")
        step += 7
        if step % 2:  # the next one meets an empty place, not the files of this one
            mtlslab("down", "--purge", "--name", lab_name, cwd=place)
    record_property(TABLE, rows)
    assert len(rows) >= 4
    assert len({item.pid for item in masters(lab_name)}) >= 2  # the last one went through


@pytest.mark.engine
@pytest.mark.parametrize("number", FIRST_STEP, ids=lambda number: number.name)
def test_an_interrupted_up_leaves_no_container_and_no_network(
    number: signal.Signals, place: Path, lab_name: str, engine: Any
) -> None:
    first = FIRST_STEP[number] // 2
    step, arguments = first, ("--name", lab_name, *DOCKER)
    label = {"label": f"mtlslab.lab={lab_name}"}
    while interrupted(number, "engine", step, arguments, place):
        assert engine.containers.list(all=True, filters=label) == []
        assert engine.networks.list(filters=label) == []
        step += 3
    assert step > first

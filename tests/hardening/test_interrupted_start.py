"""An interrupt that comes while nginx is being started: what was begun is found and ended, and no thread is stuck."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mtlslab.runtime.embedded import processes
from mtlslab.runtime.embedded.marks import Mark, marked

from tests.support.cli import mtlslab, python

# Clears the arguments that /proc/PID/cmdline shows, as they are between exec and the first instruction.
NAMELESS = """
import ctypes, sys, time
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
begin, end = int(fields[45]), int(fields[46])
ctypes.memset(begin, 0, end - begin)
print("ready", flush=True)
time.sleep(60)
"""
# Runs the program and writes every module that is looked for in another thread than the main one.
WATCHED = """
import sys, threading
class Watch:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread():
            sys.stderr.write(f"IMPORT {threading.current_thread().name} {name}\\n")
sys.meta_path.insert(0, Watch())
sys.argv[0] = "mtlslab"
from mtlslab.__main__ import main
main()
"""
SMALL = ("--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")


@pytest.fixture
def mark(tmp_path: Path, lab_name: str) -> Mark:
    return Mark(lab_name, "nginx-tls", tmp_path, Path(sys.executable), os.geteuid(), os.getegid())


@pytest.fixture
def place(tmp_path: Path, lab_name: str) -> Iterator[Path]:
    yield tmp_path
    mtlslab("down", "--purge", "--name", lab_name, cwd=tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and memory files")
def test_a_process_that_shows_no_title_yet_is_found_by_its_mark(mark: Mark) -> None:
    with marked(mark) as inherited:
        child = subprocess.Popen(
            [sys.executable, "-c", NAMELESS], pass_fds=inherited, stdout=subprocess.PIPE, start_new_session=True
        )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert not processes.title(psutil.Process(child.pid))
        assert [item.process.pid for item in processes.scan(mark.lab).masters] == [child.pid]
    finally:
        child.kill()
        child.communicate()


@pytest.mark.skipif(sys.platform != "linux", reason="needs memory files")
def test_a_child_between_fork_and_exec_is_waited_for(mark: Mark, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, key = os.pipe()
    with marked(mark) as inherited:
        os.set_inheritable(inherited[0], True)
        child = os.fork()
        if child == 0:
            os.setsid()
            os.read(gate, 1)
            os.execv(sys.executable, [sys.executable, "-c", NAMELESS])  # noqa: S606  it is the step under test
    asked, title = threading.Event(), processes.title

    def watched(process: psutil.Process) -> str:
        shown = title(process)
        if process.pid == child and not asked.is_set():
            asked.set()
            os.write(key, b"x")
        return shown

    try:
        monkeypatch.setattr(processes, "title", watched)
        processes.await_programs()
        assert asked.is_set()
        assert title(psutil.Process(child)) != title(psutil.Process())
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(gate)
        os.close(key)


def test_up_imports_nothing_in_a_thread_that_an_interrupt_would_wait_for(
    place: Path, lab_name: str, nginx_binary: Path
) -> None:
    words = ["up", "--name", lab_name, "--runtime", "embedded", "--nginx", str(nginx_binary), *SMALL]
    assert _imports_in_threads(words, place) == []
    assert _imports_in_threads([*words, "--rotate-certs"], place) == []


@pytest.mark.engine
def test_up_imports_nothing_in_a_thread_in_docker(place: Path, lab_name: str) -> None:
    assert _imports_in_threads(["up", "--name", lab_name, "--runtime", "docker", *SMALL], place) == []


def _imports_in_threads(words: list[str], place: Path) -> list[str]:
    done = python(WATCHED, *words, cwd=place)
    assert done.code == 0, done.err
    return [line for line in done.err.splitlines() if line.startswith("IMPORT")]

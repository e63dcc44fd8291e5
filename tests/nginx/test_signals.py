"""Signals that end the program: each takes the way out of Ctrl-C, more of them change nothing, nohup is respected."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from mtlslab.lifecycle import interrupts

from tests.support.cli import command, environment, mtlslab

ENDING = ("INT", "TERM", "HUP", "QUIT", "XCPU", "USR1", "USR2")
# The command that `serve` runs: a client that sends its parent signals and then ends with a status of its own.
OWN_STATUS = 7


@pytest.fixture
def place(tmp_path: Path, lab_name: str) -> Path:
    """A directory that is a lab."""
    done = mtlslab("render", "--name", lab_name, "--key-type", "ec-p256", cwd=tmp_path)
    assert done.code == 0, done.err
    return tmp_path / lab_name


def served(place: Path, script: str, *before: str) -> int:
    """The exit status of `serve` whose client is a shell script, started by the words ``before``."""
    words = [*before, *command("serve", "good", "--port", "0", "--", "sh", "-c", script)]
    done = subprocess.run(words, cwd=place, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode


@pytest.mark.parametrize("name", ENDING)
def test_a_signal_that_ends_the_program_ends_it_with_130(name: str, place: Path) -> None:
    assert served(place, f"kill -{name} $PPID; exit {OWN_STATUS}") == 130


@pytest.mark.parametrize("name", ENDING)
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(name: str, place: Path) -> None:
    """As `nohup` does with SIGHUP, and a shell with SIGINT for what it starts in the background."""
    ignoring = ("sh", "-c", f'trap "" {name}; exec "$@"', "sh")
    assert served(place, f"kill -{name} $PPID; exit {OWN_STATUS}", *ignoring) == OWN_STATUS


def test_nohup_keeps_the_program_alive(place: Path) -> None:
    assert served(place, f"kill -HUP $PPID; exit {OWN_STATUS}", "nohup") == OWN_STATUS


def test_logs_that_are_followed_end_with_130_when_the_terminal_closes(
    tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    up = ("up", "--name", lab_name, "--runtime", "embedded", "--key-type", "ec-p256", "--tls-port", "0")
    assert mtlslab(*up, "--mtls-port", "0", cwd=tmp_path).code == 0
    try:
        words = command("logs", "-f", "--name", lab_name)
        with subprocess.Popen(words, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE) as following:
            assert following.stdout
            assert following.stdout.readline()
            following.send_signal(signal.SIGHUP)
            following.stdout.read()
        assert following.returncode == 130
    finally:
        mtlslab("down", "--purge", "--name", lab_name, cwd=tmp_path)


# --- the way out itself


@pytest.fixture
def listening() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    interrupts.listen()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_more_signals_do_not_disturb_the_clean_up(listening: None) -> None:
    """A closed terminal sends SIGHUP, its shell sends it again; people press Ctrl-C twice."""
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGHUP)
    for number in interrupts.SIGNALS:
        signal.raise_signal(number)


def clean_up(done: list[str], number: signal.Signals = signal.SIGTERM) -> None:
    """Two blocks, one in the other; a signal comes in the inner one."""
    with interrupts.undisturbed():
        with interrupts.undisturbed():
            signal.raise_signal(number)
            done.append("inner")
        done.append("outer")


def fail_to_clean_up() -> None:
    with interrupts.undisturbed():
        signal.raise_signal(signal.SIGTERM)
        raise OSError("the disk is full")


def test_an_interrupt_waits_for_the_end_of_a_clean_up(listening: None) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        clean_up(done)
    assert done == ["inner", "outer"]


def test_a_clean_up_that_hangs_can_be_interrupted_after_a_while(
    listening: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    monkeypatch.setattr(interrupts, "PATIENCE", 0.0)
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        clean_up(done, signal.SIGINT)
    assert done == []


def test_an_interrupt_in_a_clean_up_that_fails_is_still_raised(listening: None) -> None:
    with pytest.raises(KeyboardInterrupt):
        fail_to_clean_up()


def test_a_clean_up_in_another_thread_holds_no_interrupt_back(listening: None) -> None:
    inside, end = threading.Event(), threading.Event()

    def hold() -> None:
        with interrupts.undisturbed():
            inside.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert inside.wait(10)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        end.set()
        thread.join()


def interrupted_work(done: list[str]) -> None:
    """One piece of work is at it and another one waits when the interrupt comes."""
    end = threading.Event()
    with interrupts.worker_pool(1) as pool:
        pool.submit(end.wait, 10)
        pool.submit(done.append, "waiting").add_done_callback(lambda _: end.set())
        raise KeyboardInterrupt


def test_work_that_waits_for_its_turn_is_dropped_when_an_interrupt_comes() -> None:
    """Else whoever presses Ctrl-C in the middle of `verify` would wait for all of its attempts."""
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted_work(done)
    assert done == []

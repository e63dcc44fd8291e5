"""The logs of the embedded runtime: shown, cut to their tail, and followed through truncation and rotation."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE, LabPlan
from mtlslab.runtime.base import LogLine
from mtlslab.runtime.embedded import logwriter, processes
from mtlslab.runtime.embedded.launch import log_writer
from mtlslab.runtime.embedded.logfile import ROTATE_BYTES, LogReader, open_for_append
from mtlslab.runtime.embedded.runtime import EmbeddedRuntime

from tests.support.cli import environment
from tests.support.embedded_lab import eventually, get, is_served, make_lab, nginx_processes


@pytest.fixture
def plan(tmp_path: Path, lab_name: str, free_ports: tuple[int, int]) -> LabPlan:
    return make_lab(tmp_path / "lab", lab_name, free_ports)


@pytest.fixture
def runtime(plan: LabPlan, nginx_binary: Path) -> Iterator[EmbeddedRuntime]:
    runtime = EmbeddedRuntime(nginx_binary, directory=plan.directory)
    yield runtime
    runtime.stop(plan.lab)


def requests(lines: list[LogLine]) -> list[str]:
    """The paths of the requests that a log tells of."""
    return [json.loads(line.text)["request"].split()[1] for line in lines if line.text.startswith("{")]


def test_logs_hold_what_the_server_learnt_about_its_clients(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    get(plan, plan.service(MTLS_SERVICE), "/hello-world.txt?probe=first")
    eventually(lambda: requests(list(runtime.logs(plan.lab, MTLS_SERVICE))) == ["/hello-world.txt?probe=first"])
    assert {line.service for line in runtime.logs(plan.lab)} == {TLS_SERVICE, MTLS_SERVICE}
    assert requests(list(runtime.logs(plan.lab, TLS_SERVICE))) == []


def test_tail_keeps_the_last_lines_of_each_service(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    (plan.directory / "logs").mkdir()
    for service in plan.services:
        (plan.directory / f"logs/{service.name}.log").write_text("one\ntwo\nthree\nfour")
    assert [line.text for line in runtime.logs(plan.lab, tail=2)] == ["two", "three"] * 2
    assert list(runtime.logs(plan.lab, tail=0)) == []
    assert [line.text for line in runtime.logs(plan.lab, TLS_SERVICE)] == ["one", "two", "three"]


@pytest.mark.parametrize("rest", [b"", b"half a line"])
@pytest.mark.parametrize("count", [0, 1, 2, 1999, 2000, 2001, 5000])
def test_a_tail_is_the_end_of_all_lines_however_large_the_file(tmp_path: Path, count: int, rest: bytes) -> None:
    log = tmp_path / "nginx.log"
    lines = [str(number) * (number % 90) for number in range(2000)]  # more than one block, empty lines among them
    log.write_bytes("".join(f"{line}\n" for line in lines).encode() + rest)
    with contextlib.closing(LogReader(log, tail=count)) as reader:
        assert reader.lines() == (lines[-count:] if count else [])


def test_a_tail_reads_no_more_of_a_large_file_than_its_end(tmp_path: Path) -> None:
    log = tmp_path / "nginx.log"
    with log.open("wb") as file:
        file.truncate(1 << 40)  # a hole: to read it would take hours
        file.seek(0, os.SEEK_END)
        file.write(b"\none\ntwo\n")
    with contextlib.closing(LogReader(log, tail=2)) as reader:
        assert reader.lines() == ["one", "two"]


def test_what_comes_after_the_tail_is_read_whole(tmp_path: Path) -> None:
    log = tmp_path / "nginx.log"
    with contextlib.closing(LogReader(log, tail=0)) as reader:
        assert reader.lines() == []
        log.write_text("one\ntwo\n")
        assert reader.lines() == ["one", "two"]


def test_a_lab_that_never_ran_has_no_logs(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    assert list(runtime.logs(plan.lab)) == []
    assert list(runtime.logs(plan.lab, follow=True)) == []
    assert list(EmbeddedRuntime().logs(plan.lab)) == []


def test_the_log_file_is_private_and_keeps_what_earlier_runs_wrote(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    log = plan.directory / "logs/nginx-tls.log"
    first = log.read_text()
    assert first
    assert log.stat().st_mode & 0o777 == 0o600
    assert (plan.directory / "logs").stat().st_mode & 0o777 == 0o700
    runtime.stop(plan.lab)
    runtime.start(plan)
    assert log.read_text().startswith(first)


def test_follow_shows_new_lines_and_ends_with_the_services(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    seen: list[LogLine] = []
    follower = threading.Thread(target=lambda: seen.extend(runtime.logs(plan.lab, TLS_SERVICE, follow=True, tail=0)))
    follower.start()
    get(plan, plan.service(TLS_SERVICE), "/one")
    runtime.stop(plan.lab)
    follower.join(20)
    assert not follower.is_alive()
    # The thread may have begun after the request was logged; what nginx says when it ends comes in any case.
    assert any("exit" in line.text for line in seen)
    assert requests(seen) in (["/one"], [])


def test_follow_gives_each_line_as_it_comes(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    lines = runtime.logs(plan.lab, TLS_SERVICE, follow=True)
    for path in ("/one", "/two"):
        get(plan, plan.service(TLS_SERVICE), path)
        assert next(line for line in lines if line.text.startswith("{")).text.count(path) == 1


def test_a_reader_goes_on_through_truncation_and_rotation(tmp_path: Path) -> None:
    log = tmp_path / "log"
    reader = LogReader(log)
    assert reader.lines() == []
    log.write_text("one\ntw")
    assert reader.lines() == ["one"]
    log.write_text("new\n")  # emptied, then written on: the same file
    assert reader.lines() == ["new"]
    log.rename(tmp_path / "log.1")
    (tmp_path / "log.1").open("a").write("late\n")  # the old writer goes on
    assert reader.lines() == ["late"]
    log.write_text("rotated\n")
    assert [*reader.lines(), *reader.lines()] == ["rotated"]
    log.open("a").write("without an end")
    assert reader.lines() == []
    assert reader.last() == ["without an end"]
    assert reader.last() == []
    reader.close()


def test_a_line_ends_at_its_line_end_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes("a\x0bb\x85c\u2028d\re \xff\n".encode() + b"\xff\xfe\n")
    reader = LogReader(tmp_path / "log")
    assert reader.lines() == ["a\x0bb\x85c\u2028d\re \xff", "\ufffd\ufffd"]
    reader.close()


def test_a_large_log_is_moved_aside_before_it_is_written_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (ROTATE_BYTES + 1))
    os.close(open_for_append(log))
    assert log.read_bytes() == b""
    assert (tmp_path / "log.1").stat().st_size == ROTATE_BYTES + 1


# --- a log is bounded, also when nobody types a command


def shout(plan: LabPlan, total: int) -> int:
    """Have the TLS service write so many bytes into its log, and more; returns the number of (long) requests."""
    count = total // 7000
    for number in range(count):
        get(plan, plan.service(TLS_SERVICE), f"/{'x' * 7000}-{number}")
    return count


def test_a_log_stays_within_its_bound_while_nginx_runs(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    log, older = plan.directory / "logs/nginx-tls.log", plan.directory / "logs/nginx-tls.log.1"
    (plan.directory / "logs").mkdir()
    for _ in range(2):  # the second time an older file is there already
        log.write_bytes(b"x" * (ROTATE_BYTES - 200_000) + b"\n")
        runtime.start(plan)
        first = log.stat().st_ino
        count = shout(plan, 400_000)
        eventually(lambda: log.stat().st_ino != first)  # noqa: B023  it is asked at once
        assert ROTATE_BYTES - 200_000 < older.stat().st_size <= ROTATE_BYTES + 64 * 1024
        assert log.stat().st_size < 400_000
        assert log.stat().st_mode & 0o777 == 0o600
        runtime.stop(plan.lab)
    assert sorted(file.name for file in (plan.directory / "logs").iterdir()) == [
        "nginx-mtls.log",
        "nginx-tls.log",
        "nginx-tls.log.1",
    ]
    # No line was lost or cut where one file ends and the next begins.
    numbers = [int(path.rpartition("-")[2]) for path in requests(list(runtime.logs(plan.lab, TLS_SERVICE)))]
    assert numbers == list(range(count))


def test_a_tail_that_is_longer_than_the_new_file_begins_in_the_older_one(tmp_path: Path) -> None:
    (tmp_path / "log.1").write_text("one\ntwo\nthree\n")
    (tmp_path / "log").write_text("four\nfive\n")
    for tail, begin in ((None, 0), (9, 0), (5, 0), (4, 1), (3, 2), (2, 3), (1, 4), (0, 5)):
        with contextlib.closing(LogReader(tmp_path / "log", tail=tail)) as reader:
            assert reader.lines() == ["one", "two", "three", "four", "five"][begin:]
            (tmp_path / "log").open("a").write("new\n")
            assert reader.lines() == ["new"]
        (tmp_path / "log").write_text("four\nfive\n")


def test_nginx_serves_on_when_nobody_writes_its_log_and_the_next_start_mends_it(
    plan: LabPlan, runtime: EmbeddedRuntime
) -> None:
    runtime.start(plan)
    writer = log_writer(plan.directory, TLS_SERVICE)
    assert writer is not None
    processes.send(writer, signal.SIGKILL)
    eventually(lambda: not processes.is_alive(writer))
    assert is_served(plan, plan.service(TLS_SERVICE))
    assert runtime.start(plan).created == (TLS_SERVICE,)
    get(plan, plan.service(TLS_SERVICE), "/again")
    eventually(lambda: "/again" in requests(list(runtime.logs(plan.lab, TLS_SERVICE))))


def test_the_log_writers_end_with_nginx_however_it_ends(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    writers = [log_writer(plan.directory, service.name) for service in plan.services]
    for process in nginx_processes(plan.directory):
        processes.send(process, signal.SIGKILL)
    eventually(lambda: not any(writer and processes.is_alive(writer) for writer in writers))
    runtime.start(plan)
    writers = [log_writer(plan.directory, service.name) for service in plan.services]
    assert all(writers)
    runtime.stop(plan.lab)
    assert not any(writer and processes.is_alive(writer) for writer in writers)


def written(name: str, limit: int, blocks: bytes, *, output: Path) -> int:
    """Have a log writer take all of that, with a file open for it; its exit status."""
    command = [sys.executable, "-I", "-S", logwriter.__file__, name, str(limit)]
    with output.open("ab") as log:
        return subprocess.run(command, input=blocks, stdout=log, cwd=output.parent, timeout=60, check=False).returncode


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    assert written("log", 1000, b"a line\n" * 100_000, output=Path("/dev/full")) == 0


@pytest.mark.parametrize("stands_there", ["link", "directory"])
def test_what_stands_in_the_place_of_a_new_log_is_left_alone_and_the_bound_holds(
    tmp_path: Path, stands_there: str
) -> None:
    log = tmp_path / "log"
    moved = tmp_path / "moved"
    moved.touch()
    (tmp_path / "outside").write_text("precious")
    if stands_there == "link":
        log.symlink_to(tmp_path / "outside")
    else:
        log.mkdir()
    assert written("log", 1000, b"a line\n" * 100_000, output=moved) == 0
    assert (tmp_path / "outside").read_text() == "precious"
    assert moved.stat().st_size <= 64 * 1024 + 1000


# --- the memory that it takes to show a log

SHOWN = """
import pathlib, resource, sys
from mtlslab.runtime.embedded.runtime import EmbeddedRuntime
runtime = EmbeddedRuntime(directory=pathlib.Path(sys.argv[1]))
list(runtime.logs("none"))
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 32 * 1024 * 1024,) * 2)
tail = int(sys.argv[2]) if len(sys.argv) > 2 else None
print(sum(1 for line in runtime.logs("a-lab", "nginx-tls", tail=tail)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is measured in /proc")
@pytest.mark.parametrize(
    ("line", "tail", "count"),
    [(b"x" * 199 + b"\n", None, 1_000_000), (b"x" * 199 + b"\n", 900_000, 900_000), (b"x" * 200, None, 179)],
    ids=["all", "tail", "one line"],
)
def test_a_large_log_is_shown_in_little_memory(tmp_path: Path, line: bytes, tail: int | None, count: int) -> None:
    """Of short lines, or of a single one without an end, which comes in pieces."""
    (tmp_path / "logs").mkdir()
    with (tmp_path / "logs/nginx-tls.log").open("wb") as log:
        for _ in range(200):
            log.write(line * 5000)
    words = [sys.executable, "-c", SHOWN, str(tmp_path), *([str(tail)] if tail else [])]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout) == count

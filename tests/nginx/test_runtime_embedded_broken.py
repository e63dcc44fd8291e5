"""The embedded runtime when something is broken: killed masters, reused pids, bad files, taken ports."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mtlslab.errors import ExitCode, MachineError
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE, LabPlan
from mtlslab.runtime.base import State
from mtlslab.runtime.embedded import processes
from mtlslab.runtime.embedded.record import RunRecord, read_record, write_record
from mtlslab.runtime.embedded.runtime import EmbeddedRuntime

from tests.support.embedded_lab import (
    edit,
    eventually,
    is_served,
    kill_master,
    listens,
    make_lab,
    master_of,
    nginx_processes,
)


@pytest.fixture
def plan(tmp_path: Path, lab_name: str, free_ports: tuple[int, int]) -> LabPlan:
    return make_lab(tmp_path / "lab", lab_name, free_ports)


@pytest.fixture
def runtime(plan: LabPlan, nginx_binary: Path) -> Iterator[EmbeddedRuntime]:
    runtime = EmbeddedRuntime(nginx_binary, directory=plan.directory)
    yield runtime
    runtime.stop(plan.lab)
    assert nginx_processes(plan.directory) == []


@pytest.fixture
def innocent() -> Iterator[psutil.Process]:
    """A process that has nothing to do with any lab."""
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield psutil.Process(child.pid)
    assert child.poll() is None, "an innocent process was ended"
    child.communicate()
    assert child.returncode == 0


def test_a_killed_master_is_reported_with_the_workers_it_left(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    workers = kill_master(plan, plan.service(MTLS_SERVICE))
    tls, mtls = runtime.status(plan.lab)
    assert (tls.state, mtls.state) == (State.RUNNING, State.EXITED)
    assert all(str(worker.pid) in mtls.detail for worker in workers)


def test_start_works_after_the_master_was_killed_and_its_worker_holds_the_port(
    plan: LabPlan, runtime: EmbeddedRuntime
) -> None:
    runtime.start(plan)
    service = plan.service(MTLS_SERVICE)
    workers = kill_master(plan, service)
    assert listens(plan, service)
    assert runtime.start(plan).created == (MTLS_SERVICE,)
    assert not any(processes.is_alive(worker) for worker in workers)
    assert is_served(plan, service)


def test_stop_finds_orphaned_workers_even_without_the_workspace(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    for service in plan.services:
        kill_master(plan, service)
    shutil.rmtree(plan.directory)
    assert EmbeddedRuntime().stop(plan.lab) == (TLS_SERVICE, MTLS_SERVICE)
    assert not any(listens(plan, service) for service in plan.services)


def test_stop_works_when_the_workspace_is_gone(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    shutil.rmtree(plan.directory)
    assert runtime.stop(plan.lab) == (TLS_SERVICE, MTLS_SERVICE)
    assert not any(listens(plan, service) for service in plan.services)


def test_orphans_of_another_lab_are_left_alone(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    workers = kill_master(plan, plan.service(TLS_SERVICE))
    assert runtime.stop(f"{plan.lab}-2") == ()
    assert runtime.stop(plan.lab[:-1]) == ()
    assert all(processes.is_alive(worker) for worker in workers)


def test_a_killed_worker_is_replaced_by_its_master(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    service = plan.service(TLS_SERVICE)
    master = master_of(plan, service)
    eventually(lambda: master.children() != [])
    for worker in master.children():
        worker.kill()
        worker.wait(20)
    eventually(lambda: bool(processes.serving_workers(processes.scan(plan.lab).of([service.name]).masters[0])))
    assert is_served(plan, service)
    assert runtime.start(plan).kept == (TLS_SERVICE, MTLS_SERVICE)


def test_stop_ends_a_master_that_was_paused(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    master = master_of(plan, plan.service(TLS_SERVICE))
    master.suspend()
    eventually(lambda: runtime.status(plan.lab)[0].state is State.PAUSED)
    assert runtime.stop(plan.lab) == (TLS_SERVICE, MTLS_SERVICE)
    assert not processes.is_alive(master)


def test_start_replaces_a_paused_service(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    master_of(plan, plan.service(TLS_SERVICE)).suspend()
    eventually(lambda: runtime.status(plan.lab)[0].state is State.PAUSED)
    assert runtime.start(plan).created == (TLS_SERVICE,)
    assert is_served(plan, plan.service(TLS_SERVICE))


def test_stop_does_not_wait_for_a_connection_that_stays_open(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    """QUIT lets nginx finish a request that never ends; TERM does not."""
    runtime.start(plan)
    service = plan.service(TLS_SERVICE)
    with socket.create_connection((plan.listen, service.port)) as connection:
        connection.sendall(b"GET /hello")  # the beginning of a request: plain HTTP at a TLS port, and no end to it
        assert runtime.stop(plan.lab) == (TLS_SERVICE, MTLS_SERVICE)
    assert nginx_processes(plan.directory) == []


def test_a_service_that_ended_is_known_by_its_record_until_it_is_stopped(
    plan: LabPlan, runtime: EmbeddedRuntime
) -> None:
    runtime.start(plan)
    master = master_of(plan, plan.service(TLS_SERVICE))
    master.send_signal(signal.SIGQUIT)
    eventually(lambda: not processes.is_alive(master))
    ended = runtime.status(plan.lab)[0]
    assert (ended.service, ended.state, ended.exit_code) == (TLS_SERVICE, State.EXITED, None)
    assert (ended.directory, ended.identity) == (plan.directory, f"pid {master.pid}")
    assert EmbeddedRuntime(directory=plan.directory).status("another-lab") == ()
    assert runtime.stop(plan.lab) == (TLS_SERVICE, MTLS_SERVICE)
    assert runtime.status(plan.lab) == ()


def test_a_pid_that_was_given_to_another_process_is_never_signalled(
    plan: LabPlan, runtime: EmbeddedRuntime, innocent: psutil.Process
) -> None:
    (plan.directory / "run").mkdir()
    (plan.directory / "run/nginx-tls.pid").write_text(f"{innocent.pid}\n")
    for start_time in (1.0, processes.start_time(innocent)):
        record = RunRecord(plan.lab, innocent.pid, start_time, plan.services[0].fingerprint, runtime.describe())
        write_record(plan.directory, TLS_SERVICE, record)
        assert runtime.status(plan.lab)[0].state is State.EXITED
        assert runtime.start(plan).created == (TLS_SERVICE, MTLS_SERVICE)
        write_record(plan.directory, TLS_SERVICE, record)
        assert runtime.stop(plan.lab) == (TLS_SERVICE, MTLS_SERVICE)
    assert innocent.is_running()


def test_a_process_that_only_mentions_the_label_is_not_taken_for_nginx(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    words = f"nginx: master process -p {plan.directory}/ -g daemon off; env MTLSLAB_LAB={plan.lab};"
    script = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script, words], stdin=subprocess.PIPE) as innocent:
        assert runtime.status(plan.lab) == ()
        assert runtime.stop(plan.lab) == ()
        innocent.communicate()
    assert innocent.returncode == 0


def test_a_record_older_than_the_process_is_not_believed(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    record = read_record(plan.directory, TLS_SERVICE)
    assert record is not None
    write_record(plan.directory, TLS_SERVICE, dataclasses.replace(record, start_time=record.start_time - 1))
    assert runtime.status(plan.lab)[0].fingerprint == ""
    assert runtime.start(plan).created == (TLS_SERVICE,)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": []}', '{"pid": 1e999}', "\x00\xff", "[" * 50000])
def test_a_damaged_record_counts_as_none(plan: LabPlan, runtime: EmbeddedRuntime, content: str) -> None:
    runtime.start(plan)
    (plan.directory / "run/nginx-tls.json").write_text(content)
    assert read_record(plan.directory, TLS_SERVICE) is None
    assert runtime.start(plan).created == (TLS_SERVICE,)


def test_a_bad_configuration_fails_in_the_words_of_nginx_and_leaves_nothing(
    plan: LabPlan, runtime: EmbeddedRuntime
) -> None:
    plan = edit(plan, f"{MTLS_SERVICE}/nginx.conf", "ssl_verify_client on;", "ssl_verify_client perhaps;")
    with pytest.raises(MachineError) as failed:
        runtime.start(plan)
    assert "nginx-mtls did not start: it ended with exit code 1" in failed.value.what
    assert 'invalid value "perhaps"' in failed.value.why
    assert runtime.status(plan.lab) == ()
    assert nginx_processes(plan.directory) == []


def test_a_start_that_fails_ends_only_what_it_started(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    kept = master_of(plan, plan.service(TLS_SERVICE))
    broken = edit(plan, f"{MTLS_SERVICE}/nginx.conf", "events {", "event {")
    with pytest.raises(MachineError, match="nginx-mtls did not start"):
        runtime.start(broken)
    assert [item.service for item in runtime.status(plan.lab)] == [TLS_SERVICE]
    assert master_of(plan, plan.service(TLS_SERVICE)) == kept


def test_the_error_shows_only_the_words_of_this_start(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    first = edit(plan, f"{MTLS_SERVICE}/nginx.conf", "events {", "first_fault {")
    with pytest.raises(MachineError, match="did not start"):
        runtime.start(first)
    second = edit(plan, f"{MTLS_SERVICE}/nginx.conf", "first_fault {", "second_fault {")
    with pytest.raises(MachineError) as failed:
        runtime.start(second)
    assert "second_fault" in failed.value.why
    assert "first_fault" not in failed.value.why


def test_a_taken_port_names_its_holder_and_nothing_is_started(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    with socket.create_server((plan.listen, plan.service(MTLS_SERVICE).port)):
        with pytest.raises(MachineError) as failed:
            runtime.start(plan)
        assert f"(pid {os.getpid()}, " in failed.value.what
        assert "--mtls-port 0" in failed.value.hint
        assert failed.value.exit_code is ExitCode.ENVIRONMENT
        assert nginx_processes(plan.directory) == []


def test_links_and_fifos_in_place_of_files_lead_nowhere(
    plan: LabPlan, runtime: EmbeddedRuntime, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    (plan.directory / "run").mkdir()
    (plan.directory / "run/nginx-tls.pid").symlink_to(outside / "precious")
    (plan.directory / "run/nginx-tls-body").symlink_to(outside)
    os.mkfifo(plan.directory / "run/nginx-mtls.json")
    runtime.start(plan)
    assert all(is_served(plan, service) for service in plan.services)
    assert not any(file.is_symlink() for file in (plan.directory / "run").iterdir())
    runtime.stop(plan.lab)
    assert [(file.name, file.read_text()) for file in outside.iterdir()] == [("precious", "precious")]


@pytest.mark.parametrize("place", ["run", "logs", "logs/nginx-tls.log"])
def test_a_link_in_place_of_a_directory_or_log_is_refused(
    plan: LabPlan, runtime: EmbeddedRuntime, tmp_path: Path, place: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (plan.directory / place).parent.mkdir(exist_ok=True)
    (plan.directory / place).symlink_to(outside if "." not in place else outside / "log")
    with pytest.raises(MachineError, match=place):
        runtime.start(plan)
    assert list(outside.iterdir()) == []
    assert nginx_processes(plan.directory) == []


def test_a_fifo_in_place_of_the_log_is_refused_at_once(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    (plan.directory / "logs").mkdir()
    os.mkfifo(plan.directory / "logs/nginx-tls.log")
    with pytest.raises(MachineError, match=r"nginx-tls\.log"):
        runtime.start(plan)


def test_the_label_is_whole_in_the_title_even_without_an_environment(
    plan: LabPlan, runtime: EmbeddedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nginx writes its title over arguments and environment, and cuts off what does not fit."""
    runtime.describe()
    for name in list(os.environ):
        monkeypatch.delenv(name)
    runtime.start(plan)
    for service in plan.services:
        assert f"env MTLSLAB_LAB={plan.lab};" in processes.title(master_of(plan, service))


def test_an_ended_child_of_this_very_program_is_no_zombie(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    masters = [master_of(plan, service) for service in plan.services]
    runtime.stop(plan.lab)
    assert not any(psutil.pid_exists(master.pid) for master in masters)

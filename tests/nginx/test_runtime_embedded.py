"""The embedded runtime starts, keeps, replaces, reloads and stops real nginx processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mtlslab.errors import LabNotFoundError, MachineError, SpecError
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE, LabPlan
from mtlslab.runtime.base import Runtime, Started, State
from mtlslab.runtime.embedded.record import read_record
from mtlslab.runtime.embedded.runtime import EmbeddedRuntime
from mtlslab.runtime.ports import free_port

from tests.support.embedded_lab import edit, get, is_served, listens, make_lab, master_of, nginx_processes

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan(tmp_path: Path, lab_name: str, free_ports: tuple[int, int]) -> LabPlan:
    return make_lab(tmp_path / "lab", lab_name, free_ports)


@pytest.fixture
def runtime(plan: LabPlan, nginx_binary: Path) -> Iterator[EmbeddedRuntime]:
    runtime = EmbeddedRuntime(nginx_binary, directory=plan.directory)
    yield runtime
    runtime.stop(plan.lab)
    assert nginx_processes(plan.directory) == []


def test_it_implements_the_interface_of_runtimes(runtime: EmbeddedRuntime) -> None:
    as_asked: Runtime = runtime
    assert as_asked.name == "embedded"
    assert as_asked.prepare("any", "nginx:1.30") == "nginx:1.30"


def test_start_runs_both_services_as_the_configuration_says(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    assert runtime.start(plan) == Started(created=(TLS_SERVICE, MTLS_SERVICE), kept=())
    for service in plan.services:
        assert get(plan, service).startswith("HTTP/1.1 200 ")
    assert "400 No required SSL certificate was sent" in get(plan, plan.service(MTLS_SERVICE), client=False)


def test_status_tells_what_runs_and_from_where(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    assert runtime.status(plan.lab) == ()
    runtime.start(plan)
    assert [(item.service, item.state, item.directory, item.fingerprint) for item in runtime.status(plan.lab)] == [
        (service.name, State.RUNNING, plan.directory, service.fingerprint) for service in plan.services
    ]
    assert [item.identity for item in runtime.status(plan.lab)] == [
        f"pid {master_of(plan, service).pid}" for service in plan.services
    ]


def test_status_needs_no_workspace_to_find_what_runs(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    assert EmbeddedRuntime().status(plan.lab) == runtime.status(plan.lab)


def test_each_service_is_a_session_of_its_own(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    import os

    runtime.start(plan)
    for service in plan.services:
        pid = master_of(plan, service).pid
        assert (os.getsid(pid), os.getpgid(pid)) == (pid, pid)


def test_a_second_start_keeps_what_runs(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    before = runtime.status(plan.lab)
    assert runtime.start(plan) == Started(created=(), kept=(TLS_SERVICE, MTLS_SERVICE))
    assert runtime.status(plan.lab) == before


def test_start_replaces_only_the_service_that_changed(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    kept = master_of(plan, plan.service(TLS_SERVICE))
    changed = edit(plan, f"{MTLS_SERVICE}/hello-world.txt", "Hello", "Good morning")
    assert runtime.start(changed) == Started(created=(MTLS_SERVICE,), kept=(TLS_SERVICE,))
    assert master_of(plan, plan.service(TLS_SERVICE)) == kept
    assert "Good morning" in get(plan, plan.service(MTLS_SERVICE))


def test_start_replaces_what_another_binary_runs(
    plan: LabPlan, runtime: EmbeddedRuntime, nginx_binary: Path, tmp_path: Path
) -> None:
    runtime.start(plan)
    other = tmp_path / "other-nginx"
    other.symlink_to(nginx_binary)
    started = EmbeddedRuntime(other, directory=plan.directory).start(plan)
    assert started.created == (TLS_SERVICE, MTLS_SERVICE)
    assert len(runtime.status(plan.lab)) == 2


def test_start_replaces_what_runs_from_a_workspace_that_was_moved(
    plan: LabPlan, runtime: EmbeddedRuntime, nginx_binary: Path
) -> None:
    import dataclasses

    runtime.start(plan)
    moved = dataclasses.replace(plan, directory=plan.directory.with_name("moved"))
    plan.directory.rename(moved.directory)
    there = EmbeddedRuntime(nginx_binary, directory=moved.directory)
    assert there.start(moved).created == (TLS_SERVICE, MTLS_SERVICE)
    assert {item.directory for item in there.status(plan.lab)} == {moved.directory}
    assert there.stop(plan.lab) == (TLS_SERVICE, MTLS_SERVICE)
    assert nginx_processes(moved.directory) == []


def test_what_a_program_started_outlives_it_and_is_stopped_by_another(
    plan: LabPlan, runtime: EmbeddedRuntime, nginx_binary: Path
) -> None:
    script = (
        "import pathlib, pickle, sys; from mtlslab.runtime.embedded.runtime import EmbeddedRuntime;"
        "EmbeddedRuntime(pathlib.Path(sys.argv[1])).start(pickle.loads(sys.stdin.buffer.read()))"
    )
    import pickle

    done = subprocess.run(
        [sys.executable, "-c", script, str(nginx_binary)], input=pickle.dumps(plan), cwd=ROOT, check=True
    )
    assert done.returncode == 0
    assert [item.state for item in runtime.status(plan.lab)] == [State.RUNNING, State.RUNNING]
    assert all(is_served(plan, service) for service in plan.services)
    assert runtime.stop(plan.lab) == (TLS_SERVICE, MTLS_SERVICE)
    assert nginx_processes(plan.directory) == []


def test_stop_leaves_no_process_port_or_record_and_twice_is_no_error(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    assert runtime.stop(plan.lab) == (TLS_SERVICE, MTLS_SERVICE)
    assert nginx_processes(plan.directory) == []
    assert not any(listens(plan, service) for service in plan.services)
    assert [file.name for file in (plan.directory / "run").iterdir() if file.is_file()] == []
    assert runtime.status(plan.lab) == ()
    assert runtime.stop(plan.lab) == ()


def test_stop_of_one_service_leaves_the_other(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    assert runtime.stop(plan.lab, (MTLS_SERVICE,)) == (MTLS_SERVICE,)
    assert [item.service for item in runtime.status(plan.lab)] == [TLS_SERVICE]
    assert is_served(plan, plan.service(TLS_SERVICE))


def test_two_labs_do_not_touch_each_other(
    plan: LabPlan, runtime: EmbeddedRuntime, nginx_binary: Path, tmp_path: Path
) -> None:
    # The name of one begins with the name of the other.
    ports = (free_port("127.0.0.1"), free_port("127.0.0.1"))
    other = make_lab(tmp_path / "other lab", f"{plan.lab}-2", ports)
    beside = EmbeddedRuntime(nginx_binary, directory=other.directory)
    try:
        runtime.start(plan)
        beside.start(other)
        runtime.stop(plan.lab)
        assert [item.directory for item in beside.status(other.lab)] == [other.directory, other.directory]
        assert all(is_served(other, service) for service in other.services)
    finally:
        beside.stop(other.lab)


@pytest.mark.parametrize("name", ["with space", "with 'quotes\"", "with -g daemon off;", "ümläut", "two\nlines"])
def test_a_workspace_may_have_any_name(name: str, lab_name: str, free_ports: tuple[int, int], tmp_path: Path) -> None:
    plan = make_lab(tmp_path / name, lab_name, free_ports)
    runtime = EmbeddedRuntime(directory=plan.directory)
    try:
        runtime.start(plan)
        assert all(is_served(plan, service) for service in plan.services)
        assert [item.directory for item in runtime.status(plan.lab)] == [plan.directory, plan.directory]
    finally:
        assert runtime.stop(plan.lab) == (TLS_SERVICE, MTLS_SERVICE)


def test_a_workspace_whose_name_nginx_would_read_as_a_variable_is_refused(
    tmp_path: Path, lab_name: str, free_ports: tuple[int, int], nginx_binary: Path
) -> None:
    plan = make_lab(tmp_path / "to $host", lab_name, free_ports)
    with pytest.raises(SpecError, match=r"\$host"):
        EmbeddedRuntime(nginx_binary).start(plan)
    assert nginx_processes(plan.directory) == []


def test_a_lab_listens_on_an_ipv6_address(tmp_path: Path, lab_name: str, nginx_binary: Path) -> None:
    plan = make_lab(tmp_path / "lab", lab_name, (free_port("::1"), free_port("::1")), listen="::1")
    runtime = EmbeddedRuntime(nginx_binary, directory=plan.directory)
    try:
        runtime.start(plan)
        assert all(is_served(plan, service) for service in plan.services)
    finally:
        runtime.stop(plan.lab)


def test_reload_applies_an_edit_before_it_returns(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    runtime.start(plan)
    service = plan.service(MTLS_SERVICE)
    master = master_of(plan, service)
    for old, new, answer in (("on", "off", "200 OK"), ("off", "on", "400 No required SSL certificate")):
        edit(plan, service.conf, f"ssl_verify_client {old};", f"ssl_verify_client {new};")
        runtime.reload(plan, service)
        text = get(plan, service, client=False)
        assert answer in text or (answer == "200 OK" and text.startswith("HTTP/1.1 200 "))
    assert master_of(plan, service) == master


def test_a_bad_edit_is_refused_in_the_words_of_nginx_and_the_old_configuration_goes_on(
    plan: LabPlan, runtime: EmbeddedRuntime
) -> None:
    runtime.start(plan)
    service = plan.service(MTLS_SERVICE)
    before = master_of(plan, service), runtime.status(plan.lab)
    edit(plan, service.conf, "ssl_verify_client on;", "ssl_verify_clients on;")
    with pytest.raises(MachineError) as refused:
        runtime.reload(plan, service)
    assert 'unknown directive "ssl_verify_clients"' in refused.value.why
    assert "old one keeps running" in refused.value.what
    assert is_served(plan, service)
    assert (master_of(plan, service), runtime.status(plan.lab)) == before
    assert read_record(plan.directory, service.name) is not None


def test_a_reload_that_nginx_refuses_only_after_the_test_is_told_too(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    """``nginx -t`` does not mind a port that is taken; the running nginx does."""
    runtime.start(plan)
    service, other = plan.service(MTLS_SERVICE), plan.service(TLS_SERVICE)
    edit(plan, f"{service.name}/listen.conf", f":{service.port} ssl", f":{other.port} ssl")
    with pytest.raises(MachineError, match="old one keeps running") as refused:
        runtime.reload(plan, service)
    assert "Address already in use" in refused.value.why or "still could not bind" in refused.value.why
    assert is_served(plan, service)


def test_reload_of_what_does_not_run_is_an_error(plan: LabPlan, runtime: EmbeddedRuntime) -> None:
    with pytest.raises(LabNotFoundError):
        runtime.reload(plan, plan.services[0])

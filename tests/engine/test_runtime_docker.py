"""The Docker runtime against a real engine: what it starts, keeps, replaces, removes and says."""

from __future__ import annotations

import dataclasses
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab.errors import LabNotFoundError, MachineError
from mtlslab.plan.services import LABEL_LAB, MTLS_SERVICE, TLS_SERVICE, LabPlan, with_fingerprints
from mtlslab.runtime.base import State
from mtlslab.runtime.choose import Runtimes
from mtlslab.runtime.docker.config import container_config
from mtlslab.runtime.docker.runtime import DockerRuntime

from tests.support.docker_lab import change, local_engine, make_lab, wait_for_answers

BOTH = (TLS_SERVICE, MTLS_SERVICE)


@pytest.fixture
def runtime(engine: Any) -> DockerRuntime:
    return DockerRuntime(pull="never")


@pytest.fixture
def plan(engine: Any, tmp_path: Path, lab_name: str, free_ports: tuple[int, int]) -> Iterator[LabPlan]:
    yield make_lab(tmp_path / "lab", lab_name, free_ports)
    DockerRuntime().stop(lab_name)


@pytest.fixture
def running(runtime: DockerRuntime, plan: LabPlan) -> LabPlan:
    """A lab whose containers exist."""
    runtime.prepare(plan.lab, plan.image)
    assert runtime.start(plan).created == BOTH
    return plan


@pytest.fixture
def foreign(engine: Any, plan: LabPlan) -> Iterator[list[Any]]:
    """Put a container or network here that is not the lab's, to have it removed in the end."""
    things: list[Any] = []
    yield things
    for thing in things:
        thing.remove(**({"force": True} if hasattr(thing, "image") else {}))


def of_lab(engine: Any, lab: str) -> tuple[list[str], list[str]]:
    """Names of the lab's containers and networks, asked from the engine itself."""
    label = {"label": f"{LABEL_LAB}={lab}"}
    containers = sorted(container.name for container in engine.containers.list(all=True, filters=label))
    return containers, [network.name for network in engine.networks.list(filters=label)]


def identities(runtime: DockerRuntime, lab: str) -> dict[str, str]:
    return {status.service: status.identity for status in runtime.status(lab)}


def test_started_services_answer_and_show_their_state(runtime: DockerRuntime, running: LabPlan) -> None:
    wait_for_answers(running)
    status = runtime.status(running.lab)
    assert [one.service for one in status] == list(BOTH)
    assert {one.state for one in status} == {State.RUNNING}
    assert {one.directory for one in status} == {running.directory}
    assert [one.fingerprint for one in status] == [service.fingerprint for service in running.services]


def test_a_second_start_keeps_what_runs_as_asked(runtime: DockerRuntime, running: LabPlan) -> None:
    before = identities(runtime, running.lab)
    started = DockerRuntime(pull="never").start(running)
    assert (started.created, started.kept) == ((), BOTH)
    assert identities(runtime, running.lab) == before


def test_only_the_changed_service_is_replaced(runtime: DockerRuntime, running: LabPlan) -> None:
    before = identities(runtime, running.lab)
    started = runtime.start(change(running, "nginx-tls/hello-world.txt", "Hello", "Good day"))
    assert (started.created, started.kept) == ((TLS_SERVICE,), (MTLS_SERVICE,))
    after = identities(runtime, running.lab)
    assert after[MTLS_SERVICE] == before[MTLS_SERVICE]
    assert after[TLS_SERVICE] != before[TLS_SERVICE]


@pytest.mark.parametrize("deed", ["pause", "kill", "remove", "rename", "disconnect"])
def test_a_container_that_somebody_changed_by_hand_is_replaced(
    engine: Any, runtime: DockerRuntime, running: LabPlan, deed: str
) -> None:
    container = engine.containers.get(running.container_name(running.services[1]))
    {
        "pause": container.pause,
        "kill": container.kill,
        "remove": lambda: container.remove(force=True),
        "rename": lambda: container.rename(f"{running.lab}-other"),
        "disconnect": lambda: engine.networks.get(running.network).disconnect(container),
    }[deed]()
    started = runtime.start(running)
    assert (started.created, started.kept) == ((MTLS_SERVICE,), (TLS_SERVICE,))
    wait_for_answers(running)
    assert of_lab(engine, running.lab)[0] == sorted(running.container_name(service) for service in running.services)


def test_a_lab_that_moved_to_another_directory_gets_new_containers(runtime: DockerRuntime, running: LabPlan) -> None:
    moved = dataclasses.replace(running, directory=running.directory.with_name("moved"))
    running.directory.rename(moved.directory)
    assert runtime.start(moved).created == BOTH
    assert {status.directory for status in runtime.status(running.lab)} == {moved.directory}


def test_containers_of_an_image_that_was_replaced_under_its_name_are_replaced(
    engine: Any, runtime: DockerRuntime, plan: LabPlan
) -> None:
    name = f"{plan.lab}/nginx:1"
    engine.images.get(plan.image).tag(name)
    plan = with_fingerprints(dataclasses.replace(plan, image=name))
    try:
        runtime.prepare(plan.lab, name)
        runtime.start(plan)
        engine.containers.get(plan.container_name(plan.services[0])).commit(f"{plan.lab}/nginx", "1")
        runtime.prepare(plan.lab, name)
        assert runtime.start(plan).created == BOTH
    finally:
        runtime.stop(plan.lab)
        engine.images.remove(name)


def test_stop_removes_everything_and_finds_nothing_the_second_time(
    engine: Any, runtime: DockerRuntime, running: LabPlan
) -> None:
    shutil.rmtree(running.directory)  # what runs is found by label, not by files
    removed = runtime.stop(running.lab)
    assert set(removed) == {*(running.container_name(service) for service in running.services), running.network}
    assert of_lab(engine, running.lab) == ([], [])
    assert runtime.stop(running.lab) == ()
    assert runtime.status(running.lab) == ()


def test_stop_of_one_service_leaves_the_other_and_the_network(
    engine: Any, runtime: DockerRuntime, running: LabPlan
) -> None:
    assert runtime.stop(running.lab, (TLS_SERVICE,)) == (running.container_name(running.services[0]),)
    assert of_lab(engine, running.lab) == ([running.container_name(running.services[1])], [running.network])


def test_stop_takes_paused_and_never_started_containers_too(
    engine: Any, runtime: DockerRuntime, running: LabPlan
) -> None:
    engine.containers.get(running.container_name(running.services[0])).pause()
    never_started = container_config(running, running.services[1])
    local_engine().api.create_container_from_config(never_started, f"{running.lab}-stray")  # type: ignore[no-untyped-call]
    runtime.stop(running.lab)
    assert of_lab(engine, running.lab) == ([], [])


def test_stops_at_the_same_moment_all_succeed(engine: Any, running: LabPlan) -> None:
    errors: list[BaseException] = []

    def stop() -> None:
        try:
            DockerRuntime().stop(running.lab)
        except BaseException as error:  # noqa: BLE001  whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=stop) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert of_lab(engine, running.lab) == ([], [])


def test_a_lab_whose_name_begins_alike_is_left_alone(engine: Any, runtime: DockerRuntime, running: LabPlan) -> None:
    assert runtime.stop(running.lab[:-1]) == ()
    assert len(runtime.status(running.lab)) == 2


def test_a_network_of_somebody_else_is_named_and_left_alone(
    engine: Any, runtime: DockerRuntime, plan: LabPlan, foreign: list[Any]
) -> None:
    foreign.append(engine.networks.create(plan.network))
    with pytest.raises(MachineError, match=f"network {plan.network}, and it is not of this lab"):
        runtime.prepare(plan.lab, plan.image)
    runtime.stop(plan.lab)
    assert engine.networks.list(names=[plan.network])


def test_a_container_of_somebody_else_under_our_name_is_named_and_left_alone(
    engine: Any, runtime: DockerRuntime, plan: LabPlan, foreign: list[Any]
) -> None:
    name = plan.container_name(plan.services[1])
    foreign.append(engine.containers.create(plan.image, name=name))
    runtime.prepare(plan.lab, plan.image)
    with pytest.raises(MachineError, match=f"container {name}, and it is not of this lab"):
        runtime.start(plan)
    assert of_lab(engine, plan.lab) == ([], [])
    assert engine.containers.get(name).id == foreign[0].id


def test_a_port_that_another_container_holds_names_it(
    engine: Any, runtime: DockerRuntime, running: LabPlan, tmp_path: Path
) -> None:
    other = make_lab(tmp_path / "other", f"{running.lab}-b", (running.services[0].port, running.services[1].port))
    with pytest.raises(MachineError) as caught:
        DockerRuntime().start(other)
    names = {f"Port {service.port} is taken by the container {running.container_name(service)}."
             for service in running.services}  # fmt: skip
    assert caught.value.what in names
    assert "mtls-port" in caught.value.hint or "tls-port" in caught.value.hint
    assert of_lab(engine, other.lab) == ([], [])
    assert len(runtime.status(running.lab)) == 2


def test_a_start_that_fails_removes_only_what_it_created(engine: Any, runtime: DockerRuntime, running: LabPlan) -> None:
    before = identities(runtime, running.lab)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        mtls = dataclasses.replace(running.services[1], port=port)
        changed = with_fingerprints(dataclasses.replace(running, services=(running.services[0], mtls)))
        with pytest.raises(MachineError, match=f"Port {port} is taken by a process outside of Docker"):
            DockerRuntime().start(changed)
    assert identities(runtime, running.lab) == {TLS_SERVICE: before[TLS_SERVICE]}
    assert of_lab(engine, running.lab)[1] == [running.network]


def test_an_interrupt_removes_what_was_created(
    engine: Any, runtime: DockerRuntime, plan: LabPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    runtime.prepare(plan.lab, plan.image)
    monkeypatch.setattr(type(local_engine().api), "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runtime.start(plan)
    assert of_lab(engine, plan.lab) == ([], [])


def test_a_missing_file_is_an_error_and_does_not_become_a_directory(
    engine: Any, runtime: DockerRuntime, plan: LabPlan
) -> None:
    (plan.directory / "certs/client-ca.crt").unlink()
    runtime.prepare(plan.lab, plan.image)
    with pytest.raises(MachineError) as caught:
        runtime.start(plan)
    assert "client-ca.crt" in caught.value.why
    assert not (plan.directory / "certs/client-ca.crt").exists()
    assert of_lab(engine, plan.lab) == ([], [])


def test_a_server_that_crashed_shows_its_exit_code_and_its_last_words(
    engine: Any, runtime: DockerRuntime, plan: LabPlan
) -> None:
    plan = change(plan, "nginx-mtls/nginx.conf", "ssl_verify_depth 1;", "ssl_verify_depht 1;")
    runtime.prepare(plan.lab, plan.image)
    runtime.start(plan)
    engine.containers.get(plan.container_name(plan.services[1])).wait(timeout=20)
    crashed = runtime.status(plan.lab)[1]
    assert (crashed.state, crashed.exit_code) == (State.EXITED, 1)
    assert 'unknown directive "ssl_verify_depht"' in list(runtime.logs(plan.lab, MTLS_SERVICE))[-1].text
    with pytest.raises(LabNotFoundError, match="does not run"):
        runtime.reload(plan, plan.services[1])


def test_reload_applies_an_edit(engine: Any, runtime: DockerRuntime, running: LabPlan) -> None:
    wait_for_answers(running)
    change(running, "nginx-tls/nginx.conf", "listen.conf;", "listen.conf; add_header X-Edited yes always;")
    runtime.reload(running, running.services[0])
    follow = runtime.logs(running.lab, TLS_SERVICE, follow=True)
    assert any("reconfiguring" in line.text for line in follow)
    follow.close()  # type: ignore[attr-defined]
    assert [status.state for status in runtime.status(running.lab)] == [State.RUNNING, State.RUNNING]


def test_reload_refuses_a_bad_edit_in_the_words_of_nginx(runtime: DockerRuntime, running: LabPlan) -> None:
    wait_for_answers(running)
    change(running, "nginx-mtls/nginx.conf", "ssl_verify_depth 1;", "ssl_verify_depth one;")
    with pytest.raises(MachineError, match="nginx refuses the configuration of nginx-mtls") as caught:
        runtime.reload(running, running.services[1])
    assert '"ssl_verify_depth" directive invalid number' in caught.value.why
    wait_for_answers(running)


def test_reload_of_a_lab_that_was_never_started_is_not_found(runtime: DockerRuntime, plan: LabPlan) -> None:
    with pytest.raises(LabNotFoundError):
        runtime.reload(plan, plan.services[0])


def test_logs_hold_both_streams_of_both_services_and_tail_keeps_the_last(
    runtime: DockerRuntime, running: LabPlan
) -> None:
    wait_for_answers(running)
    lines = list(runtime.logs(running.lab))
    deadline = time.monotonic() + 20
    while {line.service for line in lines if line.text.startswith("{")} != set(BOTH):  # written after the answer
        assert time.monotonic() < deadline, lines
        lines = list(runtime.logs(running.lab))
    for service in BOTH:
        texts = [line.text for line in lines if line.service == service]
        assert any("[notice]" in text for text in texts)  # standard error
        assert any(text.startswith("{") for text in texts)  # standard output: the access log
    assert [line.service for line in runtime.logs(running.lab, tail=1)] == list(BOTH)
    assert {line.service for line in runtime.logs(running.lab, MTLS_SERVICE)} == {MTLS_SERVICE}
    assert list(runtime.logs(f"{running.lab}-x")) == []


def test_following_the_logs_ends_when_the_services_end(runtime: DockerRuntime, running: LabPlan) -> None:
    wait_for_answers(running)
    lines = runtime.logs(running.lab, follow=True)
    first = next(lines)
    runtime.stop(running.lab)
    assert {first.service, *(line.service for line in lines)} == set(BOTH)


def test_what_is_interrupted_between_network_and_containers_is_found_by_stop(
    engine: Any, runtime: DockerRuntime, plan: LabPlan
) -> None:
    runtime.prepare(plan.lab, plan.image)
    assert DockerRuntime().stop(plan.lab) == (plan.network,)


def test_a_prepare_that_fails_removes_the_network_it_made(engine: Any, plan: LabPlan) -> None:
    with pytest.raises(MachineError):
        DockerRuntime(stall=1).prepare(plan.lab, "127.0.0.1:1/INVALID:1")
    assert of_lab(engine, plan.lab) == ([], [])


def test_the_engine_is_asked_few_things(engine: Any, plan: LabPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls cost time on a slow or remote engine: seven for a first start, four when all is as asked."""
    calls: list[str] = []
    api = local_engine().api
    send = type(api).send

    def noted(self: Any, request: Any, **more: Any) -> Any:
        calls.append(request.url)
        return send(self, request, **more)

    monkeypatch.setattr(type(api), "send", noted)
    for most in (7, 4):
        runtime = DockerRuntime(pull="never")
        runtime.prepare(plan.lab, plan.image)
        runtime.start(plan)
        assert len(calls) <= most, calls
        calls.clear()


def test_an_engine_that_answers_is_no_problem_and_describes_itself(engine: Any, runtime: DockerRuntime) -> None:
    assert Runtimes(None).problem("docker") is None
    assert engine.version()["Version"] in runtime.describe()

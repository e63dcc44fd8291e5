"""What containers may take and do, and what of an engine a lab leaves alone whatever labels it bears."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker.errors import APIError
from mtlslab.errors import SpecError
from mtlslab.plan.render import render_compose
from mtlslab.plan.services import (
    LABEL_LAB,
    LABEL_SERVICE,
    MTLS_SERVICE,
    SERVICES,
    TLS_SERVICE,
    LabPlan,
    Limits,
    with_fingerprints,
)
from mtlslab.plan.spec import make_spec
from mtlslab.runtime.docker import image
from mtlslab.runtime.docker.config import network_labels, volume_labels
from mtlslab.runtime.docker.logs import count_lines_with
from mtlslab.runtime.docker.runtime import DockerRuntime

from tests.support.cli import Run, command, environment, mtlslab
from tests.support.docker_lab import change, local_engine, local_image, make_lab, wait_for_answers

UP = ("up", "--runtime", "docker", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
LOGS_MEMORY = 100 * 1024  # KiB, of which the program itself takes 40
root_sees_the_engine = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the files of the engine")


@pytest.fixture
def plan(engine: Any, tmp_path: Path, lab_name: str, free_ports: tuple[int, int]) -> Iterator[LabPlan]:
    yield make_lab(tmp_path / "lab", lab_name, free_ports)
    DockerRuntime().stop(lab_name)


def started(plan: LabPlan) -> LabPlan:
    runtime = DockerRuntime(pull="never")
    runtime.prepare(plan.lab, plan.image)
    runtime.start(plan)
    wait_for_answers(plan)
    return plan


# --- what a container may take


@pytest.mark.engine
def test_memory_processes_and_logs_of_every_container_are_bounded(engine: Any, plan: LabPlan) -> None:
    """The engine itself tells the limits that are in force, not only those that were asked for."""
    started(plan)
    for service in plan.services:
        container = engine.containers.get(plan.container_name(service))
        stats = container.stats(stream=False)
        assert stats["memory_stats"]["limit"] == plan.limits.memory
        assert stats["pids_stats"]["limit"] == plan.limits.processes
        log = container.attrs["HostConfig"]["LogConfig"]
        assert log == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}


@pytest.mark.engine
def test_a_log_that_grows_loses_its_beginning_and_can_still_be_read(engine: Any, plan: LabPlan) -> None:
    limits = Limits(log_size="20k", log_files=2)
    started(with_fingerprints(dataclasses.replace(plan, limits=limits)))
    context = ssl.create_default_context(cafile=str(plan.directory / "certs/server-ca.crt"))
    connection = http.client.HTTPSConnection("localhost", plan.services[0].port, context=context, timeout=10)
    for number in range(400):
        connection.request("GET", f"/hello-world.txt?probe=n{number}")
        connection.getresponse().read()
    connection.close()
    text, deadline = "", time.monotonic() + 20
    while '"probe":"n399"' not in text:  # written after the answer
        assert time.monotonic() < deadline, text
        text = "\n".join(line.text for line in DockerRuntime().logs(plan.lab, TLS_SERVICE))
    assert len(text) < 2 * 20_000
    assert '"probe":"n0"' not in text


@pytest.mark.engine
def test_the_bounds_leave_room_for_the_workers_of_a_large_machine(engine: Any, plan: LabPlan) -> None:
    """As many as ``worker_processes auto`` starts on a machine with 128 processors."""
    plan = started(change(plan, "nginx-mtls/nginx.conf", "worker_processes 1;", "worker_processes 128;"))
    DockerRuntime().reload(plan, plan.services[1])  # two generations for a moment
    wait_for_answers(plan)
    container = engine.containers.get(plan.container_name(plan.services[1]))
    assert len(container.top()["Processes"]) >= 129
    assert container.attrs["State"]["OOMKilled"] is False


def test_the_compose_file_has_the_bounds_of_the_plan(tmp_path: Path) -> None:
    from mtlslab.plan.services import make_plan
    from mtlslab.plan.spec import LabSpec

    plan = make_plan(LabSpec(), tmp_path, image="i", user="1:1")
    plan = dataclasses.replace(plan, limits=Limits(memory=1, processes=2, log_size="3k", log_files=4))
    for service in yaml.safe_load(render_compose(plan))["services"].values():
        assert (service["mem_limit"], service["pids_limit"]) == (1, 2)
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "3k", "max-file": "4"}}


# --- logs that are large

# Runs a command and writes its peak memory into a file. In between, because what a process had in memory before it
# became another program counts as well, and the one that runs the tests is large.
MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


@pytest.mark.engine
@root_sees_the_engine
@pytest.mark.parametrize("follow", [False, True], ids=["read", "followed"])
@pytest.mark.parametrize("line_end", ["\\n", ""], ids=["many lines", "one line"])
def test_a_large_log_is_passed_on_without_being_held_in_memory(
    engine: Any, plan: LabPlan, line_end: str, follow: bool, tmp_path: Path
) -> None:
    """160 MiB are in the log of a container that has ended; the program's peak memory tells whether it kept them."""
    started(plan)
    container = engine.containers.get(plan.container_name(plan.services[0]))
    container.stop()
    entry = json.dumps({"log": "LOG", "stream": "stdout", "time": "2026-01-01T00:00:00.000000000Z"}) + "\n"
    with Path(container.attrs["LogPath"]).open("a") as log:
        log.writelines(entry.replace("LOG", "x" * 16 * 1024 + line_end) for _ in range(160 * 64))
    words = command("logs", TLS_SERVICE, "--name", plan.lab, "--dir", plan.directory, *(["--follow"] if follow else []))
    peak = tmp_path / "peak"
    child = subprocess.Popen([sys.executable, "-c", MEASURED, peak, *words], stdout=subprocess.PIPE, env=environment())
    assert child.stdout is not None
    read = child.stdout.read
    size = sum(len(chunk) for chunk in iter(lambda: read(65536), b""))
    assert child.wait() == 0
    assert size > 160 * 1024 * 1024
    assert int(peak.read_text()) < LOGS_MEMORY


@pytest.mark.engine
def test_words_in_the_log_of_a_running_container_are_counted_without_waiting_for_its_end(
    engine: Any, plan: LabPlan
) -> None:
    """That is how a reload learns of its success where the engine cannot list processes."""
    started(plan)
    container = engine.containers.get(plan.container_name(plan.services[0]))
    api = local_engine().api
    before = count_lines_with(api, container.id, b"gracefully shutting down")
    DockerRuntime().reload(plan, plan.services[0])
    assert (before, count_lines_with(api, container.id, b"gracefully shutting down")) == (0, 1)
    assert count_lines_with(api, container.id, b"no such words") == 0


# --- what bears our labels and is not ours


@dataclasses.dataclass(frozen=True)
class Stranger:
    """Somebody's container, volume and network that bear the lab's label; the container runs and writes."""

    container: Any
    volume: Any
    network: Any

    def require_untouched(self) -> None:
        before = self.container.attrs
        self.container.reload()
        assert self.container.status == "running"
        assert self.container.attrs["State"]["StartedAt"] == before["State"]["StartedAt"]
        assert not self.container.attrs["ExecIDs"]
        self.volume.reload()
        self.network.reload()


def labels_of(kind: str, lab: str) -> dict[str, str]:
    """From one careless label to all that a real container of the lab bears."""
    return {
        "the lab's": {LABEL_LAB: lab},
        "a service's": {LABEL_LAB: lab, LABEL_SERVICE: MTLS_SERVICE, "mtlslab.fingerprint": "f" * 64},
        "a copier's": {LABEL_LAB: lab, "com.docker.compose.project": lab, "com.docker.compose.oneoff": "True"},
        "Compose's": {"com.docker.compose.project": lab, "com.docker.compose.service": TLS_SERVICE},
    }[kind]


@pytest.fixture
def stranger(engine: Any, tmp_path: Path, lab_name: str, request: pytest.FixtureRequest) -> Iterator[Stranger]:
    labels = labels_of(request.param, lab_name)
    place = tmp_path / "foreign"
    place.mkdir()
    (place / "nginx.conf").write_text("daemon off; pid /run/p; error_log stderr notice; events {}\n")
    name = f"{lab_name}-precious"
    undo = contextlib.ExitStack()
    volume = engine.volumes.create(name, labels={**labels, **volume_labels(lab_name, TLS_SERVICE)})
    undo.callback(volume.remove)
    network = engine.networks.create(name, labels={**labels, **network_labels(lab_name)})
    undo.callback(network.remove)
    container = engine.containers.create(
        local_image(),
        entrypoint=["nginx", "-p", "/lab/", "-c", "/lab/nginx.conf"],
        name=name,
        labels=labels,
        network=name,
        volumes={str(place): {"bind": "/lab", "mode": "ro"}, volume.name: {"bind": "/data", "mode": "rw"}},
        tmpfs={"/run": "mode=1777"},
        user="65532:65532",
    )
    undo.callback(container.remove, force=True)
    with undo:
        container.start()
        container.reload()
        yield Stranger(container, volume, network)


@pytest.fixture
def run(engine: Any, tmp_path: Path, lab_name: str) -> Iterator[Callable[..., Run]]:
    local_image()

    def do(*words: str) -> Run:
        return mtlslab(words[0], "--name", lab_name, *words[1:], cwd=tmp_path)

    yield do
    do("down")


def containers_named(engine: Any, lab: str) -> list[str]:
    """Names of all containers that begin with the lab's."""
    return [one["Names"][0][1:] for one in engine.api.containers(all=True, filters={"name": f"^/{lab}"})]


every_stranger = pytest.mark.parametrize(
    "stranger", ["the lab's", "a service's", "a copier's", "Compose's"], indirect=True
)


@pytest.mark.engine
@every_stranger
def test_what_only_bears_the_labels_is_neither_stopped_nor_removed_nor_used(
    engine: Any, stranger: Stranger, run: Callable[..., Run], lab_name: str, tmp_path: Path
) -> None:
    images = {image.id for image in engine.images.list()}
    up = run(*UP)
    assert up.code == 0, up
    assert "started nginx-tls, nginx-mtls" in up.out
    stranger.require_untouched()
    assert run("reload").code == 0
    assert len(run("status").out.splitlines()) == 2
    logs = run("logs")
    assert {line.split("|")[0].strip() for line in logs.out.splitlines()} == set(SERVICES)
    page = tmp_path / lab_name / "nginx-mtls/hello-world.txt"
    page.write_text("another page\n")
    again = run("up")
    assert "started nginx-mtls)" in again.out
    down = run("down", "--purge")
    assert down.code == 0
    assert "precious" not in down.out
    stranger.require_untouched()
    assert {image.id for image in engine.images.list()} >= images
    assert containers_named(engine, lab_name) == [f"{lab_name}-precious"]


@pytest.mark.engine
@every_stranger
def test_without_a_lab_nothing_runs_and_nothing_is_taken_away(
    stranger: Stranger, run: Callable[..., Run], lab_name: str
) -> None:
    for words in (("status",), ("logs",)):
        assert run(*words).code == 4
    down = run("down")
    assert (down.code, down.out) == (0, f"Nothing runs of the lab {lab_name!r}.\n")
    stranger.require_untouched()
    said = [line for line in down.err.splitlines() if line.startswith("Left alone: ")]
    labelled = LABEL_LAB in stranger.container.labels
    kinds = ["container", "volume", "network"] if labelled else ["volume", "network"]
    assert said == [
        f"Left alone: {kind} {lab_name}-precious bears the label {LABEL_LAB}={lab_name} but is not the lab's."
        for kind in kinds
    ]


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["container", "network"])
def test_the_labs_own_name_with_its_label_alone_is_refused_and_left_alone(
    engine: Any, run: Callable[..., Run], lab_name: str, kind: str
) -> None:
    labels = {LABEL_LAB: lab_name}
    name = f"{lab_name}-nginx-tls-1" if kind == "container" else f"{lab_name}_default"
    if kind == "container":
        foreign = engine.containers.create(local_image(), name=name, labels=labels)
    else:
        foreign = engine.networks.create(name, labels=labels)
    try:
        up = run(*UP)
        assert up.code == 3
        assert f"There is already a {kind} {name}, and it is not of this lab" in up.err
        assert run("down").code == 0
        foreign.reload()
        assert containers_named(engine, lab_name) == ([name] if kind == "container" else [])
    finally:
        foreign.remove()


# --- what a container may do


@pytest.mark.engine
def test_the_engine_was_told_to_harden_every_container(engine: Any, plan: LabPlan) -> None:
    started(plan)
    for service in plan.services:
        attributes = engine.containers.get(plan.container_name(service)).attrs
        host = attributes["HostConfig"]
        assert host["ReadonlyRootfs"] is True
        assert (host["CapDrop"], host["CapAdd"], host["Privileged"]) == (["ALL"], None, False)
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert not any(host[key] for key in ("Devices", "PidMode", "UsernsMode", "VolumesFrom"))
        assert attributes["Config"]["User"] == plan.user
        assert not plan.user.startswith("0:")
        mounts = {(mount["Source"], mount["RW"]) for mount in attributes["Mounts"]}
        mounted = {Path(source).relative_to(plan.directory).as_posix() for source, writable in mounts if not writable}
        assert len(mounted) == len(mounts)
        assert {path for path in mounted if path.endswith(".key")} == {"certs/server.key"}
        assert {binding["HostIp"] for binding in host["PortBindings"][f"{service.port}/tcp"]} == {"127.0.0.1"}


@pytest.mark.engine
@root_sees_the_engine
def test_from_inside_a_container_holds_what_the_engine_was_told(engine: Any, plan: LabPlan) -> None:
    """What the kernel says about the processes, and which files their root directory holds."""
    started(plan)
    uid = plan.user.split(":")[0]
    for service in plan.services:
        container = engine.containers.get(plan.container_name(service))
        pids = [row[container.top()["Titles"].index("PID")] for row in container.top()["Processes"]]
        for pid in pids:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
            assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
            assert status["NoNewPrivs"] == "1"
            assert set(status["Uid"].split()) == set(status["Gid"].split()) == {uid}
        mounts = [line.split() for line in Path(f"/proc/{pids[0]}/mountinfo").read_text().splitlines()]
        options = {mount[4]: mount[5].split(",")[0] for mount in mounts}
        assert options["/"] == "ro"
        writable = {place for place, option in options.items() if option == "rw" and place.startswith("/lab")}
        assert writable == {"/lab/run"}
        keys = [path.name for path in Path(f"/proc/{pids[0]}/root/lab").rglob("*.key")]
        assert keys == ["server.key"]


@pytest.mark.parametrize(
    "name", ["a: b", "a\nservices: {}", "../a", "-a", "a b", "$A", "A", "a'", 'a"', "a#b", "a/b", "", "a\u0000", "é"]
)
def test_a_name_that_would_need_quoting_in_a_compose_file_is_refused(name: str) -> None:
    with pytest.raises(SpecError):
        make_spec({"name": name})


def test_an_image_of_somebody_else_that_is_called_like_ours_is_not_run(
    engine: Any, lab_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the wanted image is out of reach, only what was built here takes its place."""
    monkeypatch.setattr(image, "FALLBACK", f"{lab_name}/nginx")
    name = image.fallback_name()
    assert name is not None
    foreign = json.loads(
        engine.api.import_image_from_data(b"\0" * 1024, repository=name.split(":")[0], tag=name.split(":")[1])
    )
    own = local_engine()
    try:
        assert image.find_fallback(own) is None
        said: list[str] = []
        chosen = image.choose_image(own, "127.0.0.1:1/x:1", pull="never", say=said.append)
        assert chosen.id != foreign["status"]
        assert "built from the embedded nginx" in said[-1]
        assert image.find_fallback(own) == chosen
    finally:
        for one in (name, foreign["status"]):
            with contextlib.suppress(APIError):
                engine.images.remove(one, force=True)

"""Engines that cannot mount a lab's files: one behind TCP that does not see this disk, and rootless ones.

The engine behind TCP is a real dockerd of the tests' own. In its mount namespace, an empty tmpfs covers the directory
that holds all workspaces of this test run.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker.errors import APIError
from mtlslab.errors import MachineError
from mtlslab.plan.paths import CLIENT_CA, SERVER_KEY
from mtlslab.plan.render import render_compose
from mtlslab.plan.services import (
    CONTAINER_ROOT,
    LABEL_LAB,
    MTLS_SERVICE,
    TLS_SERVICE,
    LabPlan,
    Service,
    make_plan,
    with_fingerprints,
)
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.docker.image import build_fallback
from mtlslab.runtime.docker.runtime import DockerRuntime
from mtlslab.runtime.docker.volumes import archive
from mtlslab.runtime.engine import connection
from mtlslab.runtime.engine.connection import Engine, _is_rootless, connect
from mtlslab.runtime.engine.endpoint import Endpoint

from tests.support.bridge import own_bridge
from tests.support.cli import mtlslab
from tests.support.docker_lab import change, local_engine, make_lab, wait_for_answers

BOTH = (TLS_SERVICE, MTLS_SERVICE)
# $1: what the engine must not see, $2: its port, $3: its default bridge. Its own files lie on the tmpfs and vanish
# with it. It leaves the firewall of this machine alone: its proxy processes publish the ports. Without a bridge of its
# own it would take or (--bridge none) remove docker0, which may be another engine's.
HIDDEN_ENGINE = """
mount -t tmpfs tmpfs "$1"
exec dockerd --host "tcp://127.0.0.1:$2" --tls=false --data-root "$1/d" --exec-root "$1/x" --pidfile "$1/pid" \
    --bridge "$3" --iptables=false --ip6tables=false --default-address-pool base=10.217.0.0/16,size=24
"""


def the_engines_problem() -> str:
    if os.getuid() != 0:
        return "only root can start an engine in a mount namespace"
    missing = [command for command in ("dockerd", "unshare", "mount") if shutil.which(command) is None]
    return f"no {missing[0]} here" if missing else ""


@pytest.fixture(scope="module")
def far(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A Docker Engine behind TCP that sees no workspace of this test run; its image needs no registry."""
    problem = the_engines_problem()
    if problem and os.environ.get("MTLSLAB_REQUIRE_ENGINE") == "1":
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)
    hidden = tmp_path_factory.getbasetemp()
    log = tmp_path_factory.mktemp("engine") / "dockerd.log"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with own_bridge() as bridge:
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-ec", HIDDEN_ENGINE, "sh", str(hidden), str(port), bridge],
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            connected = connect(Endpoint(f"tcp://127.0.0.1:{port}")) if answers(process, port) else None
            assert connected, f"dockerd ended or did not answer:\n{log.read_text()[-2000:]}"
            build_fallback(connected)
            yield connected
        finally:
            process.terminate()  # unshare and sh have become dockerd
            process.wait(timeout=30)


def answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


@pytest.fixture
def runtime(far: Engine, monkeypatch: pytest.MonkeyPatch) -> DockerRuntime:
    monkeypatch.setenv("DOCKER_HOST", far.endpoint.url)
    return DockerRuntime(pull="never")


@pytest.fixture
def plan(runtime: DockerRuntime, tmp_path: Path, lab_name: str, free_ports: tuple[int, int]) -> Iterator[LabPlan]:
    yield with_fingerprints(dataclasses.replace(make_lab(tmp_path / "lab", lab_name, free_ports), copied=True))
    runtime.stop(lab_name)


@pytest.fixture
def running(runtime: DockerRuntime, plan: LabPlan) -> LabPlan:
    runtime.prepare(plan.lab, plan.image)
    assert runtime.start(plan).created == BOTH
    wait_for_answers(plan)
    return plan


def of_lab(far: Engine, lab: str) -> list[str]:
    """Names of all that the engine has of a lab, asked from the engine itself."""
    label: dict[str, Any] = {"label": [f"{LABEL_LAB}={lab}"]}
    containers = [name for one in far.api.containers(all=True, filters=label) for name in one["Names"]]
    volumes = [volume["Name"] for volume in far.api.volumes(filters=label)["Volumes"] or ()]
    return containers + volumes + [network["Name"] for network in far.api.networks(filters=label)]


def inside(far: Engine, plan: LabPlan, service: Service) -> dict[str, tarfile.TarInfo]:
    """What lies below /lab in a service's container, as the engine reads it: path -> what it is."""
    chunks, _ = far.api.get_archive(plan.container_name(service), CONTAINER_ROOT)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        return {member.name.removeprefix("lab").strip("/"): member for member in tar}


def test_the_engine_behind_tcp_really_does_not_see_this_disk(far: Engine, plan: LabPlan) -> None:
    mount = {"Type": "bind", "Source": str(plan.directory), "Target": CONTAINER_ROOT}
    config = {"Image": plan.image, "HostConfig": {"Mounts": [mount]}}
    with pytest.raises(APIError, match="bind source path does not exist"):
        far.api.create_container_from_config(config, None)  # type: ignore[no-untyped-call]


def test_up_verify_and_down_work_on_an_engine_that_does_not_see_this_disk(
    far: Engine, tmp_path: Path, lab_name: str
) -> None:
    def run(*arguments: str) -> Any:
        return mtlslab(*arguments, "--name", lab_name, cwd=tmp_path, DOCKER_HOST=far.endpoint.url)

    start = ("up", "--runtime", "docker", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
    try:
        up = run(*start)
        assert up.code == 0, up.err
        assert "copied into volumes" in up.err
        again = run("up")
        assert "it already ran as asked" in again.out, again.err
        verify = run("verify", "-o", "short")
        assert verify.code == 0, verify.out
    finally:
        down = run("down")
    assert down.code == 0, down.err
    assert of_lab(far, lab_name) == []


def test_nothing_but_the_plans_mounts_is_copied_and_only_the_user_of_nginx_may_read_the_key(
    far: Engine, running: LabPlan
) -> None:
    for service in running.services:
        found = inside(far, running, service)
        own = {"hello-world.txt", "listen.conf", "listen.container.conf", "nginx.conf"}
        certificates = {"certs/server.crt", SERVER_KEY, *([CLIENT_CA] if service.mutual else [])}
        assert {name for name, member in found.items() if member.isfile()} == {
            *(f"{service.name}/{name}" for name in own),
            *certificates,
        }
        key = found[SERVER_KEY]
        assert (f"{key.uid}:{key.gid}", key.mode & 0o777) == (running.user, 0o600)
        others = [member for name, member in found.items() if member.isfile() and name != SERVER_KEY]
        assert {(member.uid, member.mode & 0o777) for member in others} == {(0, 0o644)}
        mounts = far.api.inspect_container(running.container_name(service))["Mounts"]
        assert [(mount["Type"], mount["Destination"], mount["RW"]) for mount in mounts] == [
            ("volume", CONTAINER_ROOT, False)
        ]


def test_reload_copies_the_edited_files_first(far: Engine, runtime: DockerRuntime, running: LabPlan) -> None:
    change(running, "nginx-tls/hello-world.txt", "Hello", "Good day")
    change(running, "nginx-mtls/nginx.conf", "ssl_verify_depth 1;", "ssl_verify_depth one;")
    runtime.reload(running, running.services[0])
    with pytest.raises(MachineError, match="nginx refuses the configuration of nginx-mtls"):
        runtime.reload(running, running.services[1])
    chunks, _ = far.api.get_archive(running.container_name(running.services[0]), "/lab/nginx-tls/hello-world.txt")
    assert b"Good day" in b"".join(chunks)
    wait_for_answers(running)


def test_only_a_changed_service_is_replaced_and_its_old_copy_is_gone(
    far: Engine, runtime: DockerRuntime, running: LabPlan
) -> None:
    stray = running.directory / "nginx-tls/stray.conf"
    stray.write_text("# nothing\n")
    assert runtime.start(change(running, "nginx-tls/hello-world.txt", "Hello", "Hi")).created == (TLS_SERVICE,)
    assert "nginx-tls/stray.conf" in inside(far, running, running.services[0])
    stray.unlink()
    started = runtime.start(change(running, "nginx-tls/hello-world.txt", "Hi", "Hello"))
    assert (started.created, started.kept) == ((TLS_SERVICE,), (MTLS_SERVICE,))
    assert "nginx-tls/stray.conf" not in inside(far, running, running.services[0])


def test_a_start_that_fails_leaves_no_copy_of_the_key(far: Engine, runtime: DockerRuntime, plan: LabPlan) -> None:
    runtime.prepare(plan.lab, plan.image)
    with socket.create_server(("127.0.0.1", plan.services[1].port)), pytest.raises(MachineError, match="is taken by"):
        runtime.start(plan)
    assert of_lab(far, plan.lab) == []


def test_a_file_that_cannot_be_copied_is_named(far: Engine, runtime: DockerRuntime, plan: LabPlan) -> None:
    runtime.prepare(plan.lab, plan.image)
    (plan.directory / CLIENT_CA).unlink()
    with pytest.raises(MachineError) as caught:
        runtime.start(plan)
    assert CLIENT_CA in caught.value.why
    assert of_lab(far, plan.lab) == []


def test_a_volume_of_somebody_else_is_named_and_left_alone(far: Engine, runtime: DockerRuntime, plan: LabPlan) -> None:
    name = plan.volume_name(plan.services[0])
    far.api.create_volume(name)
    try:
        runtime.prepare(plan.lab, plan.image)
        with pytest.raises(MachineError, match=f"volume {name}, and it is not of this lab"):
            runtime.start(plan)
        runtime.stop(plan.lab)
        assert far.api.inspect_volume(name)["Name"] == name
    finally:
        far.api.remove_volume(name)


def test_compose_knows_the_copies_starts_services_on_them_and_removes_them(far: Engine, running: LabPlan) -> None:
    (running.directory / "docker-compose.yml").write_text(render_compose(running))
    ran = [one["Id"] for one in far.api.containers(filters={"label": [f"{LABEL_LAB}={running.lab}"]})]
    compose(far, running, "up", "--detach", "--wait")
    assert sorted(json.loads(line)["Health"] for line in compose(far, running, "ps", "--format", "json")) == [
        "healthy",
        "healthy",
    ]
    assert not set(ran) & {one["Id"] for one in far.api.containers()}  # containers of its own, on the same volumes
    compose(far, running, "down", "--volumes")
    assert of_lab(far, running.lab) == []


def compose(far: Engine, plan: LabPlan, *arguments: str) -> list[str]:
    ended = subprocess.run(
        ["docker", "compose", *arguments],
        cwd=plan.directory,
        env={**os.environ, "DOCKER_HOST": far.endpoint.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_a_lab_goes_from_mounted_files_to_copies_and_back(
    engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lab_name: str, free_ports: tuple[int, int]
) -> None:
    """The same engine, told otherwise: a plan is run in the way that fits the engine, whoever made the plan."""
    plan = make_lab(tmp_path / "lab", lab_name, free_ports)
    here = local_engine()
    mounting, copying = DockerRuntime(pull="never"), DockerRuntime(pull="never")
    mounting.__dict__["engine"] = here
    copying.__dict__["engine"] = dataclasses.replace(here, rootless=True)
    try:
        mounting.prepare(plan.lab, plan.image)
        assert mounting.start(plan).created == BOTH
        assert copying.start(plan).created == BOTH
        wait_for_answers(plan)
        assert plan.volume_name(plan.services[0]) in of_lab(here, plan.lab)
        assert mounting.start(plan).created == BOTH
        assert plan.volume_name(plan.services[0]) not in of_lab(here, plan.lab)
    finally:
        mounting.stop(plan.lab)


def test_what_lies_beside_the_mounted_files_or_behind_a_link_is_not_copied(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not for nginx")
    (tmp_path / "certs").mkdir()
    for name in ("server.crt", "server.key", "server-ca.key", "client-ca.key", "client.key"):
        (tmp_path / "certs" / name).write_text(name)
    (tmp_path / "certs/server.key").chmod(0o600)
    (tmp_path / "nginx-tls/more").mkdir(parents=True)
    (tmp_path / "nginx-tls/listen.container.conf").write_text("in the container")
    (tmp_path / "nginx-tls/listen.conf").write_text("on the host")
    (tmp_path / "nginx-tls/more/edit.conf").write_text("")
    (tmp_path / "nginx-tls/link").symlink_to(secret)
    os.mkfifo(tmp_path / "nginx-tls/fifo")
    plan = make_plan_at(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(archive(plan, plan.services[0]))) as tar:
        found = {member.name: member for member in tar}
        listen = tar.extractfile("nginx-tls/listen.conf")
        assert listen is not None
        assert listen.read() == b"in the container"
    assert {name for name, member in found.items() if not member.isdir()} == {
        *("certs/server.crt", "certs/server.key", "nginx-tls/more/edit.conf", "nginx-tls/link"),
        *("nginx-tls/listen.conf", "nginx-tls/listen.container.conf"),
    }
    assert found["nginx-tls/link"].issym()
    assert (found["certs/server.key"].uid, found["certs/server.key"].mode) == (1234, 0o600)
    assert found["run"].mode == 0o1777


def make_plan_at(directory: Path) -> LabPlan:
    return make_plan(LabSpec(name="copied"), directory, image="nginx", user="1234:1234", copied=True)


def test_the_compose_file_of_a_copied_lab_names_the_same_volumes(tmp_path: Path) -> None:
    plan = make_plan_at(tmp_path)
    document = yaml.safe_load(render_compose(plan))
    assert {name: volume["name"] for name, volume in document["volumes"].items()} == {
        service.name: plan.volume_name(service) for service in plan.services
    }
    for service in plan.services:
        (mount,) = document["services"][service.name]["volumes"]
        assert (mount["type"], mount["source"], mount["read_only"]) == ("volume", service.name, True)


@pytest.mark.parametrize(
    ("url", "copies", "machine"),
    [
        ("unix:///var/run/docker.sock", False, ""),
        ("npipe:////./pipe/docker_engine", False, ""),
        ("tcp://127.0.0.1:2375", True, ""),
        ("tcp://localhost:2375", True, ""),
        ("tcp://[::1]:2375", True, ""),
        ("tcp://192.0.2.7:2376", True, "192.0.2.7"),
        ("tcp://engine.example:2376", True, "engine.example"),
    ],
)
def test_files_are_copied_to_an_engine_behind_tcp_and_ports_are_here_unless_it_is_elsewhere(
    url: str, copies: bool, machine: str
) -> None:
    runtime, said = runtime_of(url)
    assert runtime.copies_files() is copies
    assert runtime.publishes_here() is (machine == "")
    text = "\n".join(said)
    assert ("copied into volumes" in text) is copies
    assert (f"bound on {machine}, not here" in text) is bool(machine)
    assert ("no TLS on the way" in text) is bool(machine)


def runtime_of(url: str, *, rootless: bool = False) -> tuple[DockerRuntime, list[str]]:
    """A runtime for an engine that nobody talks to, and what it says about it."""
    said: list[str] = []
    runtime = DockerRuntime(say=said.append)
    engine = Engine(local_api(), Endpoint(url), "Docker Engine", "1", "linux", "amd64", rootless)
    runtime.__dict__["engine"] = engine
    runtime._tell_about(engine)
    return runtime, said


def local_api() -> Any:
    from docker.api import APIClient

    return APIClient(base_url="unix:///nowhere.sock", version="1.41")


def test_files_are_copied_to_a_rootless_engine_and_it_says_why() -> None:
    runtime, said = runtime_of("unix:///run/user/1000/docker.sock", rootless=True)
    assert runtime.copies_files()
    assert "because it is rootless" in said[0]
    assert runtime.describe().startswith("rootless Docker Engine")


def test_files_are_copied_where_selinux_confines_containers_and_it_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked only on a machine that has SELinux, and of an engine on it; played, as no such machine is at hand."""
    api: Any = Info(SecurityOptions=["name=seccomp,profile=default", "name=selinux"])
    here = Endpoint("unix:///var/run/docker.sock")
    monkeypatch.setattr(connection, "SELINUX", tmp_path / "enforce")
    assert not connection._is_confined(api, here)
    (tmp_path / "enforce").touch()
    assert connection._is_confined(api, here)
    assert not connection._is_confined(api, Endpoint("tcp://127.0.0.1:2375"))
    engine = Engine(local_api(), here, "Docker Engine", "1", "linux", "amd64", confined=True)
    said: list[str] = []
    DockerRuntime(say=said.append)._tell_about(engine)
    assert engine.needs_copies
    assert "because SELinux keeps" in said[0]


class Info:
    """The answer to GET /info, of engines that cannot be had everywhere; the words are theirs."""

    def __init__(self, **info: Any) -> None:
        self._info = info

    def info(self) -> dict[str, Any]:
        return self._info


@pytest.mark.parametrize(
    ("owner", "info", "rootless"),
    [
        (1000, {"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}, True),  # Docker 20.10
        (1000, {"SecurityOptions": ["name=seccomp,profile=default"], "Rootless": True}, True),  # Podman 4.3
        (1000, {"SecurityOptions": None}, False),
        (0, {"SecurityOptions": ["name=rootless"]}, False),  # root's socket: not asked
    ],
)
def test_rootless_engines_are_told_by_their_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, info: dict[str, Any], rootless: bool
) -> None:
    api: Any = Info(**info)
    path = tmp_path / "docker.sock"
    path.touch()
    real = os.stat_result(path.stat())
    monkeypatch.setattr(Path, "stat", lambda *_, **__: os.stat_result((*real[:4], owner, *real[5:10])))
    assert _is_rootless(api, Endpoint(f"unix://{path}")) is rootless


def test_an_engine_behind_tcp_is_not_asked_whether_it_is_rootless() -> None:
    nobody: Any = None
    assert not _is_rootless(nobody, Endpoint("tcp://127.0.0.1:2375"))

"""One plan, two ways: SDK calls and the rendered Compose file start the same, and each sees the other's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab.plan.services import LabPlan
from mtlslab.runtime.base import State
from mtlslab.runtime.docker.config import COMPOSE
from mtlslab.runtime.docker.runtime import DockerRuntime

from tests.support.docker_lab import make_lab, wait_for_answers

# What belongs to Compose alone: its version, its own hash, and two labels that it keeps for itself.
COMPOSE_ONLY = {f"{COMPOSE}.{key}" for key in ("version", "config-hash", "image", "depends_on")}


def compose(directory: Path, *arguments: str) -> str:
    command = ["docker", "compose", *arguments]
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def plan(engine: Any, tmp_path: Path, lab_name: str, free_ports: tuple[int, int]) -> Iterator[LabPlan]:
    try:
        subprocess.run(["docker", "compose", "version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        if os.environ.get("MTLSLAB_REQUIRE_ENGINE") == "1":
            raise
        pytest.skip("no docker compose")
    yield make_lab(tmp_path / "lab", lab_name, free_ports)
    DockerRuntime().stop(lab_name)


@pytest.fixture
def started(plan: LabPlan) -> LabPlan:
    runtime = DockerRuntime(pull="never")
    runtime.prepare(plan.lab, plan.image)
    runtime.start(plan)
    return plan


def inspected(engine: Any, plan: LabPlan) -> dict[str, Any]:
    """All that the plan says about containers and network, as the engine reports it."""
    found: dict[str, Any] = {}
    for service in plan.services:
        attributes = engine.containers.get(plan.container_name(service)).attrs
        config, host = attributes["Config"], attributes["HostConfig"]
        found[service.name] = {
            "image": attributes["Image"],
            **{
                key: config[key] for key in ("Entrypoint", "User", "Healthcheck", "StopSignal", "Image", "ExposedPorts")
            },
            "Cmd": config["Cmd"] or [],
            **{key: host[key] for key in ("Tmpfs", "CapDrop", "CapAdd", "SecurityOpt", "PortBindings", "NetworkMode")},
            **{key: host[key] for key in ("ReadonlyRootfs", "Privileged", "LogConfig", "Binds", "IpcMode", "PidMode")},
            **{key: host[key] for key in ("Memory", "MemorySwap", "NanoCpus", "PidsLimit", "ShmSize", "Ulimits")},
            "restart": host["RestartPolicy"]["Name"] in ("", "no"),
            "mounts": sorted((m["Type"], m["Source"], m["Destination"], m["RW"]) for m in attributes["Mounts"]),
            "networks": {
                name: sorted(set(network["Aliases"]) - {attributes["Id"][:12]})
                for name, network in attributes["NetworkSettings"]["Networks"].items()
            },
            "labels": {key: value for key, value in config["Labels"].items() if key not in COMPOSE_ONLY},
        }
    network = engine.networks.list(names=[plan.network])[0].attrs
    labels = {key: value for key, value in network["Labels"].items() if key not in COMPOSE_ONLY}
    found["network"] = {**{key: network[key] for key in ("Driver", "Internal", "EnableIPv6")}, "labels": labels}
    return found


def test_compose_and_the_sdk_start_the_same(engine: Any, plan: LabPlan) -> None:
    compose(plan.directory, "up", "--detach")
    by_compose = inspected(engine, plan)
    compose(plan.directory, "down")
    runtime = DockerRuntime(pull="never")
    runtime.prepare(plan.lab, plan.image)
    runtime.start(plan)
    assert inspected(engine, plan) == by_compose


def test_compose_ps_lists_what_the_sdk_started_as_healthy(started: LabPlan) -> None:
    wait_for_answers(started)
    # `up --wait --no-recreate` waits for the health checks of what is there.
    compose(started.directory, "up", "--wait", "--no-recreate")
    listed = [json.loads(line) for line in compose(started.directory, "ps", "--format", "json").splitlines()]
    assert sorted((one["Service"], one["Health"]) for one in listed) == [
        ("nginx-mtls", "healthy"),
        ("nginx-tls", "healthy"),
    ]
    assert compose(started.directory, "ls", "--filter", f"name={started.lab}", "--format", "json").count("running(2)")


def test_compose_logs_shows_what_the_sdk_started(started: LabPlan) -> None:
    wait_for_answers(started)
    assert "start worker process" in compose(started.directory, "logs", "nginx-mtls")


def test_compose_down_removes_what_the_sdk_started(engine: Any, started: LabPlan) -> None:
    compose(started.directory, "down")
    assert DockerRuntime().status(started.lab) == ()
    assert engine.networks.list(names=[started.network]) == []


def test_what_compose_started_is_seen_kept_and_removed(engine: Any, plan: LabPlan) -> None:
    compose(plan.directory, "up", "--detach")
    runtime = DockerRuntime(pull="never")
    status = runtime.status(plan.lab)
    assert [(one.state, one.directory) for one in status] == [(State.RUNNING, plan.directory)] * 2
    runtime.prepare(plan.lab, plan.image)
    assert runtime.start(plan).created == ()
    assert len(runtime.stop(plan.lab)) == 3
    assert compose(plan.directory, "ps", "--all", "--quiet") == ""
    assert engine.networks.list(names=[plan.network]) == []


def test_a_project_of_somebody_else_under_the_same_name_is_left_alone(
    engine: Any, plan: LabPlan, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "compose.yaml").write_text(
        json.dumps({"name": plan.lab, "services": {"web": {"image": plan.image, "command": ["-v"]}}})
    )
    try:
        compose(other, "up", "--detach")
        assert DockerRuntime().stop(plan.lab) == ()
        assert compose(other, "ps", "--all", "--quiet") != ""
    finally:
        compose(other, "down")


@pytest.mark.parametrize(
    "steps", [("restart",), ("stop", "start"), ("stop", "up -d"), ("kill", "start")], ids=" then ".join
)
@pytest.mark.parametrize("by", ["the SDK", "Compose"])
def test_services_answer_when_compose_starts_them_again(plan: LabPlan, by: str, steps: tuple[str, ...]) -> None:
    """The tmpfs of the second start is as writable as that of the first."""
    if by == "Compose":
        compose(plan.directory, "up", "-d")
    else:
        runtime = DockerRuntime(pull="never")
        runtime.prepare(plan.lab, plan.image)
        runtime.start(plan)
    wait_for_answers(plan)
    for step in steps:
        compose(plan.directory, *step.split())
    wait_for_answers(plan)

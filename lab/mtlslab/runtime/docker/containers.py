"""The containers of a lab: found by label, compared with the plan, started, stopped and removed."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path

from docker.api import APIClient
from docker.errors import APIError, NotFound

from mtlslab.errors import MachineError
from mtlslab.plan.services import LABEL_FINGERPRINT, LABEL_SERVICE, SERVICES, LabPlan, Service
from mtlslab.plan.shell import shell_line
from mtlslab.runtime.base import ServiceStatus, State
from mtlslab.runtime.docker.config import LABEL_WORKING_DIR, container_config
from mtlslab.runtime.docker.logs import count_lines_with
from mtlslab.runtime.docker.ownership import Summary, is_own_container, label_filter, left_alone, name_of
from mtlslab.runtime.engine.connection import Engine, engine_errors, status_code, words
from mtlslab.runtime.engine.endpoint import WITHOUT_DOCKER

STOP_SECONDS = 2  # a server that has not ended this long after its stop signal is killed
_RELOAD_SECONDS = 10
_CONFLICT = 409  # the name is taken, or the container is already being removed
_STATES = {"running": State.RUNNING, "restarting": State.RUNNING, "paused": State.PAUSED}
_PORT_TAKEN = re.compile(r"port is already allocated|address already in use|Ports are not available")


def find(api: APIClient, lab: str, say: Callable[[str], None] | None = None) -> list[Summary]:
    """The lab's own containers in every state, TLS service first; ``say`` is told of others that bear its label."""
    with engine_errors("Cannot list the containers."):
        found = []
        for container in api.containers(all=True, filters=label_filter(lab)):
            if is_own_container(api, lab, container):
                found.append(container)
            elif say:
                say(left_alone(lab, f"container {name_of(container)}"))
    order = {name: place for place, name in enumerate(SERVICES)}
    return sorted(found, key=lambda container: (order.get(service_of(container), len(order)), name_of(container)))


def service_of(container: Summary) -> str:
    """The service that a container runs; empty when its label is gone."""
    return str(container["Labels"].get(LABEL_SERVICE, ""))


def is_as_asked(plan: LabPlan, service: Service, container: Summary, image_id: str | None) -> bool:
    """Whether a container runs just what the plan asks for; ``image_id`` None: any image of that name will do."""
    labels = container["Labels"]
    return (
        container["State"] == "running"
        and plan.labels(service).items() <= labels.items()
        and labels.get(LABEL_WORKING_DIR) == str(plan.directory)
        and name_of(container) == plan.container_name(service)
        and plan.network in container["NetworkSettings"]["Networks"]
        and image_id in (None, container["ImageID"])
    )


def start(engine: Engine, plan: LabPlan, service: Service, created: list[str]) -> None:
    """Create and start a service's container; its id is added to ``created`` as soon as it exists.

    Raises:
        MachineError: name or port taken, image gone, or whatever else the engine says.
    """
    name = plan.container_name(service)
    with engine_errors(f"Cannot start {name}."):
        try:
            config = container_config(plan, service)
            identity = engine.api.create_container_from_config(config, name)["Id"]  # type: ignore[no-untyped-call]
            created.append(identity)
            engine.api.start(identity)
        except APIError as error:
            raise _explained(engine, plan, service, error) from error


def stop_and_remove(api: APIClient, identity: str) -> None:
    """Let a container end by itself, kill it if it does not, and remove it. Gone already is success."""
    with engine_errors("Cannot stop a container."), contextlib.suppress(APIError):  # whatever it is, removing tells
        api.stop(identity, timeout=STOP_SECONDS)
    remove(api, identity)


def remove(api: APIClient, identity: str) -> None:
    """Kill and remove a container. Gone already, or somebody else at it, is success."""
    with engine_errors("Cannot remove a container."), contextlib.suppress(NotFound):
        try:
            api.remove_container(identity, force=True, v=True)
        except APIError as error:
            if status_code(error) != _CONFLICT:
                raise
            api.wait(identity, timeout=STOP_SECONDS, condition="removed")


def status(api: APIClient, container: Summary) -> ServiceStatus:
    """What a person wants to know of a container; one that has ended is asked for its exit code."""
    labels = container["Labels"]
    state = _STATES.get(container["State"], State.EXITED)
    exit_code, detail = _end(api, container) if state is State.EXITED else (None, _health(container["Status"]))
    directory = labels.get(LABEL_WORKING_DIR)
    return ServiceStatus(
        service=service_of(container),
        state=state,
        identity=container["Id"][:12],
        directory=Path(directory) if directory else None,
        fingerprint=labels.get(LABEL_FINGERPRINT, ""),
        exit_code=exit_code,
        detail=detail,
    )


def _end(api: APIClient, container: Summary) -> tuple[int | None, str]:
    if container["State"] == "created":
        return None, "created, never started"
    with engine_errors("Cannot inspect a container."), contextlib.suppress(NotFound):
        state = api.inspect_container(container["Id"])["State"]
        return state["ExitCode"], state.get("Error") or state["Status"]
    return None, "removed"


def _health(text: str) -> str:
    """The word in parentheses of a status like "Up 3 seconds (healthy)", else all of it."""
    found = re.search(r"\((?:health: )?(\w+)\)$", text)
    return found.group(1).lower() if found else text


def _explained(engine: Engine, plan: LabPlan, service: Service, error: APIError) -> Exception:
    """The same error in words that help, for the usual causes."""
    said, name = words(error), plan.container_name(service)
    if status_code(error) == _CONFLICT:
        return MachineError(
            f"There is already a container {name}, and it is not of this lab.",
            why=said,
            hint=f"Remove it ({shell_line(['docker', 'rm', '-f', name])}), or take another lab name: --name",
        )
    if _PORT_TAKEN.search(said):
        return MachineError(
            f"Port {service.port} is taken by {_holder(engine.api, service.port)}.",
            why=said,
            hint=f"End it, or take another port: --{service.name.removeprefix('nginx-')}-port 0",
        )
    if "bind source path does not exist" in said and plan.directory.is_dir():
        return MachineError(
            f"The engine at {engine.endpoint.url} does not see the workspace {plan.directory}.",
            why=said,
            hint=f"Reach it over tcp:// (files are then copied to it), {WITHOUT_DOCKER}",
        )
    return error


def _holder(api: APIClient, port: int) -> str:
    """Who holds a port, as far as the engine knows."""
    with contextlib.suppress(MachineError), engine_errors("Cannot list the containers."):
        for container in api.containers(filters={"publish": str(port)}):  # only those that run
            return f"the container {name_of(container)}"
    return "a process outside of Docker"


def serving_workers(engine: Engine, container: str) -> frozenset[str]:
    """What tells the nginx workers that take connections from those of another configuration: their pids.

    Where the engine cannot list processes (rootless without cgroups), it is how many workers have gone before them.
    """
    try:
        # Docker runs ps on its machine. Podman runs the container's own ps, which our image does not have, unless it is
        # asked in its own words; without arguments it answers with nothing.
        table = engine.api.top(container, ps_args="pid,args" if engine.is_podman else None)
    except APIError:
        return frozenset({f"after {_workers_gone(engine.api, container)}"})
    pid, title = table["Titles"].index("PID"), -1
    # Those that shut down say so in their title.
    return frozenset(row[pid] for row in table["Processes"] if row[title].strip() == "nginx: worker process")


def _workers_gone(api: APIClient, container: str) -> int:
    """How many workers have stopped to take connections: nginx writes a line for each."""
    return count_lines_with(api, container, b"gracefully shutting down")


def await_new_workers(engine: Engine, container: str, old: frozenset[str]) -> None:
    """Return when no worker of before takes connections any more.

    After HUP nginx lets the old workers go on beside the new ones for about 100 ms: whoever connects too early still
    meets the old configuration.

    Raises:
        MachineError: nginx has kept the old workers; ``why`` tells what to look at.
    """
    deadline = time.monotonic() + _RELOAD_SECONDS
    while not (now := serving_workers(engine, container)) or now & old:
        if time.monotonic() > deadline:
            raise MachineError(
                "nginx did not take the new configuration; the old one keeps running.",
                why=f"its workers are the same after {_RELOAD_SECONDS:.0f} seconds",
                hint="mtlslab logs --tail 5",
            )
        time.sleep(0.02)

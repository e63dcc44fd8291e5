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
from mtlslab.runtime.base import ServiceStatus, State, meets
from mtlslab.runtime.docker.config import LABEL_WORKING_DIR, container_config
from mtlslab.runtime.docker.logs import count_lines_with
from mtlslab.runtime.docker.ownership import Summary, is_own_container, label_filter, left_alone, name_of
from mtlslab.runtime.engine.connection import Engine, engine_errors, status_code, words
from mtlslab.runtime.engine.endpoint import WITHOUT_DOCKER

STOP_SECONDS = 2  # from the stop signal (SIGQUIT) to SIGKILL
_RELOAD_SECONDS = 10
_CONFLICT = 409  # the name is taken, or the container is already being removed
_STATES = {"running": State.RUNNING, "restarting": State.RUNNING, "paused": State.PAUSED}
_PORT_TAKEN = re.compile(r"port is already allocated|address already in use|Ports are not available")


def find(api: APIClient, lab: str, say: Callable[[str], None] | None = None) -> list[Summary]:
    """The lab's own containers in every state, TLS service first; ``say`` is told of others that have its label."""
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
    """The service that a container runs; empty if it has no such label."""
    return str(container["Labels"].get(LABEL_SERVICE, ""))


def is_as_asked(plan: LabPlan, service: Service, container: Summary, image_id: str | None) -> bool:
    """Whether a running container matches the plan.

    Args:
        plan: the plan.
        service: the service of the container.
        container: entry of the engine's list of containers.
        image_id: id that its image must have; None accepts any.

    The ports come from the container itself: whoever edits docker-compose.yml changes no label.
    """
    labels = container["Labels"]
    return (
        container["State"] == "running"
        and plan.labels(service).items() <= labels.items()
        and labels.get(LABEL_WORKING_DIR) == str(plan.directory)
        and name_of(container) == plan.container_name(service)
        and plan.network in container["NetworkSettings"]["Networks"]
        and image_id in (None, container["ImageID"])
        and meets(published(container), plan.listen, service.port)
    )


def published(container: Summary) -> tuple[tuple[str, int], ...]:
    """The addresses and ports of the machine at which a container is published, as the engine lists them."""
    bindings = (one for one in container.get("Ports") or () if one.get("PublicPort"))
    return tuple(sorted({(str(one.get("IP") or ""), int(one["PublicPort"])) for one in bindings}))


def start(engine: Engine, plan: LabPlan, service: Service, created: list[str]) -> None:
    """Create and start a service's container; its id is added to ``created`` as soon as it exists.

    Raises:
        MachineError: a name or port is taken, the image is gone, or the engine refuses for another reason.
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
    """Stop a container with its stop signal, kill it after STOP_SECONDS, and remove it; no error if it is gone."""
    # An error that matters comes again when the container is removed.
    with engine_errors("Cannot stop a container."), contextlib.suppress(APIError):
        api.stop(identity, timeout=STOP_SECONDS)
    remove(api, identity)


def remove(api: APIClient, identity: str) -> None:
    """Kill and remove a container; no error if it is gone, or is already being removed."""
    with engine_errors("Cannot remove a container."), contextlib.suppress(NotFound):
        try:
            api.remove_container(identity, force=True, v=True)
        except APIError as error:
            if status_code(error) != _CONFLICT:
                raise
            api.wait(identity, timeout=STOP_SECONDS, condition="removed")


def status(api: APIClient, container: Summary) -> ServiceStatus:
    """The status of a container; an ended one is inspected for its exit code."""
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
        doors=published(container),
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
    """A MachineError with cause and hint for common errors of the engine, else the same error."""
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
    """The container that publishes a port, or "a process outside of Docker"."""
    with contextlib.suppress(MachineError), engine_errors("Cannot list the containers."):
        for container in api.containers(filters={"publish": str(port)}):  # only those that run
            return f"the container {name_of(container)}"
    return "a process outside of Docker"


def serving_workers(engine: Engine, container: str) -> frozenset[str]:
    """Identifies the nginx workers that accept connections, by their pids.

    Where the engine cannot list processes (rootless without cgroups), the number of workers that have shut down so far
    stands for their pids: it changes when new workers replace the old ones.
    """
    try:
        # Docker runs ps on its machine. Podman lists the processes itself if the arguments are its own descriptors.
        # With other arguments it runs ps in the container, where our image has none; without any, its list is empty.
        table = engine.api.top(container, ps_args="pid,args" if engine.is_podman else None)
    except APIError:
        return frozenset({f"after {_workers_gone(engine.api, container)}"})
    pid, title = table["Titles"].index("PID"), -1
    # A worker that shuts down has another title: "nginx: worker process is shutting down".
    return frozenset(row[pid] for row in table["Processes"] if row[title].strip() == "nginx: worker process")


def serving_since(engine: Engine, container: str) -> float | None:
    """When the newest serving worker was started, in seconds since 1970; None where the engine cannot tell.

    Up to a second later than it was: ps counts whole seconds.
    """
    if engine.is_podman:  # it runs ps in the container, where our image has none
        return None
    try:
        table = engine.api.top(container, ps_args="-eo pid,etimes,args")
    except APIError:
        return None
    now = time.time()
    ages = [row[1] for row in table["Processes"] if row[-1].strip() == "nginx: worker process"]
    return max((now - int(age) for age in ages if age.strip().isdigit()), default=None)


def _workers_gone(api: APIClient, container: str) -> int:
    """How many workers have stopped accepting connections: nginx logs a line for each."""
    return count_lines_with(api, container, b"gracefully shutting down")


def await_new_workers(engine: Engine, container: str, old: frozenset[str]) -> None:
    """Return when none of the ``old`` workers accepts connections any more.

    After HUP, old and new workers accept connections side by side for about 100 ms: a client that connects in that time
    may still get the old configuration.

    Raises:
        MachineError: nginx has kept the old workers.
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

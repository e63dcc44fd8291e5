"""What a lab's containers may reach, as the engine shows it (``docker inspect``): an edited Compose file is seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docker import APIClient

from mtlslab.plan.services import LABEL_SERVICE, SERVICES, LabPlan
from mtlslab.runtime.base import Bind, Surroundings
from mtlslab.runtime.docker.config import COMPOSE
from mtlslab.runtime.docker.containers import find
from mtlslab.runtime.engine.connection import engine_errors

_NAMESPACES = ("Network", "Pid", "Ipc", "UTS", "Userns")
_DESKTOP = "/host_mnt"  # where Docker Desktop sees the files of its user


def surroundings_of(api: APIClient, plan: LabPlan) -> tuple[Surroundings, ...]:
    """The lab's containers that run, and others of its Compose project.

    Raises:
        MachineError: the engine cannot be asked.
    """
    with engine_errors("Cannot inspect the containers."):
        project = api.containers(filters={"label": f"{COMPOSE}.project={plan.lab}"})
        own = [one for one in find(api, plan.lab) if one["State"] in ("running", "paused")]
        found = {one["Id"]: one for one in (*own, *project)}
        return tuple(_told(api.inspect_container(identity)) for identity in found)


def _told(facts: dict[str, Any]) -> Surroundings:
    host, config = facts["HostConfig"], facts["Config"]
    dropped = {str(one).upper().removeprefix("CAP_") for one in host.get("CapDrop") or ()}
    given = tuple(str(one) for one in host.get("CapAdd") or ())
    label = (config.get("Labels") or {}).get(LABEL_SERVICE, "")
    return Surroundings(
        service=label if label in SERVICES else "",
        identity=str(facts["Name"]).lstrip("/"),
        doors=tuple(_doors(facts)),
        user=str(config.get("User") or "0").partition(":")[0].replace("root", "0"),
        contained=True,
        binds=tuple(_binds(facts)),
        writable_root=not host.get("ReadonlyRootfs"),
        # Podman names each capability that it drops in place of ALL.
        capabilities=given if "ALL" in dropped or len(dropped) > len(given) else ("the engine's own set", *given),
        privileged=bool(host.get("Privileged")),
        gains_privileges=not any(str(one).startswith("no-new-privileges") for one in host.get("SecurityOpt") or ()),
        shared=tuple(_shared(host)),
    )


def _doors(facts: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for bindings in (facts["NetworkSettings"].get("Ports") or {}).values():
        for one in bindings or ():
            yield one["HostIp"] or "0.0.0.0", int(one["HostPort"])  # noqa: S104  what an empty one means


def _binds(facts: dict[str, Any]) -> Iterator[Bind]:
    for one in facts.get("Mounts") or ():
        if one.get("Type") != "tmpfs":
            source = one.get("Name") if one.get("Type") == "volume" else str(one.get("Source", ""))
            yield Bind(str(source).removeprefix(_DESKTOP), one["Destination"], bool(one.get("RW")))
    for device in facts["HostConfig"].get("Devices") or ():
        yield Bind(device["PathOnHost"], device["PathInContainer"], writable=True)


def _shared(host: dict[str, Any]) -> Iterator[str]:
    for name in _NAMESPACES:
        mode = str(host.get(f"{name}Mode") or "")
        if mode == "host" or mode.startswith(("container:", "ns:")):
            yield f"{name.lower()}: {mode}"

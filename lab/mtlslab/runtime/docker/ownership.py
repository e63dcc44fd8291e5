"""Decides which containers, volumes and networks of an engine are a lab's own. Changes nothing in the engine.

A label alone does not prove it: any user of the engine may put it on any object. An object is the lab's own if it has
all the labels that the lab sets, and one more property: a volume or network has the name from the plan; a container,
which may have been renamed, has the service's files mounted as in the plan.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import PurePosixPath
from typing import Any

from docker.api import APIClient
from docker.errors import NotFound

from mtlslab.plan.services import (
    CONTAINER_ROOT,
    LABEL_FINGERPRINT,
    LABEL_LAB,
    LABEL_SERVICE,
    SERVICES,
    network_name,
    volume_name,
)
from mtlslab.runtime.docker.config import LABEL_ONE_OFF, LABEL_VERSION, network_labels, volume_labels
from mtlslab.runtime.engine.connection import engine_errors

Summary = dict[str, Any]  # a container, volume or network, as in the lists of the Docker Engine API
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def label_filter(lab: str) -> dict[str, Any]:
    """The filter of the engine's lists for all objects with a lab's label, the lab's own or not."""
    return {"label": [f"{LABEL_LAB}={lab}"]}


def is_own_container(api: APIClient, lab: str, container: Summary) -> bool:
    """Whether a container is a service of the lab, or the container through which files are copied.

    Raises:
        docker.errors.APIError: the list has no mounts (Podman), and the engine refused to inspect the container.
    """
    labels = container["Labels"] or {}
    if labels.get(LABEL_LAB) != lab:
        return False
    service = labels.get(LABEL_SERVICE)
    if service is None:
        copies = labels.get(LABEL_ONE_OFF) == "True" and container["State"] == "created"
        return copies and any(_is_volume_of(lab, SERVICES, mount) for mount in _mounts(api, container))
    return (
        service in SERVICES
        and _FINGERPRINT.fullmatch(labels.get(LABEL_FINGERPRINT, "")) is not None
        and any(_has_files(lab, service, mount) for mount in _mounts(api, container))
    )


def is_own_volume(lab: str, volume: Summary) -> bool:
    """Whether a volume holds the copied files of a service of the lab."""
    return any(
        volume["Name"] == volume_name(lab, service) and _bears(volume, volume_labels(lab, service))
        for service in SERVICES
    )


def is_own_network(lab: str, network: Summary) -> bool:
    """Whether a network is the lab's."""
    return network["Name"] == network_name(lab) and _bears(network, network_labels(lab))


def name_of(container: Summary) -> str:
    """The container's name; its short id if it has no name, as while it is being removed."""
    return str((container["Names"] or [container["Id"][:12]])[0]).lstrip("/")


def foreign_things(api: APIClient, lab: str) -> tuple[str, ...]:
    """Objects that have the lab's label and are not the lab's own, in words such as ``volume my-data``.

    Raises:
        MachineError: the engine refuses.
    """
    with engine_errors(f"Cannot look for what bears the label of the lab {lab!r}."):
        containers = api.containers(all=True, filters=label_filter(lab))
        volumes = api.volumes(filters=label_filter(lab))["Volumes"] or ()
        networks = api.networks(filters=label_filter(lab))
        return (
            *(f"container {name_of(one)}" for one in containers if not is_own_container(api, lab, one)),
            *(f"volume {one['Name']}" for one in volumes if not is_own_volume(lab, one)),
            *(f"network {one['Name']}" for one in networks if not is_own_network(lab, one)),
        )


def own_labs(api: APIClient) -> tuple[str, ...]:
    """Names of the labs that have a container, a volume or a network of their own in the engine.

    Raises:
        MachineError: the engine refuses.
    """
    bears = {"label": [LABEL_LAB]}
    with engine_errors("Cannot list what runs."):
        containers = api.containers(all=True, filters=bears)
        volumes = api.volumes(filters=bears)["Volumes"] or ()
        networks = api.networks(filters=bears)
        names = {
            *(_lab_of(one) for one in containers if is_own_container(api, _lab_of(one), one)),
            *(_lab_of(one) for one in volumes if is_own_volume(_lab_of(one), one)),
            *(_lab_of(one) for one in networks if is_own_network(_lab_of(one), one)),
        }
    return tuple(sorted(names))


def _lab_of(thing: Summary) -> str:
    return str(thing["Labels"][LABEL_LAB])


def left_alone(lab: str, thing: str) -> str:
    """The sentence about an object that has the lab's label and is not the lab's own."""
    return f"Left alone: {thing} bears the label {LABEL_LAB}={lab} but is not the lab's."


def _bears(thing: Summary, labels: dict[str, str]) -> bool:
    """Whether an object has all of these labels; Compose's version may differ, as Compose may have created it."""
    present = thing.get("Labels") or {}
    return all(present.get(key) == value for key, value in labels.items() if key != LABEL_VERSION)


def _mounts(api: APIClient, container: Summary) -> list[dict[str, Any]]:
    """The mounts of a container; Podman's list does not contain them, so there the container is inspected."""
    if container.get("Mounts"):
        return list(container["Mounts"])
    with contextlib.suppress(NotFound):  # removed since it was listed
        return list(api.inspect_container(container["Id"]).get("Mounts") or ())
    return []


def _has_files(lab: str, service: str, mount: dict[str, Any]) -> bool:
    """Whether a mount is read-only, and is the service's directory of a workspace or the volume with its copy."""
    if mount.get("RW"):
        return False
    if mount.get("Type") == "volume":
        return _is_volume_of(lab, (service,), mount)
    return (
        mount.get("Destination") == f"{CONTAINER_ROOT}/{service}"
        and PurePosixPath(mount.get("Source", "")).name == service
    )


def _is_volume_of(lab: str, services: tuple[str, ...], mount: dict[str, Any]) -> bool:
    names = [volume_name(lab, service) for service in services]
    return mount.get("Destination") == CONTAINER_ROOT and mount.get("Name") in names

"""Turns the plan into request bodies and labels of the Docker Engine API. Makes no call.

The Compose file is rendered from the same plan; a test compares the containers that both start.
"""

from __future__ import annotations

from typing import Any

from mtlslab.plan.paths import COMPOSE_FILE
from mtlslab.plan.services import (
    CONTAINER_ROOT,
    CONTAINER_TMPFS,
    LABEL_LAB,
    LABEL_SERVICE,
    LabPlan,
    Mount,
    Service,
)

# Labels by which `docker compose ps`, `logs` and `down` recognise what belongs to a project.
COMPOSE = "com.docker.compose"
LABEL_WORKING_DIR = f"{COMPOSE}.project.working_dir"
LABEL_ONE_OFF = f"{COMPOSE}.oneoff"
LABEL_VERSION = f"{COMPOSE}.version"
_COMPOSE_VERSION = "2.0.0"  # the first version of Compose that uses these labels
_NANOSECONDS = 1_000_000_000


def container_config(plan: LabPlan, service: Service) -> dict[str, Any]:
    """Body of ``POST /containers/create`` (Docker Engine API) for one service."""
    port = f"{service.port}/tcp"
    return {
        "Image": plan.image,
        "Entrypoint": ["nginx", *service.command(CONTAINER_ROOT)],
        "Cmd": [],
        "User": plan.user,
        "StopSignal": "SIGQUIT",
        "Labels": container_labels(plan, service),
        "ExposedPorts": {port: {}},
        "Healthcheck": {
            "Test": ["CMD", "nginx", *service.test_command(CONTAINER_ROOT)],
            "Interval": plan.health.interval * _NANOSECONDS,
            "Timeout": plan.health.timeout * _NANOSECONDS,
            "Retries": plan.health.retries,
        },
        "HostConfig": {
            "NetworkMode": plan.network,
            "PortBindings": {port: [{"HostIp": plan.listen, "HostPort": str(service.port)}]},
            "Mounts": _mounts(plan, service),
            "Tmpfs": {CONTAINER_TMPFS: plan.tmpfs_options},
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            # An engine that cannot enforce a limit (rootless without cgroups) warns and creates the container anyway.
            "Memory": plan.limits.memory,
            "PidsLimit": plan.limits.processes,
            "LogConfig": {"Type": plan.limits.log_driver, "Config": plan.limits.log_options},
        },
        "NetworkingConfig": {
            "EndpointsConfig": {plan.network: {"Aliases": [plan.container_name(service), service.name]}}
        },
    }


def container_labels(plan: LabPlan, service: Service) -> dict[str, str]:
    """Our labels and Compose's for the container of a service."""
    return {
        **plan.labels(service),
        f"{COMPOSE}.project": plan.lab,
        f"{COMPOSE}.project.config_files": str(plan.directory / COMPOSE_FILE),
        LABEL_WORKING_DIR: str(plan.directory),
        f"{COMPOSE}.service": service.name,
        f"{COMPOSE}.container-number": "1",
        LABEL_ONE_OFF: "False",
        # Compose compares this with a hash of its own, so `docker compose up` re-creates the container.
        f"{COMPOSE}.config-hash": service.fingerprint,
        LABEL_VERSION: _COMPOSE_VERSION,
    }


def network_labels(lab: str) -> dict[str, str]:
    """Our labels and Compose's for the network of a lab."""
    return {
        LABEL_LAB: lab,
        f"{COMPOSE}.project": lab,
        f"{COMPOSE}.network": "default",
        LABEL_VERSION: _COMPOSE_VERSION,
    }


def volume_labels(lab: str, service: str) -> dict[str, str]:
    """Our labels and Compose's for the volume with copies of a service's files."""
    return {
        LABEL_LAB: lab,
        LABEL_SERVICE: service,
        f"{COMPOSE}.project": lab,
        f"{COMPOSE}.volume": service,
        LABEL_VERSION: _COMPOSE_VERSION,
    }


def copier_config(plan: LabPlan, service: Service) -> dict[str, Any]:
    """Body of ``POST /containers/create`` for the container through which files are copied; it is never started.

    The labels let ``mtlslab down`` and ``docker compose down`` find it if an interrupt has left it behind.
    """
    return {
        "Image": plan.image,
        "Entrypoint": ["nginx"],
        "User": plan.user,
        "Labels": {LABEL_LAB: plan.lab, f"{COMPOSE}.project": plan.lab, LABEL_ONE_OFF: "True"},
        "HostConfig": {
            "NetworkMode": "none",
            "Mounts": [{**_volume(plan, service), "ReadOnly": False}],
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
        },
    }


def _mounts(plan: LabPlan, service: Service) -> list[dict[str, Any]]:
    return [_volume(plan, service)] if plan.copied else [_bind(plan, mount) for mount in service.mounts]


def _volume(plan: LabPlan, service: Service) -> dict[str, Any]:
    return {
        "Type": "volume",
        "Source": plan.volume_name(service),
        "Target": CONTAINER_ROOT,
        "ReadOnly": True,
        "VolumeOptions": {"NoCopy": True},
    }


def _bind(plan: LabPlan, mount: Mount) -> dict[str, Any]:
    # A mount of type "bind" fails if its source is missing; the older "Binds" would create a directory there.
    return {"Type": "bind", "Source": str(plan.directory / mount.source), "Target": mount.target, "ReadOnly": True}

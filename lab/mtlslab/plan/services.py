"""The plan: which services must run, and with which files.

The Compose file, the calls of the Docker SDK and the embedded processes are all derived from it. Paths in the workspace
are POSIX paths relative to it. In a container the same tree is below ``CONTAINER_ROOT``, so one nginx.conf with
relative paths works in both places.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import stat
from pathlib import Path

from mtlslab.plan import choices as words
from mtlslab.plan.paths import CLIENT_CA, CRL_DIRECTORY, SERVER_CERT, SERVER_KEY
from mtlslab.plan.spec import LabSpec

TLS_SERVICE, MTLS_SERVICE, SERVICES = words.TLS_SERVICE, words.MTLS_SERVICE, words.SERVICES
CONTAINER_ROOT = "/lab"
CONTAINER_TMPFS = f"{CONTAINER_ROOT}/run"

# Labels by which the containers of a lab are found; the runtime adds the labels of Compose.
LABEL_LAB = "mtlslab.lab"
LABEL_SERVICE = "mtlslab.service"
LABEL_FINGERPRINT = "mtlslab.fingerprint"


@dataclasses.dataclass(frozen=True)
class Mount:
    """A file or directory of the workspace (``source``, relative) that a container gets read-only at ``target``."""

    source: str
    target: str


@dataclasses.dataclass(frozen=True)
class Service:
    """One nginx server.

    Attributes:
        name: service name, ``nginx-tls`` or ``nginx-mtls``; also its directory in the workspace.
        mutual: whether it is the service with mutual TLS.
        port: TCP port, the same on the host and in the container.
        mounts: files and directories of the workspace that its container gets.
        fingerprint: SHA-256 (hex) over the definition and the content of all mounted files. A running service with
            another fingerprint must be replaced. Empty until the files are written.
    """

    name: str
    mutual: bool
    port: int
    mounts: tuple[Mount, ...]
    fingerprint: str = ""

    @property
    def conf(self) -> str:
        """Path of the nginx.conf relative to the workspace."""
        return f"{self.name}/nginx.conf"

    def command(self, root: str, directives: str = "daemon off;") -> list[str]:
        """The nginx arguments that run this service with the workspace at ``root`` (no trailing slash)."""
        return [*self._base(root), "-g", directives]

    def test_command(self, root: str) -> list[str]:
        """The nginx arguments that test the configuration of this service (``nginx -t``)."""
        return [*self._base(root), "-t", "-q"]

    def dump_command(self, root: str) -> list[str]:
        """The nginx arguments that test the configuration of this service and print all of its files (``nginx -T``).

        nginx tells its version first, on stderr.
        """
        return [*self._base(root), "-v", "-T", "-q"]

    def _base(self, root: str) -> list[str]:
        # nginx puts the prefix in front of a relative path.
        return ["-p", f"{root}/", "-c", self.conf if root == "." else f"{root}/{self.conf}"]


@dataclasses.dataclass(frozen=True)
class HealthCheck:
    """Health check of a container, as Docker defines it; ``interval`` and ``timeout`` in seconds."""

    interval: int = 2
    timeout: int = 5
    retries: int = 5


@dataclasses.dataclass(frozen=True)
class Limits:
    """Resource limits of one container.

    Attributes:
        memory: bytes. An nginx worker needs a few MiB: enough for ``worker_processes auto`` on a large machine.
        processes: number of processes and threads. During a reload, old and new workers run at the same time.
        log_driver: log driver of the engine. It is set because the engine's default may keep logs without limit, or be
            a driver whose logs cannot be read.
        log_size: maximum size of one log file, in the syntax of the driver.
        log_files: maximum number of log files; the oldest is removed.
    """

    memory: int = 512 * 1024 * 1024
    processes: int = 1024
    log_driver: str = "json-file"
    log_size: str = "10m"
    log_files: int = 3

    @property
    def log_options(self) -> dict[str, str]:
        """Options of the log driver, as Docker and Compose take them."""
        return {"max-size": self.log_size, "max-file": str(self.log_files)}


@dataclasses.dataclass(frozen=True)
class LabPlan:
    """The services of one lab, and how they run.

    Attributes:
        lab: the lab's name, also the Compose project.
        directory: absolute path of the workspace.
        listen: address on this machine that the ports are bound to.
        image: container image in use: the wanted one, or the one that replaces it.
        user: ``UID:GID`` of the containers: the owner of the server's private key, whose mode is 0600.
        services: the services, TLS first.
        health: health check of the containers.
        limits: resource limits of each container.
        copied: whether the engine cannot mount the files, and gets copies in one volume per service.
    """

    lab: str
    directory: Path
    listen: str
    image: str
    user: str
    services: tuple[Service, ...]
    health: HealthCheck = HealthCheck()
    limits: Limits = Limits()
    copied: bool = False

    @property
    def network(self) -> str:
        """Name of the lab's network; see :func:`network_name`."""
        return network_name(self.lab)

    @property
    def tmpfs_options(self) -> str:
        """Mount options of the containers' tmpfs; see tmpfs(5).

        It belongs to the plan's user. Its mode alone would not do: when a container starts again, runc before 1.1.8
        gives the tmpfs the mode of the mount point that the first start has left, and nginx could not write there.
        """
        uid, _, gid = self.user.partition(":")
        return f"mode=1777,size=16m,uid={uid},gid={gid}"

    def service(self, name: str) -> Service:
        """The service of that name.

        Raises:
            KeyError: there is none.
        """
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    def labels(self, service: Service) -> dict[str, str]:
        """The labels of a service's container: they identify it, and compare it with the plan."""
        return {LABEL_LAB: self.lab, LABEL_SERVICE: service.name, LABEL_FINGERPRINT: service.fingerprint}

    def container_name(self, service: Service) -> str:
        """Name of a service's container, as Compose names the first container of a service."""
        return f"{self.lab}-{service.name}-1"

    def volume_name(self, service: Service) -> str:
        """Name of the volume that holds copies of a service's files; see :func:`volume_name`."""
        return volume_name(self.lab, service.name)


def network_name(lab: str) -> str:
    """Name of a lab's network, as Compose names a project's default network."""
    return f"{lab}_default"


def volume_name(lab: str, service: str) -> str:
    """Name of the volume with the copied files of a lab's service, as Compose names the volumes of a project."""
    return f"{lab}_{service}"


def make_plan(spec: LabSpec, directory: Path, *, image: str, user: str, copied: bool = False) -> LabPlan:
    """Make the plan of a lab whose workspace is ``directory``; the ports in ``spec`` must be chosen (not 0)."""
    return LabPlan(
        lab=spec.name,
        directory=directory,
        listen=spec.listen,
        image=image,
        user=user,
        services=(
            Service(TLS_SERVICE, False, spec.tls_port, _mounts(TLS_SERVICE)),
            Service(
                MTLS_SERVICE,
                True,
                spec.mtls_port,
                _mounts(MTLS_SERVICE, CLIENT_CA, *([CRL_DIRECTORY] if spec.crl else [])),
            ),
        ),
        copied=copied,
    )


def with_fingerprints(plan: LabPlan) -> LabPlan:
    """The same plan with each service's fingerprint, computed from the files in the workspace.

    Raises:
        OSError: a mounted file is missing or cannot be read.
    """
    services = tuple(dataclasses.replace(service, fingerprint=_fingerprint(plan, service)) for service in plan.services)
    return dataclasses.replace(plan, services=services)


def _mounts(service: str, *more: str) -> tuple[Mount, ...]:
    # Certificates are mounted one by one: a container must not get the CA keys in the same directory. The service's
    # directory is mounted as a whole, so that a reload sees a file that an editor replaced by renaming.
    same_place = (service, SERVER_CERT, SERVER_KEY, *more)
    return (
        *(Mount(path, f"{CONTAINER_ROOT}/{path}") for path in same_place),
        # nginx.conf includes listen.conf: on the host it names the listen address, in a container it must not.
        Mount(f"{service}/listen.container.conf", f"{CONTAINER_ROOT}/{service}/listen.conf"),
    )


def _fingerprint(plan: LabPlan, service: Service) -> str:
    definition = [
        dataclasses.asdict(dataclasses.replace(service, fingerprint="")),
        plan.image,
        plan.user,
        plan.tmpfs_options,
        plan.listen,
        dataclasses.asdict(plan.health),
        dataclasses.asdict(plan.limits),
        plan.copied,
    ]
    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode())
    for mount in service.mounts:
        source = plan.directory / mount.source
        files = sorted(source.iterdir()) if source.is_dir() else [source]
        for file in files:
            digest.update(f"\0{file.name}\0".encode())
            digest.update(_content(file))
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    # Other entries of a mounted directory (a FIFO, a directory, a link) count by their name only: reading a FIFO would
    # wait forever, and the target of a link does not exist in a container.
    return path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b""

"""Finds the address of the Docker Engine, and checks that something listens there.

The order is that of the docker command: DOCKER_HOST, else DOCKER_CONTEXT, else the current context of the Docker
configuration, else the default socket. The check works without the Docker SDK, which takes long to import: on a machine
without an engine it takes a millisecond.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mtlslab.errors import MachineError
from mtlslab.plan.shell import shell_line
from mtlslab.runtime.programs import find_program
from mtlslab.runtime.table import other_runtimes

DEFAULT_URL = "npipe:////./pipe/docker_engine" if sys.platform == "win32" else "unix:///var/run/docker.sock"
CONNECT_SECONDS = 2.0  # an engine answers in milliseconds; `--runtime auto` must not wait long for a dead address
WITHOUT_DOCKER = f"or run without Docker: {other_runtimes('docker')}"


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """The address of an engine.

    Attributes:
        url: as in DOCKER_HOST, for example ``unix:///var/run/docker.sock`` or ``tcp://host:2376``.
        source: the setting it comes from, for messages: "DOCKER_HOST", "the Docker context 'x'"; empty for the default.
        tls: ``docker.tls.TLSConfig`` for TCP with TLS, else None.
    """

    url: str
    source: str = ""
    tls: Any = None

    @property
    def origin(self) -> str:
        """The address and the setting it comes from, for messages."""
        return f"{self.url} (from {self.source})" if self.source else self.url

    @property
    def socket(self) -> Path | None:
        """Path of the Unix socket; None for other kinds of address."""
        parts = urlsplit(self.url)
        return Path(parts.netloc + parts.path) if parts.scheme == "unix" else None

    @property
    def is_network(self) -> bool:
        """Whether it is reached over TCP; the engine then may not see this machine's disk."""
        return urlsplit(self.url).scheme in ("tcp", "http", "https")

    @property
    def other_machine(self) -> str:
        """Name or address of the engine's machine; empty for this machine (Unix socket, localhost, loopback)."""
        host = (urlsplit(self.url).hostname or "") if self.is_network else ""
        return "" if host == "localhost" or _is_loopback(host) else host


def find_endpoint() -> Endpoint:
    """The address that the docker command would use.

    Raises:
        MachineError: DOCKER_HOST, its TLS settings or the Docker context are invalid.
    """
    if os.environ.get("DOCKER_HOST"):
        return _from_environment()
    configured = os.environ.get("DOCKER_CONTEXT") or os.path.isfile(_config_file())  # False without permission
    return _from_context() if configured else Endpoint(DEFAULT_URL)


def knock(endpoint: Endpoint, timeout: float = CONNECT_SECONDS) -> None:
    """Check that something listens at an endpoint, without the Docker SDK; ``timeout`` in seconds.

    Raises:
        MachineError: nothing listens, access is denied, or the address is invalid; the message tells which.
    """
    parts = _parts(endpoint)
    if parts.scheme == "unix":
        _knock_unix(endpoint, parts.netloc + parts.path, timeout)
    elif parts.scheme in ("tcp", "http", "https"):
        _knock_tcp(endpoint, parts, timeout)
    elif parts.scheme != "npipe":
        raise MachineError(
            f"Cannot reach Docker: {endpoint.origin} is not an address that mtlslab can use.",
            why=f"the scheme {parts.scheme!r} is none of unix, tcp, npipe",
            hint="Over SSH, forward the socket: ssh -NL /tmp/docker.sock:/var/run/docker.sock HOST, "
            "then export DOCKER_HOST=unix:///tmp/docker.sock"
            if parts.scheme == "ssh"
            else "For example: export DOCKER_HOST=unix:///var/run/docker.sock",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _from_environment() -> Endpoint:
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env

    source = "DOCKER_HOST"
    try:
        tls = kwargs_from_env().get("tls")  # DOCKER_TLS_VERIFY and DOCKER_CERT_PATH
    except DockerException as error:
        raise _bad_setting(source, str(error), "Check DOCKER_TLS_VERIFY and DOCKER_CERT_PATH") from error
    return Endpoint(_as_docker_reads(os.environ["DOCKER_HOST"].strip(), secure=bool(tls)), source, tls)


def _as_docker_reads(address: str, *, secure: bool) -> str:
    """An address as the docker command completes it: with TCP, localhost, and port 2375, or 2376 for TLS."""
    if "://" not in address:
        address = f"tcp://{address}"
    scheme, _, place = address.partition("://")
    if scheme == "unix" and not place:
        return DEFAULT_URL
    if scheme != "tcp":
        return address
    authority, slash, path = place.partition("/")
    if authority.startswith(":"):
        authority = f"localhost{authority}"
    has_port = ":" in authority.rpartition("]")[2]
    return f"tcp://{authority or 'localhost'}{'' if has_port else f':{2376 if secure else 2375}'}{slash}{path}"


def _from_context() -> Endpoint:
    from docker.context import ContextAPI
    from docker.context.config import get_current_context_name

    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    source = f"the Docker context {name!r}"
    if name == "default":
        return Endpoint(DEFAULT_URL)
    try:
        context = ContextAPI.get_context(name)
    except Exception as error:  # the SDK raises bare Exception for a corrupt context file
        raise _bad_setting(source, str(error), "See: docker context ls") from error
    if context is None or not context.Host:
        raise _bad_setting(source, "there is no such context", "See: docker context ls")
    return Endpoint(context.Host.replace("http+unix://", "unix://"), source, context.TLSConfig)


def _config_file() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or _home() / ".docker") / "config.json"


def _home() -> Path:
    # Stays "~" for a user with neither HOME nor a passwd entry, as in many containers: then no file is found.
    return Path(os.path.expanduser("~"))


def _parts(endpoint: Endpoint) -> Any:
    try:
        parts = urlsplit(endpoint.url)
        port = parts.port
    except ValueError as error:
        raise _bad_setting(endpoint.source, str(error), "An address looks like tcp://HOST:2375") from error
    if not parts.scheme or (parts.scheme == "tcp" and not (parts.hostname and port)):
        raise _bad_setting(
            endpoint.source,
            f"{endpoint.url!r} is not the address of an engine",
            "An address looks like unix:///var/run/docker.sock or tcp://HOST:2375",
        )
    return parts


def _bad_setting(source: str, why: str, hint: str) -> MachineError:
    return MachineError(f"Cannot reach Docker: {source} cannot be used.", why=why, hint=hint)


def _knock_unix(endpoint: Endpoint, path: str, timeout: float) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(timeout)
        try:
            probe.connect(path)
        except PermissionError as error:
            raise MachineError(
                f"Cannot reach Docker: you may not use the socket {path}.",
                why=str(error),
                hint=f"sudo usermod -aG docker $USER, log in again, {WITHOUT_DOCKER}",
            ) from error
        except OSError as error:
            raise _nobody_at_socket(endpoint, path, error) from error


def _nobody_at_socket(endpoint: Endpoint, path: str, error: OSError) -> MachineError:
    if endpoint.source:
        return MachineError(
            f"Cannot reach Docker: nothing answers at {endpoint.origin}.",
            why=f"{path}: {error.strerror or error}",
            hint=f"Start that engine, point {endpoint.source} elsewhere, {WITHOUT_DOCKER}",
        )
    other = _other_socket()
    if other:
        return MachineError(
            f"Cannot reach Docker at {path}.",
            why=f"{error.strerror or error}; but there is a socket {other}",
            hint=shell_line(["export", f"DOCKER_HOST=unix://{other}"]),
        )
    if isinstance(error, FileNotFoundError) and not (find_program("docker") or find_program("dockerd")):
        return MachineError(
            "Cannot reach Docker: it is not installed.",
            why=f"there is neither a docker command nor a socket {path}",
            hint=f"Install it (https://docs.docker.com/engine/install/), {WITHOUT_DOCKER}",
        )
    start = "Start Docker Desktop" if sys.platform == "darwin" else "sudo systemctl start docker"
    return MachineError(
        "Cannot reach Docker: it is installed, but its engine does not run.",
        why=f"{path}: {error.strerror or error}",
        hint=f"{start}, {WITHOUT_DOCKER}",
    )


def _other_socket() -> Path | None:
    """A socket of a rootless or desktop engine, which is used only if DOCKER_HOST or a Docker context names it."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    rootless = [Path(runtime) / "docker.sock", Path(runtime) / "podman/podman.sock"] if runtime else []
    desktop = [
        _home() / place
        for place in (
            *(".docker/run/docker.sock", ".docker/desktop/docker.sock", ".colima/default/docker.sock"),
            *(".config/colima/default/docker.sock", ".orbstack/run/docker.sock", ".rd/docker.sock"),
            ".local/share/containers/podman/machine/podman.sock",
        )
    ]
    for candidate in (*rootless, *desktop):
        with contextlib.suppress(OSError):
            if candidate.is_socket():
                return candidate
    return None


def _knock_tcp(endpoint: Endpoint, parts: Any, timeout: float) -> None:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout).close()
    except (OSError, UnicodeError) as error:  # a name that cannot be one, such as "a..b"
        raise MachineError(
            f"Cannot reach Docker: nothing answers at {endpoint.origin}.",
            why=str(error),
            hint=f"Start that engine, point {endpoint.source} elsewhere, {WITHOUT_DOCKER}",
        ) from error

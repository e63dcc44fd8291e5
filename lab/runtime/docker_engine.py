"""Reaching a Docker Engine: where it is, why it cannot be reached, and its errors in words that help.

Looked for the way the docker command does it: DOCKER_HOST, else DOCKER_CONTEXT, else the current context of the
Docker configuration, else the default socket. The socket itself is tried before the Docker SDK is imported: a machine
without an engine is told apart in a millisecond.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lab.errors import MachineError

if TYPE_CHECKING:
    from docker.api import APIClient

DEFAULT_URL = "npipe:////./pipe/docker_engine" if sys.platform == "win32" else "unix:///var/run/docker.sock"
CONNECT_SECONDS = 2.0  # an engine answers in milliseconds; a dead address must not keep `--runtime auto` waiting
CALL_SECONDS = 60.0
WITHOUT_DOCKER = "or run without Docker: --runtime embedded"


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where an engine is expected.

    Attributes:
        url: as in DOCKER_HOST, for example ``unix:///var/run/docker.sock`` or ``tcp://host:2376``.
        source: who says so, for people: "DOCKER_HOST", "the Docker context 'x'"; empty for the default.
        tls: ``docker.tls.TLSConfig`` for a TCP engine behind TLS, else None.
    """

    url: str
    source: str = ""
    tls: Any = None

    @property
    def origin(self) -> str:
        """The address and who named it, for messages."""
        return f"{self.url} (from {self.source})" if self.source else self.url


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine that answered.

    Attributes:
        api: low-level client; may be used by several threads.
        endpoint: where it is.
        product: "Docker Engine" or what else speaks its API, such as "Podman Engine".
        version: of the product.
        os: operating system that its containers see, such as ``linux``.
        arch: architecture in Go's words, such as ``amd64`` or ``arm64``.
    """

    api: APIClient
    endpoint: Endpoint
    product: str
    version: str
    os: str
    arch: str


def find_endpoint() -> Endpoint:
    """Where the docker command would look for an engine.

    Raises:
        MachineError: DOCKER_HOST or the context says something that cannot be understood.
    """
    if os.environ.get("DOCKER_HOST"):
        return _from_environment()
    configured = os.environ.get("DOCKER_CONTEXT") or _config_file().is_file()
    return _from_context() if configured else Endpoint(DEFAULT_URL)


def connect(endpoint: Endpoint, timeout: float = CONNECT_SECONDS) -> Engine:
    """Connect to an engine and learn its version; ``timeout`` in seconds holds for each step.

    Raises:
        MachineError: there is no engine, it does not run, it may not be used, or something else answers there.
    """
    knock(endpoint, timeout)
    from docker.errors import DockerException

    try:
        api, answer = _open(endpoint, timeout)
    except DockerException as error:
        raise _no_engine(endpoint, str(error)) from error
    component = (answer.get("Components") or [{}])[0].get("Name", "Engine")
    return Engine(
        api=api,
        endpoint=endpoint,
        product="Docker Engine" if component == "Engine" else component,
        version=answer.get("Version", "of unknown version"),
        os=answer.get("Os", ""),
        arch=answer.get("Arch", ""),
    )


def knock(endpoint: Endpoint, timeout: float = CONNECT_SECONDS) -> None:
    """Find out whether anybody listens at an endpoint, without the Docker SDK.

    Raises:
        MachineError: nobody does, with the cause told apart.
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
            hint="over SSH, forward the socket: ssh -NL /tmp/docker.sock:/var/run/docker.sock HOST, "
            "then export DOCKER_HOST=unix:///tmp/docker.sock"
            if parts.scheme == "ssh"
            else "export DOCKER_HOST=unix:///var/run/docker.sock",
        )


@contextlib.contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Turn every error of the Docker SDK inside the block into a MachineError that says ``what`` failed."""
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except APIError as error:
        raise MachineError(what, why=words(error)) from error
    except (DockerException, RequestException, HTTPError) as error:
        raise MachineError(what, why=f"the engine stopped answering: {error}", hint="docker version") from error


def words(error: Exception) -> str:
    """What the engine itself said, without the HTTP around it."""
    return str(getattr(error, "explanation", None) or error).strip()


def status_code(error: Exception) -> int:
    """HTTP status of an APIError; 0 when there is none."""
    return int(getattr(error, "status_code", None) or 0)


def _open(endpoint: Endpoint, timeout: float) -> tuple[APIClient, dict[str, Any]]:
    from docker.api import APIClient

    class Client(APIClient):
        """Keeps the answer to the version call that the SDK makes anyway: a call less in every command."""

        answer: dict[str, Any]

        def version(self, api_version: bool = True) -> Any:
            self.answer = super().version(api_version)
            return self.answer

    api = Client(base_url=endpoint.url, tls=endpoint.tls or False, version="auto", timeout=timeout)  # type: ignore[arg-type]  # float seconds work
    api.timeout = CALL_SECONDS  # type: ignore[assignment]
    return api, api.answer


def _from_environment() -> Endpoint:
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env

    source = "DOCKER_HOST"
    try:
        tls = kwargs_from_env().get("tls")  # DOCKER_TLS_VERIFY and DOCKER_CERT_PATH
    except DockerException as error:
        raise _bad_setting(source, str(error), "check DOCKER_TLS_VERIFY and DOCKER_CERT_PATH") from error
    return Endpoint(os.environ["DOCKER_HOST"].strip(), source, tls)


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
        raise _bad_setting(source, str(error), "docker context ls") from error
    if context is None or not context.Host:
        raise _bad_setting(source, "there is no such context", "docker context ls")
    return Endpoint(context.Host.replace("http+unix://", "unix://"), source, context.TLSConfig)


def _config_file() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"


def _parts(endpoint: Endpoint) -> Any:
    try:
        parts = urlsplit(endpoint.url)
        port = parts.port
    except ValueError as error:
        raise _bad_setting(endpoint.source, str(error), "an address looks like tcp://HOST:2375") from error
    if not parts.scheme or (parts.scheme == "tcp" and not (parts.hostname and port)):
        raise _bad_setting(
            endpoint.source,
            f"{endpoint.url!r} is not the address of an engine",
            "an address looks like unix:///var/run/docker.sock or tcp://HOST:2375",
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
                hint=f"sudo usermod -aG docker $USER, then log in again; {WITHOUT_DOCKER}",
            ) from error
        except OSError as error:
            raise _nobody_at_socket(endpoint, path, error) from error


def _nobody_at_socket(endpoint: Endpoint, path: str, error: OSError) -> MachineError:
    if endpoint.source:
        return MachineError(
            f"Cannot reach Docker: nothing answers at {endpoint.origin}.",
            why=f"{path}: {error.strerror or error}",
            hint=f"start that engine, or point {endpoint.source} elsewhere; {WITHOUT_DOCKER}",
        )
    other = _other_socket()
    if other:
        return MachineError(
            f"Cannot reach Docker at {path}.",
            why=f"{error.strerror or error}; but there is a socket {other}",
            hint=f"export DOCKER_HOST=unix://{other}",
        )
    if isinstance(error, FileNotFoundError) and not (shutil.which("docker") or shutil.which("dockerd")):
        return MachineError(
            "Cannot reach Docker: it is not installed.",
            why=f"there is neither a docker command nor a socket {path}",
            hint=f"install it: https://docs.docker.com/engine/install/ {WITHOUT_DOCKER}",
        )
    start = "start Docker Desktop" if sys.platform == "darwin" else "sudo systemctl start docker"
    return MachineError(
        "Cannot reach Docker: it is installed, but its engine does not run.",
        why=f"{path}: {error.strerror or error}",
        hint=f"{start}; {WITHOUT_DOCKER}",
    )


def _other_socket() -> Path | None:
    """A socket of a rootless or desktop engine, which the docker command too uses only when told to."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    rootless = [Path(runtime) / "docker.sock", Path(runtime) / "podman/podman.sock"] if runtime else []
    desktop = [Path.home() / ".docker/run/docker.sock", Path.home() / ".docker/desktop/docker.sock"]
    for candidate in (*rootless, *desktop):
        with contextlib.suppress(OSError):
            if candidate.is_socket():
                return candidate
    return None


def _knock_tcp(endpoint: Endpoint, parts: Any, timeout: float) -> None:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout).close()
    except OSError as error:
        raise MachineError(
            f"Cannot reach Docker: nothing answers at {endpoint.origin}.",
            why=str(error),
            hint=f"start that engine, or: unset DOCKER_HOST, docker context use default; {WITHOUT_DOCKER}",
        ) from error


def _no_engine(endpoint: Endpoint, why: str) -> MachineError:
    return MachineError(
        f"Cannot reach Docker: what answers at {endpoint.origin} is not an engine that mtlslab can use.",
        why=why,
        hint=f"docker version; {WITHOUT_DOCKER}",
    )

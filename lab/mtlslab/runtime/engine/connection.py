"""Connects to a Docker Engine, and turns errors of the Docker SDK into MachineError.

This module loads the Docker SDK. Call :func:`mtlslab.runtime.engine.endpoint.knock` first: it needs no SDK.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docker.api import APIClient
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from mtlslab.errors import MachineError
from mtlslab.runtime.engine.client_config import BareClient
from mtlslab.runtime.engine.endpoint import CONNECT_SECONDS, WITHOUT_DOCKER, Endpoint, knock

CALL_SECONDS = 60.0
SELINUX = Path("/sys/fs/selinux/enforce")  # is there where the kernel has SELinux switched on


@dataclasses.dataclass(frozen=True)
class Engine:
    """A connected engine.

    Attributes:
        api: low-level client; may be used by several threads.
        endpoint: address of the engine.
        product: "Docker Engine", or another product with the same API, such as "Podman Engine".
        version: version of the product.
        os: operating system of its containers, such as ``linux``.
        arch: architecture as a GOARCH value, such as ``amd64`` or ``arm64``.
        rootless: whether it runs without root's rights, in a user namespace: uids in its containers are mapped to
            other uids outside.
        confined: whether SELinux keeps its containers from this machine's files that are not labelled for them.
    """

    api: APIClient
    endpoint: Endpoint
    product: str
    version: str
    os: str
    arch: str
    rootless: bool = False
    confined: bool = False

    @property
    def is_podman(self) -> bool:
        """Whether it is Podman, whose Docker API differs in some calls."""
        return self.product.startswith("Podman")

    @property
    def needs_copies(self) -> bool:
        """Whether its containers need copies of the files: they cannot see them, or are not let read them."""
        return self.endpoint.is_network or self.rootless or self.confined


def connect(endpoint: Endpoint, timeout: float = CONNECT_SECONDS) -> Engine:
    """Connect to an engine and ask for its version, once in each process.

    Args:
        endpoint: address of the engine.
        timeout: seconds for each step.

    Raises:
        MachineError: no engine is installed or running, access is denied, or another kind of server answers.
    """
    knock(endpoint, timeout)
    return _connected(endpoint, timeout)


@functools.cache
def _connected(endpoint: Endpoint, timeout: float) -> Engine:
    try:
        api, answer = _open(endpoint, timeout)
        component = (answer.get("Components") or [{}])[0].get("Name", "Engine")
    except DockerException as error:
        raise _no_engine(endpoint, str(error)) from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # An answer, or the Docker configuration, is JSON of another shape than the SDK and we expect.
        raise _no_engine(endpoint, f"{type(error).__name__}: {error}") from error
    return Engine(
        api=api,
        endpoint=endpoint,
        product="Docker Engine" if component == "Engine" else str(component),
        version=str(answer.get("Version", "of unknown version")),
        os=str(answer.get("Os", "")),
        arch=str(answer.get("Arch", "")),
        rootless=_is_rootless(api, endpoint),
        confined=_is_confined(api, endpoint),
    )


def _is_rootless(api: APIClient, endpoint: Endpoint) -> bool:
    """Whether the engine is rootless; not asked if root owns its socket, nor over TCP (files are copied anyway)."""
    path = endpoint.socket
    if path is None or path.stat().st_uid == 0:
        return False
    info = _info(api)
    # Docker and newer Podman list it in SecurityOptions, Podman 4 has the field Rootless.
    return "name=rootless" in (info.get("SecurityOptions") or ()) or bool(info.get("Rootless"))


def _is_confined(api: APIClient, endpoint: Endpoint) -> bool:
    """Whether the engine labels its containers with SELinux; not asked where this machine has none (a local socket)."""
    if endpoint.socket is None or not SELINUX.exists():
        return False
    return "name=selinux" in (_info(api).get("SecurityOptions") or ())


def _info(api: APIClient) -> dict[str, Any]:
    with engine_errors("Cannot ask the engine about itself."):
        info: dict[str, Any] = api.info()
        return info


@contextlib.contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Turn every error of the Docker SDK inside the block into a MachineError with the sentence ``what``."""
    try:
        yield
    except APIError as error:
        raise MachineError(what, why=words(error), hint=f"Look into the engine's log, {WITHOUT_DOCKER}") from error
    except (DockerException, RequestException, HTTPError) as error:
        raise MachineError(
            what, why=f"the engine stopped answering: {error}", hint="Look at: docker version"
        ) from error


def words(error: Exception) -> str:
    """The engine's own error message, without the HTTP status around it."""
    return str(getattr(error, "explanation", None) or error).strip()


def status_code(error: Exception) -> int:
    """The HTTP status of an APIError; 0 when there is none."""
    return int(getattr(error, "status_code", None) or 0)


class _Client(BareClient):
    """Keeps the answer to the version call that the SDK makes at the start, so that no second call is needed."""

    answer: dict[str, Any]

    def version(self, api_version: bool = True) -> Any:
        # This is the first call of the SDK. From here on, requests ignores REQUESTS_CA_BUNDLE, which would replace the
        # engine's CA, and HTTP_PROXY, which would send the calls to a proxy.
        self.trust_env = False
        self.answer = super().version(api_version)
        return self.answer


def _open(endpoint: Endpoint, timeout: float) -> tuple[APIClient, dict[str, Any]]:
    api = _Client(base_url=endpoint.url, tls=endpoint.tls or False, version="auto", timeout=timeout)
    api.timeout = CALL_SECONDS  # type: ignore[assignment]
    return api, api.answer


def _no_engine(endpoint: Endpoint, why: str) -> MachineError:
    return MachineError(
        f"Cannot reach Docker: what answers at {endpoint.origin} is not an engine that mtlslab can use.",
        why=why,
        hint=f"Look at: docker version, {WITHOUT_DOCKER}",
    )

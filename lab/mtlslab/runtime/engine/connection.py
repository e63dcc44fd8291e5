"""A Docker Engine that answered, and its errors in words that help.

This loads the Docker SDK; whether anybody listens is found out before (:func:`mtlslab.runtime.engine.endpoint.knock`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

from docker.api import APIClient
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from mtlslab.errors import MachineError
from mtlslab.runtime.engine.endpoint import CONNECT_SECONDS, WITHOUT_DOCKER, Endpoint, knock

CALL_SECONDS = 60.0


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
        rootless: whether it runs without root's rights: users in its containers are other users outside.
    """

    api: APIClient
    endpoint: Endpoint
    product: str
    version: str
    os: str
    arch: str
    rootless: bool = False

    @property
    def is_podman(self) -> bool:
        """Whether it is Podman behind Docker's API, which differs here and there."""
        return self.product.startswith("Podman")

    @property
    def needs_copies(self) -> bool:
        """Whether its containers need copies of files: it may not see this disk, or not as the files' owner does."""
        return self.endpoint.is_network or self.rootless


def connect(endpoint: Endpoint, timeout: float = CONNECT_SECONDS) -> Engine:
    """Connect to an engine and learn its version; ``timeout`` in seconds holds for each step.

    Within one process, an engine is asked for its version once.

    Raises:
        MachineError: there is no engine, it does not run, it may not be used, or something else answers there.
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
    )


def _is_rootless(api: APIClient, endpoint: Endpoint) -> bool:
    """Whether an engine says so; behind root's own socket it is not asked, and behind TCP it does not matter."""
    path = endpoint.socket
    if path is None or path.stat().st_uid == 0:
        return False
    with engine_errors("Cannot ask the engine about itself."):
        info = api.info()
    # Docker and newer Podman say it among the security options, Podman 4 in a field of its own.
    return "name=rootless" in (info.get("SecurityOptions") or ()) or bool(info.get("Rootless"))


@contextlib.contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Turn every error of the Docker SDK inside the block into a MachineError that says ``what`` failed."""
    try:
        yield
    except APIError as error:
        raise MachineError(what, why=words(error), hint=f"Look into the engine's log, {WITHOUT_DOCKER}") from error
    except (DockerException, RequestException, HTTPError) as error:
        raise MachineError(
            what, why=f"the engine stopped answering: {error}", hint="Look at: docker version"
        ) from error


def words(error: Exception) -> str:
    """What the engine itself said, without the HTTP around it."""
    return str(getattr(error, "explanation", None) or error).strip()


def status_code(error: Exception) -> int:
    """HTTP status of an APIError; 0 when there is none."""
    return int(getattr(error, "status_code", None) or 0)


class _Client(APIClient):
    """Keeps the answer to the version call that the SDK makes anyway: a call less in every command."""

    answer: dict[str, Any]

    def version(self, api_version: bool = True) -> Any:
        # This is the first call. From here on, REQUESTS_CA_BUNDLE does not override the CA of the engine, and
        # HTTP_PROXY does not take its calls elsewhere.
        self.trust_env = False
        self.answer = super().version(api_version)
        return self.answer


def _open(endpoint: Endpoint, timeout: float) -> tuple[APIClient, dict[str, Any]]:
    api = _Client(base_url=endpoint.url, tls=endpoint.tls or False, version="auto", timeout=timeout)  # type: ignore[arg-type]  # float seconds work
    api.timeout = CALL_SECONDS  # type: ignore[assignment]
    return api, api.answer


def _no_engine(endpoint: Endpoint, why: str) -> MachineError:
    return MachineError(
        f"Cannot reach Docker: what answers at {endpoint.origin} is not an engine that mtlslab can use.",
        why=why,
        hint=f"Look at: docker version, {WITHOUT_DOCKER}",
    )

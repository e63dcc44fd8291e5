"""What the rules look at: the configuration of both services, the lab's settings, and its files."""

from __future__ import annotations

import dataclasses
import functools
import posixpath
from collections.abc import Iterator

from mtlslab.errors import LabError
from mtlslab.plan.paths import CLIENT_CA, CRL, HELLO
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.base import Surroundings
from mtlslab.verify.configuration.locations import choose, is_internal
from mtlslab.verify.configuration.model import Configuration, Scope
from mtlslab.verify.configuration.rewrite import End, Route, World, routes, routes_and_worlds
from mtlslab.workspace.directory import Workspace

PAGE = f"/{HELLO}"
_ELSEWHERE = "/no-location-is-made-for-this-path"


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the rules look at.

    Attributes:
        tls, mtls: the configurations of the two services.
        spec: the lab's settings.
        workspace: its files.
        read_at: when nginx of the mTLS service has read its files last, in seconds since 1970; None when nobody knows.
        surroundings: what really runs, as the runtime shows it; empty where it cannot be asked.
        nginx: product and version of the mTLS service's nginx; empty where it does not tell.
        unheard: why nginx itself was not heard, so that this is what lies on the disk; empty when it was.
    """

    tls: Configuration
    mtls: Configuration
    spec: LabSpec
    workspace: Workspace
    surroundings: tuple[Surroundings, ...] = ()
    unheard: str = ""
    read_at: float | None = None
    nginx: str = ""

    @property
    def both(self) -> tuple[Configuration, Configuration]:
        """The configurations, TLS service first."""
        return self.tls, self.mtls

    def port(self, configuration: Configuration) -> int:
        """The port of a service."""
        return {TLS_SERVICE: self.spec.tls_port, MTLS_SERVICE: self.spec.mtls_port}[configuration.service]

    def read(self, path: str) -> bytes | None:
        """The content of a file of the workspace; None when there is none, or no plain one, or it lies elsewhere."""
        if posixpath.isabs(path) or path.startswith("..") or path in ("", "."):
            return None
        try:
            return self.workspace.read(path)
        except (LabError, OSError, ValueError):  # ValueError: a name with a NUL
            return None

    def written_at(self, path: str) -> float | None:
        """When a file of the workspace was written last, in seconds since 1970; None when there is no such file."""
        if self.read(path) is None:
            return None
        return (self.workspace.directory / path).stat().st_mtime

    @functools.cached_property
    def client_ca(self) -> bytes:
        """The client CA's certificate, PEM."""
        return self.read(CLIENT_CA) or b""

    @functools.cached_property
    def revocation_list(self) -> bytes | None:
        """The lab's revocation list, PEM; None when there is none."""
        return self.read(CRL)

    @functools.cached_property
    def open_servers(self) -> tuple[Scope, ...]:
        """The servers of the mTLS service that serve anything to anybody."""
        return tuple(server for server in self.mtls.servers if serves(self.mtls, server))


def serves(configuration: Configuration, server: Scope) -> bool:
    """Whether a server has anything to give: one that ends the handshake, or refuses every request, has not."""
    if server.value("ssl_reject_handshake") == "on":
        return False
    return next(served(configuration, server, None), None) is not None


def served(configuration: Configuration, server: Scope, verify: str | None) -> Iterator[tuple[Scope, Route]]:
    """The blocks of a server that answer a client with content, each with the route that leads there.

    Args:
        configuration: the service.
        server: the server block.
        verify: what ``$ssl_client_verify`` says of the client; None for whatever it says.
    """
    http = configuration.http_block
    for route, world in routes_and_worlds(server, World(verify, http)):
        if route.end is End.REFUSED:
            continue
        if route.end is End.ANSWERED:
            yield server, route
            continue
        for block in _asked(server):
            # A location has its own variables no less than its server's.
            for last in routes(block, world) if block.kind == "location" else (route,):
                if last.end is not End.REFUSED and not _denied(block):
                    yield block, dataclasses.replace(last, choices=(*route.choices, *last.choices))


def _asked(server: Scope) -> Iterator[Scope]:
    """The blocks of a server that a client can ask for something."""
    yield from (location for location in server.locations() if not is_internal(location))
    if choose(server, _ELSEWHERE) is server:
        yield server


def _denied(block: Scope) -> bool:
    return (
        any(one.first == "all" for one in block.in_force("deny"))
        and not block.in_force("allow")
        and block.value("satisfy", "all") == "all"
    )

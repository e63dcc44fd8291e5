"""What a door is, and a knock at it. Values only."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import Any

from mtlslab.plan.shell import shell_line
from mtlslab.probe.model import DEFAULT_PATH, Attempt, KeyFiles

SCHEMA = "mtlslab.doors/1"
NO_CERTIFICATE = "none"
SERVER_CERTIFICATE = "server-certificate"
"""The client that shows the server's own certificate."""
UNAUTHORISED = ("self-signed", "other-ca-same-name", "expired")
"""The unauthorised clients that are faults."""
DEFAULT_DOORS = 200  # knocks; measured: 2 to 3 ms each


class Group(StrEnum):
    """What is varied at a door; the rest is as in the usual request."""

    NAMES = "names"
    LISTENERS = "listeners"
    LOCATIONS = "locations"
    PROTOCOLS = "protocols"
    METHODS = "methods"
    HEADERS = "headers"
    TLS_SERVICE = "tls-service"


@dataclasses.dataclass(frozen=True)
class Door:
    """One way in which a service can be asked.

    Attributes:
        service: service name.
        address, port: where to connect.
        tls: whether TLS is spoken, or HTTP in clear.
        sni: name in the URL and in SNI; empty for a client that knows the address only.
        host: Host header if it is another name.
        path: path of the URL.
        protocol: version of HTTP, as in :class:`mtlslab.probe.model.Attempt`.
        method: of the request.
        headers: further header fields.
        source: address of this machine to connect from; empty leaves it to the system.
        tls_version: the only TLS version that is offered; None for all.
    """

    service: str
    address: str
    port: int
    tls: bool = True
    sni: str = "localhost"
    host: str | None = None
    path: str = DEFAULT_PATH
    protocol: str = "2"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    source: str = ""
    tls_version: str | None = None

    def attempt(self, credential: KeyFiles | None, timeout: float) -> Attempt:
        """The attempt of a client: it trusts every server, and sends what curl sends."""
        return Attempt(
            port=self.port,
            host=self.sni or self.address,
            address=self.address,
            path=self.path,
            tls_version=self.tls_version,
            insecure=True,
            credential=credential if self.tls else None,
            timeout=timeout,
            source=self.source,
            method=self.method,
            http_version=self.protocol,
            host_header=self.host,
            headers=self.headers,
            as_curl=True,
            plain=not self.tls,
        )

    def __str__(self) -> str:
        where = Attempt(self.port, host=self.sni or self.address, path=self.path, plain=not self.tls).url
        what = [self.method] if self.method != "GET" else []
        if self.sni and self.address not in ("127.0.0.1", self.sni):
            where += f" at {self.address}"
        if self.host is not None:
            what.append(f"Host {self.host}")
        if self.protocol != "2":
            what.append(f"HTTP/{self.protocol}")
        if self.tls_version:
            what.append(f"TLS {self.tls_version}")
        what += [shell_line([f"{name}: {value}"]) for name, value in self.headers]
        if self.source:
            what.append(f"from {self.source}")
        return f"{where} ({', '.join(what)})" if what else where


@dataclasses.dataclass(frozen=True)
class Knock:
    """An unauthorised client at a door.

    Attributes:
        group: what is varied.
        door: where.
        client: ``NO_CERTIFICATE``, ``SERVER_CERTIFICATE``, or the name of a fault.
    """

    group: Group
    door: Door
    client: str = NO_CERTIFICATE


@dataclasses.dataclass(frozen=True)
class DoorList:
    """The knocks that are made, most telling first in each group, and how many there was no room for.

    Attributes:
        knocks: those that are made.
        left_out: group -> number of knocks that are not.
        problem: why the list is not made from the effective configuration or the open sockets; empty if it is.
        strangers: open sockets that no ``listen`` of the rendered configuration explains, as ``ADDRESS:PORT``.
    """

    knocks: tuple[Knock, ...]
    left_out: dict[Group, int]
    problem: str = ""
    strangers: tuple[str, ...] = ()

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready values, schema ``mtlslab.doors/1``."""
        return {
            "schema": SCHEMA,
            "problem": self.problem,
            "left_out": {group.value: count for group, count in self.left_out.items()},
            "knocks": [
                {"group": one.group.value, "client": one.client, **dataclasses.asdict(one.door)} for one in self.knocks
            ],
        }

    def of(self, group: Group) -> tuple[Knock, ...]:
        """The knocks of one group."""
        return tuple(knock for knock in self.knocks if knock.group is group)

"""The list of doors: from the effective configuration and the sockets that are open, each thing varied by itself."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.runtime.base import OpenSocket
from mtlslab.verify.configuration.model import Configuration, Listen, Scope
from mtlslab.verify.doors.hints import hinted
from mtlslab.verify.doors.locations import CLIMBS, SPELLINGS, paths_of
from mtlslab.verify.doors.model import (
    NO_CERTIFICATE,
    SERVER_CERTIFICATE,
    UNAUTHORISED,
    Door,
    DoorList,
    Group,
    Knock,
)
from mtlslab.verify.doors.samples import names_for

UNKNOWN_NAME = "nobody-knows.test"
_EVERYWHERE = ("", "0.0.0.0", "::", "[::]", "*")  # noqa: S104 - read, not bound
# Another listen may have the usual address for itself: so a second one of the network is tried.
_LOOPBACK, _SECOND_LOOPBACK, _LOOPBACK_6 = "127.0.0.1", "127.0.0.2", "::1"
_MOST_PORTS = 10  # of a range
_METHODS = ("HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND", "TRACE", "CONNECT")
# What proxies and people use in order to vouch for a client.
_HEADERS = (
    (("X-SSL-Client-Verify", "SUCCESS"),),
    (("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1")),
    (("X-Forwarded-Proto", "https"),),
    (("User-Agent", "kube-probe/1.29"),),
    (("Range", "bytes=0-"),),
    (("Connection", "close"),),
    # Refused before anybody looks at certificates: what error_page makes of that is another way in.
    (("Transfer-Encoding", "unknown"),),
)
_NO_HOST = "no..host"  # refused likewise


@dataclasses.dataclass(frozen=True)
class Ground:
    """What the list is made from.

    Attributes:
        tls, mtls: the usual doors of the two services.
        configurations: of the two services, TLS service first; empty when they cannot be read.
        sockets: that are open; empty when nobody can tell.
        crl: whether a revoked client must be refused.
        listen: the address on which the lab is to listen.
        server_is_client: whether the server's own certificate passes as a client's, by the CAs that the user brought.
    """

    tls: Door
    mtls: Door
    configurations: tuple[Configuration, ...] = ()
    sockets: Sequence[OpenSocket] = ()
    crl: bool = False
    listen: str = "127.0.0.1"
    server_is_client: bool = False

    @property
    def clients(self) -> tuple[str, ...]:
        """The unauthorised clients, the most telling first."""
        revoked = ("revoked",) if self.crl else ()
        servers = () if self.server_is_client else (SERVER_CERTIFICATE,)
        return (NO_CERTIFICATE, *UNAUTHORISED, *revoked, *servers)

    def configuration(self, service: str) -> Configuration | None:
        """The configuration of a service, if it is known."""
        return next((one for one in self.configurations if one.service == service), None)

    def servers(self, service: str) -> tuple[Scope, ...]:
        """The server blocks of a service."""
        configuration = self.configuration(service)
        return configuration.servers if configuration else ()


def list_doors(ground: Ground, most: int, problem: str = "") -> DoorList:
    """At most ``most`` knocks: those of all groups in turn, the most telling of each first."""
    groups = {group: list(_distinct(group, make(ground))) for group, make in _MAKERS.items()}
    turns = itertools.zip_longest(*groups.values())
    knocks = [knock for turn in turns for knock in turn if knock is not None]
    made, rest = knocks[:most], knocks[most:]
    left_out = {group: sum(knock.group is group for knock in rest) for group in groups}
    return DoorList(tuple(made), left_out, problem, tuple(_strangers(ground)))


def _distinct(group: Group, pairs: Iterable[tuple[Door, str]]) -> Iterator[Knock]:
    return (Knock(group, door, client) for door, client in dict.fromkeys(pairs))


def _crossed(doors: Sequence[Door], clients: Sequence[str]) -> Iterator[tuple[Door, str]]:
    """Every client at every door: the first client everywhere, then the second."""
    return ((door, client) for client in clients for door in doors)


# --- names


def _names(ground: Ground) -> Iterator[tuple[Door, str]]:
    base, known = ground.mtls, _names_of(ground.servers(MTLS_SERVICE))
    called = [dataclasses.replace(base, sni=name) for name in (*known, UNKNOWN_NAME, "", base.sni)]
    crossed = [
        dataclasses.replace(base, sni=sni, host=host)
        for name in (*known, UNKNOWN_NAME)
        for sni, host in ((base.sni, name), (name, base.sni), ("", name))
    ]
    first, *others = ground.clients
    yield from _crossed(called, (first,))
    yield from _crossed(crossed, (first,))
    yield from _crossed(called, others)
    # A certificate of anybody is shown under one name, and another one is asked for.
    yield from _crossed(crossed, others[:1])


def _names_of(servers: Iterable[Scope]) -> tuple[str, ...]:
    written = (name for server in servers for one in server.own("server_name") for name in one.args)
    return tuple(dict.fromkeys(sample for name in written for sample in names_for(name)))


def _name_of(server: Scope, base: Door) -> str:
    return next(iter(_names_of([server])), base.sni)


# --- listeners


def _listeners(ground: Ground) -> Iterator[tuple[Door, str]]:
    base = ground.mtls
    doors = [dataclasses.replace(base, tls=False), dataclasses.replace(base, tls=False, protocol="1.1")]
    for address, port, name in _places(ground, MTLS_SERVICE, base):
        there = dataclasses.replace(base, address=address, port=port, sni=name)
        if (address, port) != (base.address, base.port):
            doors += [there, dataclasses.replace(there, tls=False, protocol="1.1")]
    yield from _crossed(doors, ground.clients[:1])
    yield from _crossed([door for door in doors if door.tls], ground.clients[1:])


def _places(ground: Ground, service: str, base: Door) -> Iterator[tuple[str, int, str]]:
    """Address, port and a name that is known there, of every place at which a service may answer."""
    own = [socket.address for socket in ground.sockets if socket.service == service and not socket.port]
    for server in ground.servers(service):
        configuration = ground.configuration(service)
        name = _name_of(server, base)
        for listen in configuration.listens(server) if configuration else ():
            if configuration and configuration.contained:
                # What is published is a socket of this machine; the rest is at the container's own address.
                inside = [port for port in _ports(listen) if port != base.port]
                yield from ((address, port, name) for address in own for port in inside)
                continue
            for address in _addresses(listen.address):
                yield from ((address, port, name) for port in _ports(listen))
    for socket in ground.sockets:
        if socket.service == service and socket.port:
            yield from ((address, socket.port, base.sni) for address in _addresses(socket.address))


def _ports(listen: Listen) -> Iterator[int]:
    return itertools.islice(filter(None, range(listen.port, listen.last_port + 1)), _MOST_PORTS)


def _addresses(address: str) -> tuple[str, ...]:
    """Where a socket is reached: one that is bound to all addresses is reached over loopback, too."""
    bare = address.strip("[]")
    if address in _EVERYWHERE:
        return (*((_LOOPBACK_6,) if ":" in address else ()), _LOOPBACK, _SECOND_LOOPBACK)
    return () if address.startswith("unix:") else (bare,)


def _strangers(ground: Ground) -> Iterator[str]:
    """Open sockets that the lab was not asked for."""
    for door in (ground.tls, ground.mtls):
        for socket in ground.sockets:
            planned = socket.port == door.port and (socket.address == ground.listen or ground.listen in _EVERYWHERE)
            if socket.service == door.service and socket.port and not planned:
                yield f"{socket.address}:{socket.port} ({socket.service})"


# --- locations, protocols, methods, headers


def _locations(ground: Ground) -> Iterator[tuple[Door, str]]:
    base, configuration = ground.mtls, ground.configuration(MTLS_SERVICE)
    own = [
        dataclasses.replace(base, sni=_name_of(server, base), path=path)
        for server in ground.servers(MTLS_SERVICE)
        for path in (paths_of(configuration, server) if configuration else ())
    ]
    spelt = [dataclasses.replace(base, path=path) for path in SPELLINGS]
    own = list(dict.fromkeys(own))
    yield from _crossed(own, ground.clients[:1])
    yield from _crossed(spelt, ground.clients[:1])
    yield from _crossed([door for door in own if door.path != base.path], ground.clients[1:3])


def _protocols(ground: Ground) -> Iterator[tuple[Door, str]]:
    doors = [
        dataclasses.replace(ground.mtls, protocol=protocol, tls_version=version)
        for protocol, version in (("2", None), ("1.0", None), ("1.1", None), ("2", "1.2"), ("1.1", "1.3"))
    ]
    yield from _crossed(doors, ground.clients)


def _methods(ground: Ground) -> Iterator[tuple[Door, str]]:
    doors = [dataclasses.replace(ground.mtls, method=method) for method in _METHODS]
    yield from _crossed(doors, ground.clients[:1])
    yield from _crossed([dataclasses.replace(door, protocol="1.1") for door in doors[:3]], ground.clients[:2])
    yield from _crossed(doors[:3], ground.clients[1:])


def _headers(ground: Ground) -> Iterator[tuple[Door, str]]:
    configuration = ground.configuration(MTLS_SERVICE)
    found = list(dict.fromkeys(hinted(configuration, ground.mtls))) if configuration else []
    usual = [dataclasses.replace(ground.mtls, protocol="1.1", headers=headers) for headers in _HEADERS]
    usual.append(dataclasses.replace(ground.mtls, host=_NO_HOST))
    yield from _crossed(found, ground.clients[:1])
    yield from _crossed(usual, ground.clients[:1])
    yield from _crossed(found, ground.clients[1:2])


# --- the other service


def _tls_service(ground: Ground) -> Iterator[tuple[Door, str]]:
    base, configuration = ground.tls, ground.configuration(TLS_SERVICE)
    servers = ground.servers(TLS_SERVICE)
    doors = [base]
    doors += [
        dataclasses.replace(base, sni=_name_of(server, base), path=path)
        for server in servers
        for path in (paths_of(configuration, server) if configuration else ())
    ]
    doors += [dataclasses.replace(base, sni=name) for name in (*_names_of(servers), UNKNOWN_NAME, "")]
    for address, port, name in _places(ground, TLS_SERVICE, base):
        there = dataclasses.replace(base, address=address, port=port, sni=name)
        doors += [there] if (address, port) == (base.address, base.port) else [there, _in_clear(there)]
    doors += [dataclasses.replace(base, path=path, protocol="1.1") for path in CLIMBS]
    yield from _crossed(doors, ground.clients[:1])


def _in_clear(door: Door) -> Door:
    return dataclasses.replace(door, tls=False, protocol="1.1")


_MAKERS: dict[Group, Callable[[Ground], Iterator[tuple[Door, str]]]] = {
    Group.NAMES: _names,
    Group.LISTENERS: _listeners,
    Group.LOCATIONS: _locations,
    Group.PROTOCOLS: _protocols,
    Group.METHODS: _methods,
    Group.HEADERS: _headers,
    Group.TLS_SERVICE: _tls_service,
}

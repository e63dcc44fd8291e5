"""The words of the table: what is true of a server, and what a cell is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path

MARKER = "hello from afar"
"""Stands in every page that only who is let in may see."""


class Truth(StrEnum):
    """What a server does about client certificates, by its construction."""

    NONE = "none"
    REQUESTED = "requested, not enforced"
    ANY = "any certificate"
    NAME = "only a name is compared"
    REQUIRED = "required"
    HOLES = "required, with holes"
    VARIES = "not the same every time"
    OPEN = "cannot be told"
    """Nobody is served, the authorised client neither: not even its owner could say more from outside."""


STRANGERS_GET_IN = (Truth.NONE, Truth.REQUESTED, Truth.ANY, Truth.NAME, Truth.VARIES)


@dataclasses.dataclass(frozen=True)
class Wire:
    """How one asks for the page.

    Attributes:
        request: what the client says after the handshake; empty where the server speaks first.
        marker: what stands in the answer to who is let in.
        alpn: application protocols that are offered.
    """

    request: bytes
    marker: bytes = MARKER.encode()
    alpn: tuple[str, ...] = ()


def http(path: str = "/") -> Wire:
    """HTTP/1.1."""
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return Wire(head.encode(), alpn=("http/1.1",))


@dataclasses.dataclass(frozen=True)
class Place:
    """What a server is started with.

    Attributes:
        certs: directory with ``server-ca``, ``client-ca``, ``server`` and ``client``, each ``.crt`` and ``.key``,
            ``server.pem`` (certificate and key) and ``web-cas.crt`` (the client CA among many others).
        directory: of this server alone, empty at first.
        port: where it shall listen.
        spare: another port of its own, for a back end.
    """

    certs: Path
    directory: Path
    port: int
    spare: int


Start = Callable[[Place], AbstractContextManager[None]]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One server in one configuration.

    Attributes:
        product: its name and, where that matters, its TLS library.
        configuration: what is special about this one.
        truth: what it does about client certificates.
        start: starts it, waits until it listens, and ends it.
        needs: programs that must be installed.
        modules: Python modules that the interpreter of the servers must have.
        wire: how the oracle asks.
        path: the page, for the oracle and the audit.
        host: what the audit calls the server.
        pinned: it admits this one client, no other of the same CA.
        expect: what the audit is told to look for in the page; needed where pages tell of their client.
        hidden: who knows no client of it cannot tell it from a better one; counted as wrong all the same.
        rsa: the certificates are RSA's.
        counts: it counts its clients: every question needs a fresh start.
        oracle: whether the oracle can judge it; the truth of the others stands by construction alone.
        light: it is required in a CI.
        timeout: seconds that the audit waits for it.
    """

    product: str
    configuration: str
    truth: Truth
    start: Start
    needs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    wire: Wire | None = None
    path: str = "/"
    host: str = "localhost"
    pinned: bool = False
    expect: str = ""
    hidden: bool = False
    rsa: bool = False
    counts: bool = False
    oracle: bool = True
    light: bool = False
    timeout: float = 5.0

    @property
    def name(self) -> str:
        """Unique in the table."""
        return f"{self.product}: {self.configuration}"

    @property
    def audited_path(self) -> str | None:
        """The page that the audit is told of."""
        return None if self.path == "/" else self.path

    @property
    def asked(self) -> Wire:
        """How the oracle asks."""
        return self.wire or http(self.path)

"""The model of a configuration: directives with their place, blocks with what is in force in them, listens.

What nginx inherits it inherits whole: a directive that is given once in a block hides all those of the same name
further out (https://nginx.org/en/docs/http/ngx_http_core_module.html). Values stay as they are written; variables
are resolved by :mod:`mtlslab.verify.configuration.rewrite`.
"""

from __future__ import annotations

import dataclasses
import functools
import posixpath
import re
from collections.abc import Iterator, Mapping

HTTP_PORT = 80  # of a listen without a port, and of a server without a listen
# Blocks whose lines are no directives.
_TABLES = ("map", "geo", "split_clients", "types", "charset_map")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


@dataclasses.dataclass(frozen=True)
class Position:
    """Where something is written: a file (relative to the workspace, if it lies in it) and a line."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclasses.dataclass(frozen=True)
class Directive:
    """One directive: its name, its arguments without quotes, its place, and what stands between its braces."""

    name: str
    args: tuple[str, ...]
    place: Position
    block: tuple[Directive, ...] | None = None

    @property
    def first(self) -> str:
        """The first argument; empty when there is none."""
        return self.args[0] if self.args else ""

    def __str__(self) -> str:
        return " ".join((self.name, *(arg or "''" for arg in self.args)))


@dataclasses.dataclass(frozen=True)
class Scope:
    """A block, and the blocks around it."""

    directive: Directive
    outer: Scope | None = None

    @property
    def kind(self) -> str:
        """The name of the block, such as ``location``."""
        return self.directive.name

    @property
    def place(self) -> Position:
        """Where the block begins."""
        return self.directive.place

    def own(self, *names: str) -> tuple[Directive, ...]:
        """The directives of these names (all without one) that stand in the block itself, in order."""
        return tuple(one for one in self.directive.block or () if not names or one.name in names)

    def in_force(self, name: str) -> tuple[Directive, ...]:
        """The directives of a name that count here: those of the nearest block that has any."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.own(name)
            if found:
                return found
            scope = scope.outer
        return ()

    def value(self, name: str, default: str = "") -> str:
        """The first argument of the last directive of a name that counts here."""
        found = self.in_force(name)
        return found[-1].first if found else default

    def blocks(self, *kinds: str) -> tuple[Scope, ...]:
        """The blocks of these kinds that stand in the block itself."""
        return tuple(Scope(one, self) for one in self.own(*kinds) if one.block is not None)

    def all_blocks(self) -> Iterator[Scope]:
        """The block itself and every block of directives within it, however deep."""
        yield self
        for inner in self.blocks():
            if inner.kind not in _TABLES:
                yield from inner.all_blocks()

    def locations(self) -> Iterator[Scope]:
        """Every location within the block, however deep, in the order of the file."""
        for location in self.blocks("location"):
            yield location
            yield from location.locations()


@dataclasses.dataclass(frozen=True)
class Listen:
    """One ``listen``: the address (empty for all of IPv4), first and last port, and the other words."""

    directive: Directive
    address: str
    port: int
    last_port: int
    options: tuple[str, ...]

    @property
    def tls(self) -> bool:
        """Whether this very directive asks for TLS."""
        return bool({"ssl", "quic"} & set(self.options))


def listen_of(directive: Directive) -> Listen:
    """Read a ``listen``; a socket of the file system has port 0."""
    where, options = directive.first, directive.args[1:]
    if where.startswith("unix:"):
        return Listen(directive, where, 0, 0, options)
    only_port = _RANGE.fullmatch(where)
    address, _, port = ("", "", where) if only_port else where.rpartition(":")
    if not only_port and (where.endswith("]") or ":" not in where):
        address, port = where, ""
    numbers = _RANGE.fullmatch(port)
    first = int(numbers[1]) if numbers else HTTP_PORT
    last = int(numbers[2] or first) if numbers else first
    return Listen(directive, "" if address in ("*", "0.0.0.0") else address, first, last, options)  # noqa: S104


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What one service's nginx reads.

    Attributes:
        service: its name.
        main: all directives, includes expanded.
        includes: the includes, each with the files that it brought in.
        files: path -> text of each file that was read.
        contained: whether it runs in a container, where the listen address is the engine's affair.
        root: the workspace, as that nginx names it.
    """

    service: str
    main: tuple[Directive, ...]
    includes: tuple[tuple[Directive, tuple[str, ...]], ...]
    files: Mapping[str, str]
    contained: bool = False
    root: str = "."

    @functools.cached_property
    def top(self) -> Scope:
        """The main context as a block."""
        return Scope(Directive("main", (), Position(f"{self.service}/nginx.conf", 1), self.main))

    @functools.cached_property
    def http(self) -> tuple[Scope, ...]:
        """The http block; nginx allows one."""
        return self.top.blocks("http")

    @property
    def http_block(self) -> Scope | None:
        """The http block; None without one."""
        return self.http[0] if self.http else None

    @functools.cached_property
    def servers(self) -> tuple[Scope, ...]:
        """The server blocks of HTTP, in order."""
        return tuple(server for http in self.http for server in http.blocks("server"))

    def listens(self, server: Scope) -> tuple[Listen, ...]:
        """Where a server listens; one without a word listens on port 80 (as root)."""
        found = tuple(listen_of(one) for one in server.own("listen"))
        return found or (Listen(server.directive, "", HTTP_PORT, HTTP_PORT, ()),)

    def beside_conf(self, path: str) -> str:
        """A file that nginx looks for beside nginx.conf (certificates, lists, includes); see :func:`inside`."""
        return inside(self.root, posixpath.join(self.service, path))

    def below_prefix(self, path: str) -> str:
        """A file that nginx looks for below its prefix (root, alias, logs); see :func:`inside`."""
        return inside(self.root, path)


def inside(root: str, path: str) -> str:
    """A path as the workspace knows it: relative to it if it lies in it, else absolute or beginning with ``..``.

    Args:
        root: the workspace, as nginx names it.
        path: what nginx was told, relative to ``root`` or absolute.
    """
    normal = posixpath.normpath(path)
    base = posixpath.normpath(root)
    if not posixpath.isabs(normal) or not posixpath.isabs(base):
        return normal
    below = posixpath.relpath(normal, base)
    return normal if below.startswith("..") else below

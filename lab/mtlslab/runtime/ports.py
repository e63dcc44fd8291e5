"""The TCP ports of a lab: picks free ports, checks that chosen ports are free, and names the process that uses one."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ipaddress
import itertools
import os
import re
import secrets
import socket
from collections.abc import Iterable, Iterator

import psutil

from mtlslab.errors import MachineError
from mtlslab.plan.addresses import loopback_here
from mtlslab.plan.shell import shell_line
from mtlslab.plan.spec import LabSpec, reachable_address

# An embedded nginx shows NAME=LAB with this name in its process title.
PROCESS_LABEL = "MTLSLAB_LAB"
# Below the ephemeral ports (Linux from 32768, others from 49152): any outgoing connection may take one of those in the
# moment before nginx listens.
_FREE_PORTS = range(20000, 32000)
_TRIES = 50
_OF_LAB = re.compile(r"nginx of the lab '([a-z0-9_-]+)'")  # as _describe says it
_PATIENCE = 0.5  # seconds for somebody on this machine to take a connection
_LAB = re.compile(rf"\b{PROCESS_LABEL}=([a-z0-9_-]+);")


def free_port(listen: str) -> int:
    """A TCP port on the address ``listen`` on which no process listens at this moment.

    Raises:
        MachineError: ``listen`` is not an address of this machine.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(OSError), _bound(listen, _FREE_PORTS[secrets.randbelow(len(_FREE_PORTS))]) as port:
            return port
    with _bound(listen, 0) as port:
        return port


def pick_ports(spec: LabSpec) -> LabSpec:
    """The spec with a free port in place of each 0; the two ports differ.

    Raises:
        MachineError: the listen address is not one of this machine.
    """
    tls, mtls = spec.tls_port, spec.mtls_port
    # The free port may be the one that the user chose for the other service, or the same one twice.
    while tls == 0 or tls == spec.mtls_port != 0:
        tls = free_port(spec.listen)
    while mtls in (0, tls):
        mtls = free_port(spec.listen)
    return dataclasses.replace(spec, tls_port=tls, mtls_port=mtls)


def check_ports_free(listen: str, ports: Iterable[int], *, mtls_port: int | None = None) -> None:
    """Check that nginx could listen on every port.

    Args:
        listen: IPv4 or IPv6 address of this machine.
        ports: TCP ports.
        mtls_port: which of them belongs to the mTLS service, so that the hint names the right option.

    Raises:
        MachineError: a port is taken (the process is named) or not allowed, or ``listen`` is not an address of this
            machine.
    """
    problems: list[tuple[int, str]] = []
    for port in ports:
        try:
            with _bound(listen, port):
                pass
        except OSError as error:
            problems.append((port, _port_problem(listen, port, error)))
    if problems:
        options = dict.fromkeys(_option(port, mtls_port) for port, _ in problems)
        labs = dict.fromkeys(lab for _, problem in problems for lab in _OF_LAB.findall(problem))
        ends = "".join(f". Or end that lab: {shell_line(['mtlslab', 'down', '--name', lab])}" for lab in labs)
        raise MachineError(
            "; ".join(problem for _, problem in problems) + ".",
            hint=f"Pick a free one: mtlslab up {' '.join(options)}{ends}",
        )


def other_loopback(listen: str, port: int) -> str:
    """Whoever answers on the loopback address of the other family, in words; empty if nobody does.

    ``localhost`` is both 127.0.0.1 and ::1 on most machines, and clients begin with ::1: they meet him, not the lab.
    """
    other = {"127.0.0.1": "::1", "::1": "127.0.0.1"}.get(reachable_address(listen), "")
    if not other or not _is_answered(other, port):
        return ""
    return port_holder(other, port) or "a process that cannot be seen"


def port_holder(listen: str, port: int) -> str | None:
    """The process that listens on a TCP port of an address, in words; None when none is found."""
    pids = [pid for pid, address, number in _listeners() if number == port and _meets(address, listen)]
    if not pids:
        return None
    known = min((pid for pid in pids if pid), default=None)
    if known is None:
        return _docker_proxy(port) or "a process of another user"
    with contextlib.suppress(psutil.Error):
        return _describe(psutil.Process(known))
    return f"a process (pid {known})"


@contextlib.contextmanager
def listening(listen: str, port: int) -> Iterator[socket.socket]:
    """Listen on a port the way nginx does, for the length of the ``with`` statement; yields the socket.

    Args:
        listen: IPv4 or IPv6 address of this machine.
        port: TCP port; 0 lets the kernel choose.

    Raises:
        MachineError: ``listen`` is not an address of this machine.
        OSError: the port is taken or not allowed.
    """
    with contextlib.ExitStack() as stack:
        try:
            family = socket.AF_INET6 if ipaddress.ip_address(listen).version == 6 else socket.AF_INET
            probe = stack.enter_context(socket.socket(family))
            # As nginx does: SO_REUSEADDR (so sockets in TIME_WAIT do not matter), no SO_REUSEPORT, "ipv6only=on".
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((listen, port))
            probe.listen()
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise _no_such_address(listen, error) from error
            raise
        yield probe


@contextlib.contextmanager
def _bound(listen: str, port: int) -> Iterator[int]:
    """Listen on a port for the length of the ``with`` statement; yields its number. See :func:`listening`."""
    # With SO_REUSEADDR, BSD and macOS let us have an address whose port somebody else holds on all addresses.
    if port and _is_answered(reachable_address(listen), port):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    with listening(listen, port) as probe:
        yield probe.getsockname()[1]


def _is_answered(address: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=_PATIENCE) as made:
        return bool(made.getsockname() != made.getpeername())  # the kernel may connect a socket to itself
    return False


def _no_such_address(listen: str, error: OSError) -> MachineError:
    return MachineError(
        f"{listen} is not an address of this machine.",
        why=os.strerror(error.errno or 0),
        hint=f"Listen on one that is: --listen {loopback_here()} (see them all with: ip address)",
    )


def _port_problem(listen: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {listen} is taken by {port_holder(listen, port) or 'a process that cannot be seen'}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Port {port} on {listen} needs the rights of root, as ports below 1024 do"
    return f"Port {port} on {listen} cannot be used: {os.strerror(error.errno or 0)}"


def _option(port: int, mtls_port: int | None) -> str:
    if mtls_port is None:
        return "--tls-port 0 --mtls-port 0"
    return "--mtls-port 0" if port == mtls_port else "--tls-port 0"


def _meets(address: str, listen: str) -> bool:
    """Whether a socket that listens on ``address`` prevents another one on ``listen``, both on the same port."""
    held, asked = ipaddress.ip_address(address), ipaddress.ip_address(listen)
    # A socket on "::" without IPV6_V6ONLY also takes the IPv4 port, so "::" counts for both families.
    return held == asked or held.is_unspecified or (asked.is_unspecified and held.version == asked.version)


def _listeners() -> Iterator[tuple[int | None, str, int]]:
    """Every listening TCP socket: pid (None when the current user may not see it), address, port."""
    try:
        for item in psutil.net_connections("tcp"):
            if item.status == psutil.CONN_LISTEN and item.laddr:
                yield item.pid, item.laddr.ip, item.laddr.port
    except psutil.AccessDenied:  # macOS shows the sockets of all processes only to root
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                for own in process.net_connections("tcp"):
                    if own.status == psutil.CONN_LISTEN and own.laddr:
                        yield process.pid, own.laddr.ip, own.laddr.port


def _describe(process: psutil.Process) -> str:
    for relative in _lineage(process):
        with contextlib.suppress(psutil.Error):
            lab = _LAB.search(" ".join(relative.cmdline()))
            if lab:  # for a worker, the label is in the title of its master
                return f"nginx of the lab {lab[1]!r} ({_identity(relative)})"
    name = process.name()
    container = ", for a Docker container" if name == "docker-proxy" else ""
    return f"{name} ({_identity(process)}){container}"


def _lineage(process: psutil.Process) -> Iterator[psutil.Process]:
    """A process and its ancestors, as far as they may be looked at: macOS hides those of root."""
    yield process
    with contextlib.suppress(psutil.Error):
        yield from process.parents()


def _identity(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"pid {process.pid}, user {process.username()}"
    return f"pid {process.pid}"


def _docker_proxy(port: int) -> str | None:
    """The docker-proxy process of a port, by its command line: users cannot see which sockets root's processes hold."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if words and words[0].endswith("docker-proxy") and ("-host-port", str(port)) in itertools.pairwise(words):
                return _describe(process)
    return None

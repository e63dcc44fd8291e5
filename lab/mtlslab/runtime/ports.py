"""The ports of a lab: pick free ones, test that asked ones are free, and name who holds a taken one."""

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
from mtlslab.plan.spec import LabSpec

# The variable by which an embedded nginx tells in its process title which lab it belongs to.
PROCESS_LABEL = "MTLSLAB_LAB"
# Below the ports that systems hand out to outgoing connections (Linux from 32768, others from 49152): one of those may
# be taken by any client in the moment before nginx listens.
_FREE_PORTS = range(20000, 32000)
_TRIES = 50
_LAB = re.compile(rf"\b{PROCESS_LABEL}=([a-z0-9_-]+);")


def free_port(listen: str) -> int:
    """A TCP port on the address ``listen`` that nobody holds at this moment.

    Raises:
        MachineError: ``listen`` is not an address of this machine.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(OSError), _bound(listen, _FREE_PORTS[secrets.randbelow(len(_FREE_PORTS))]) as port:
            return port
    with _bound(listen, 0) as port:
        return port


def pick_ports(spec: LabSpec) -> LabSpec:
    """The spec with free ports, two different ones, in place of 0.

    Raises:
        MachineError: the listen address is not one of this machine.
    """
    tls, mtls = spec.tls_port, spec.mtls_port
    # The kernel may hand out the port that the user named for the other service, or the same one twice.
    while tls == 0 or tls == spec.mtls_port != 0:
        tls = free_port(spec.listen)
    while mtls in (0, tls):
        mtls = free_port(spec.listen)
    return dataclasses.replace(spec, tls_port=tls, mtls_port=mtls)


def check_ports_free(listen: str, ports: Iterable[int], *, mtls_port: int | None = None) -> None:
    """Test that nginx could listen on every port.

    Args:
        listen: IPv4 or IPv6 address of this machine.
        ports: TCP ports.
        mtls_port: which of them belongs to the mTLS service, so that the hint names the right option.

    Raises:
        MachineError: a port is taken (its holder is named) or not allowed, or ``listen`` is not an address here.
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
        raise MachineError(
            "; ".join(problem for _, problem in problems) + ".",
            hint=f"Pick a free one: mtlslab up {' '.join(options)}",
        )


def port_holder(listen: str, port: int) -> str | None:
    """Who listens on a TCP port of an address, in words; None when nobody can be found who does."""
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
    """Listen on a port the way nginx does, as long as the ``with`` statement lasts; 0 lets the kernel choose.

    Raises:
        MachineError: ``listen`` is not an address of this machine.
        OSError: the port is taken or not allowed.
    """
    with contextlib.ExitStack() as stack:
        try:
            family = socket.AF_INET6 if ipaddress.ip_address(listen).version == 6 else socket.AF_INET
            probe = stack.enter_context(socket.socket(family))
            # nginx sets SO_REUSEADDR (sockets in TIME_WAIT are no hindrance), not SO_REUSEPORT, and "ipv6only=on".
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
    """Listen on a port for a moment, and give its number; see :func:`listening`."""
    with listening(listen, port) as probe:
        yield probe.getsockname()[1]


def _no_such_address(listen: str, error: OSError) -> MachineError:
    return MachineError(
        f"{listen} is not an address of this machine.",
        why=os.strerror(error.errno or 0),
        hint="Listen on one that is: --listen 127.0.0.1 (see them all with: ip address)",
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
    """Whether a socket that listens on ``address`` hinders another one on ``listen``."""
    held, asked = ipaddress.ip_address(address), ipaddress.ip_address(listen)
    # A socket on "::" may hold the IPv4 port too (without IPV6_V6ONLY), so families are not told apart there.
    return held == asked or held.is_unspecified or (asked.is_unspecified and held.version == asked.version)


def _listeners() -> Iterator[tuple[int | None, str, int]]:
    """Every listening TCP socket: pid (None when hidden from us), address, port."""
    try:
        for item in psutil.net_connections("tcp"):
            if item.status == psutil.CONN_LISTEN and item.laddr:
                yield item.pid, item.laddr.ip, item.laddr.port
    except psutil.AccessDenied:  # macOS shows the sockets of all to root only
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                for own in process.net_connections("tcp"):
                    if own.status == psutil.CONN_LISTEN and own.laddr:
                        yield process.pid, own.laddr.ip, own.laddr.port


def _describe(process: psutil.Process) -> str:
    for relative in (process, *process.parents()):
        lab = _LAB.search(" ".join(relative.cmdline()))
        if lab:  # a worker of nginx: its master says whose it is
            return f"nginx of the lab {lab[1]!r} ({_identity(relative)})"
    name = process.name()
    container = ", for a Docker container" if name == "docker-proxy" else ""
    return f"{name} ({_identity(process)}){container}"


def _identity(process: psutil.Process) -> str:
    return f"pid {process.pid}, user {process.username()}"


def _docker_proxy(port: int) -> str | None:
    """The Docker process that holds a port: root's sockets are hidden from others, its command lines are not."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if words and words[0].endswith("docker-proxy") and ("-host-port", str(port)) in itertools.pairwise(words):
                return _describe(process)
    return None

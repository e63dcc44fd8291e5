"""The addresses of a host: what one of them requires, another one may not ask for."""

from __future__ import annotations

import socket

from mtlslab.audit.report import SAME_AT_EVERY_ADDRESS, AuditFinding, ClientAuth
from mtlslab.pki.faults import Severity
from mtlslab.verify.checks.model import Result

MAX_ADDRESSES = 8
_LOOPBACK = ("127.0.0.1", "::1")
_LENIENT = (
    ClientAuth.NONE,
    ClientAuth.REQUESTED,
    ClientAuth.ANY_CERTIFICATE,
    ClientAuth.ONLY_A_NAME,
    ClientAuth.NOT_THE_SAME,
)


def addresses_of(host: str, port: int) -> tuple[str, ...]:
    """The addresses of a host, at most 8, in the system's order; none if the name does not resolve.

    ``localhost`` is both loopback addresses (RFC 6761 section 6.3), even where a hosts file names only one of them.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    more = _LOOPBACK if host == "localhost" else ()
    return tuple(dict.fromkeys([*(str(target[0]) for *_, target in found), *more]))[:MAX_ADDRESSES]


def most_lenient(told: dict[str, ClientAuth]) -> ClientAuth:
    """What is said of a host whose addresses come to this; the first address counts unless another is open."""
    return next((auth for auth in told.values() if auth in _LENIENT), next(iter(told.values())))


def finding_on_addresses(told: dict[str, ClientAuth], silent: tuple[str, ...]) -> AuditFinding:
    """Whether all addresses do the same.

    Args:
        told: address -> what it does about client certificates; at least one.
        silent: the addresses that did not answer.
    """
    first = next(iter(told.values()))
    open_ones = [address for address, auth in told.items() if auth in _LENIENT]
    result = Result.PASS if set(told.values()) == {first} else Result.INCONCLUSIVE
    if result is not Result.PASS and open_ones:
        result = Result.FAIL
    words = "; ".join(f"{address}: {auth.value}" for address, auth in told.items())
    unheard = f" No answer: {', '.join(silent)}." if silent else ""
    return AuditFinding(
        id=SAME_AT_EVERY_ADDRESS,
        title="does the same at every address",
        category="The server",
        severity=Severity.REQUIRED,
        result=result,
        expected={"outcome": "the same at every address"},
        observed={"answer": words},
        reason=f"{words}.{unheard}",
        hint="Each address is a server of its own: set all of them up alike. One alone: --connect-to ADDRESS.",
    )

"""How clients that a person starts reach a lab: under which name, and past a proxy that the environment names."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
from collections.abc import Callable

from mtlslab.plan.spec import LabSpec, reachable_address

LOCALHOST = "localhost"
_LOOPBACK = ("127.0.0.1", "::1")
_PROXIES = ("https_proxy", "all_proxy", "http_proxy")
_EXEMPT = "no_proxy"


def typed_host(listen: str) -> str:
    """What to type for a lab that listens on an address: localhost, if that leads there; else the address itself.

    The server certificate that a lab makes holds both.
    """
    address = reachable_address(listen)
    return LOCALHOST if address in _LOOPBACK and leads_to(address) else address


def typed_authority(listen: str, port: int) -> str:
    """Host and port of a service, as in a URL."""
    return f"{url_host(listen)}:{port}"


def url_host(listen: str) -> str:
    """What to type for a lab that listens on an address, as it stands in a URL."""
    host = typed_host(listen)
    return f"[{host}]" if ":" in host else host


def page_url(spec: LabSpec, port: int) -> str:
    """The address of the page that a service of a lab serves."""
    return f"https://{typed_authority(spec.listen, port)}/hello-world.txt"


@functools.cache
def leads_to(address: str) -> bool:
    """Whether the name localhost leads to a loopback address on this machine, first or later."""
    try:
        found = socket.getaddrinfo(LOCALHOST, None, type=socket.SOCK_STREAM)
    except OSError:
        return address == "127.0.0.1"  # curl and browsers know this name by heart
    return address in {str(one[4][0]) for one in found}


@functools.cache
def loopback_here() -> str:
    """A loopback address that this machine has: ::1 on one without IPv4, 127.0.0.1 on every other."""
    for family, address in zip((socket.AF_INET, socket.AF_INET6), _LOOPBACK, strict=True):
        with contextlib.suppress(OSError), socket.socket(family) as tried:
            tried.bind((address, 0))
            return address
    return _LOOPBACK[0]


def proxy_in_the_way(host: str) -> str:
    """The environment variable by which some client asks a proxy for ``host``; empty if none does.

    Clients differ: wget reads small letters only, curl and Python prefer them, few know ``*`` or networks in
    ``NO_PROXY``. A host counts as exempt if all of them see it so: by its name, beside each proxy that is set.
    """
    cases: tuple[Callable[[str], str], ...] = (str.lower, str.upper)
    proxies = {case: [case(name) for name in _PROXIES if os.environ.get(case(name))] for case in cases}
    found = [name for names in proxies.values() for name in names]
    for case in cases:
        exempt = os.environ.get(case(_EXEMPT))
        asked = bool(proxies[case]) or (exempt is not None and bool(found))
        if asked and not _covers(exempt or "", host):
            return (proxies[case] or found)[0]
    return ""


def _covers(exempt: str, host: str) -> bool:
    name = f".{host.lower()}"
    entries = (entry.strip("[]").lower() for entry in re.split(r"[,\s]+", exempt) if entry)
    return any(name.endswith(f".{entry.lstrip('.')}") for entry in entries)

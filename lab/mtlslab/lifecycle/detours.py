"""What keeps clients from a lab that runs: a proxy in the environment, another server under the name localhost."""

from __future__ import annotations

from mtlslab.plan.addresses import LOCALHOST, proxy_in_the_way, typed_host
from mtlslab.plan.shell import shell_line
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.ports import other_loopback


def detours(spec: LabSpec) -> tuple[str, ...]:
    """A sentence for each thing because of which a client that a person starts would not meet the lab."""
    return (*proxy_detour(spec), *(one for port in (spec.tls_port, spec.mtls_port) for one in _loopback(spec, port)))


def proxy_detour(spec: LabSpec) -> tuple[str, ...]:
    """The sentence about a proxy; empty without one."""
    host = typed_host(spec.listen)
    variable = proxy_in_the_way(host)
    if not variable:
        return ()
    names = "localhost,127.0.0.1,::1" if host == LOCALHOST else host
    what = f"{variable} is set, and NO_PROXY does not exempt {host} for every client: some ask the proxy for the lab."
    export = shell_line(["export", f"NO_PROXY={names}", f"no_proxy={names}"])
    return (f"{what} Commands printed here go past it. For your own: {export}",)


def _loopback(spec: LabSpec, port: int) -> tuple[str, ...]:
    holder = other_loopback(spec.listen, port) if port and typed_host(spec.listen) == LOCALHOST else ""
    if not holder:
        return ()
    ours, other = ("127.0.0.1", "[::1]") if "." in spec.listen else ("[::1]", "127.0.0.1")
    what = f"{other}:{port} is {holder}: clients that begin with that address for localhost (wget, Python, browsers)"
    return (f"{what} meet it. Say https://{ours}:{port}, or choose other ports: --tls-port 0 --mtls-port 0",)

"""The use case ``doctor``: which runtimes, ports and clients this machine offers. Changes nothing."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from mtlslab.errors import MachineError
from mtlslab.lifecycle.detours import detours, proxy_detour
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.choose import Runtimes
from mtlslab.runtime.ports import check_ports_free
from mtlslab.runtime.programs import find_program
from mtlslab.runtime.table import RUNTIMES

CLIENTS = ("curl", "openssl")


@dataclasses.dataclass(frozen=True)
class Sign:
    """The result of one check of the machine.

    Attributes:
        subject: what was checked, such as "docker runtime".
        good: whether it can be used.
        seen: version or state, or the problem.
        hint: what to do about the problem; empty when there is none.
    """

    subject: str
    good: bool
    seen: str
    hint: str = ""


def examine(directory: Path, spec: LabSpec) -> tuple[Sign, ...]:
    """Check Python, the runtimes, the spec's two ports, and the clients curl and openssl.

    Args:
        directory: the workspace, for messages of the runtimes; need not exist.
        spec: its listen address and ports are checked.
    """
    return (
        Sign("Python", True, sys.version.split()[0]),
        *_runtimes(directory),
        *(_port(spec, port) for port in (spec.tls_port, spec.mtls_port)),
        *_detours(spec),
        *(_client(name) for name in CLIENTS),
    )


def can_run(signs: tuple[Sign, ...]) -> bool:
    """Whether a lab could run: at least one runtime can be used."""
    return any(sign.good for sign in signs if sign.subject.endswith("runtime"))


def _runtimes(directory: Path) -> tuple[Sign, ...]:
    runtimes = Runtimes(directory)
    signs = []
    for name in RUNTIMES:
        found = runtimes.problem(name)
        subject = f"{name} runtime"
        if found is None:
            signs.append(Sign(subject, True, runtimes.named(name).describe()))
        else:
            signs.append(Sign(subject, False, found.what, found.hint))
    return tuple(signs)


def _port(spec: LabSpec, port: int) -> Sign:
    try:
        check_ports_free(spec.listen, (port,), mtls_port=spec.mtls_port)
    except MachineError as error:
        return Sign(f"port {port}", False, error.what, error.hint)
    return Sign(f"port {port}", True, f"free on {spec.listen}")


def _detours(spec: LabSpec) -> tuple[Sign, ...]:
    proxy = proxy_detour(spec)
    others = tuple(one for one in detours(spec) if one not in proxy)
    return (
        *(Sign("proxy", False, *one.split(". ", 1)) for one in proxy),
        *(Sign("localhost", False, *one.split(". ", 1)) for one in others),
    )


def _client(name: str) -> Sign:
    path = find_program(name)
    return Sign(
        name, path is not None, path or "not found", "" if path else f"Only needed to follow along with {name}."
    )

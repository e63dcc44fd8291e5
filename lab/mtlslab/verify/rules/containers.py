"""Rules on what really runs: where it answers, what it sees of the machine, which rights it has."""

from __future__ import annotations

import ipaddress
import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath

from mtlslab.plan.paths import CLIENT_CA_KEY, SERVER_CA_KEY
from mtlslab.plan.services import LabPlan, make_plan
from mtlslab.runtime.base import Bind, Surroundings
from mtlslab.verify.rules.facts import Facts
from mtlslab.verify.rules.model import Objection, Rule

_ENGINE = ("docker.sock", "podman.sock", "containerd.sock", "crio.sock")


def _plan(facts: Facts) -> LabPlan:
    return make_plan(facts.spec, facts.workspace.directory, image="", user="")


def _published(facts: Facts) -> Iterator[Objection]:
    plan = _plan(facts)
    for one in facts.surroundings:
        if not one.service:
            continue
        planned = (ipaddress.ip_address(plan.listen), plan.service(one.service).port)
        for address, port in one.doors:
            if (ipaddress.ip_address(address), port) != planned:
                where = f"{address}, port {port}"
                yield Objection(f"{one.identity} answers on {where}; the plan says {plan.listen}, port {planned[1]}")


def _mounts(facts: Facts) -> Iterator[Objection]:
    plan = _plan(facts)
    for one in facts.surroundings:
        planned = _planned(plan, one)
        for bind in one.binds:
            known = bind.source in planned
            if (known and not bind.writable) or (not one.service and not _secret(plan, bind)):
                continue
            what = f"{one.identity} sees {bind.source} at {bind.target}"
            secret = _secret(plan, bind) if not known else ""
            yield Objection(
                f"{what}{f': {secret}' if secret else ''}{', and may write there' if bind.writable else ''}",
                grave=bool(secret) or bind.writable,
            )


def _planned(plan: LabPlan, one: Surroundings) -> set[str]:
    """Where everything lies that a service may see: files of the workspace, or the volume with copies of them."""
    if not one.service:
        return set()
    service = plan.service(one.service)
    return {plan.volume_name(service), *(str(plan.directory / mount.source) for mount in service.mounts)}


def _secret(plan: LabPlan, bind: Bind) -> str:
    """What makes a mount grave; empty where nothing does."""
    if posixpath.basename(bind.source) in _ENGINE or bind.source in ("/run", "/var/run"):
        return "whoever has the engine's socket has the machine"
    keys = [plan.directory / path for path in (CLIENT_CA_KEY, SERVER_CA_KEY)]
    if any(PurePosixPath(key).is_relative_to(bind.source) for key in keys if bind.source.startswith("/")):
        return "the private key of a CA is in it"
    return ""


def _confined(facts: Facts) -> Iterator[Objection]:
    for one in facts.surroundings:
        if one.user == "0" and one.service:
            yield Objection(f"{one.identity} runs as root")
        if not one.contained:
            continue
        if one.privileged:
            yield Objection(f"{one.identity} is privileged: it has the rights of the machine")
        for shared in one.shared:
            yield Objection(f"{one.identity} shares a namespace ({shared})")
        if one.service and one.capabilities:
            yield Objection(f"{one.identity} has capabilities: {', '.join(one.capabilities)}")
        if one.service and one.writable_root:
            yield Objection(f"{one.identity} may write its own file system", grave=False)
        if one.service and one.gains_privileges:
            yield Objection(f"the programs of {one.identity} may gain rights (no-new-privileges is off)", grave=False)


def _others(facts: Facts) -> Iterator[Objection]:
    for one in facts.surroundings:
        if not one.service:
            ports = ", ".join(f"{address}:{port}" for address, port in one.doors)
            answers = f", and answers on {ports}" if ports else ""
            yield Objection(f"{one.identity} belongs to the project{answers}; it is in no plan", grave=bool(ports))


RULES = (
    Rule(
        id="config-answers-where-planned",
        title="what runs answers on the address and the port of the plan, and nowhere else",
        why="A container listens on all of its own addresses; who reaches it is decided by what the engine publishes. "
        "Without an address, a published port is open to every network of the machine, past many a firewall. Of "
        "processes, the sockets are looked at: they show what was started, not what lies on the disk.",
        hint="mtlslab up puts it back. In docker-compose.yml: ports with 127.0.0.1 in front (--listen names another).",
        directive="listen",
        source="CWE-668; Docker, Port publishing and mapping",
        sabotage="In docker-compose.yml, ports: published on 0.0.0.0; then docker compose up -d.",
        objections=_published,
    ),
    Rule(
        id="config-sees-its-own-files",
        title="the containers see what the plan mounts, read-only, and nothing else of the machine",
        why="A server needs its certificate and key, and the client CA's certificate. Whoever breaks into it takes all "
        "that it sees: with the CA's key he makes clients of his own, with the engine's socket he has the machine.",
        hint="mtlslab up puts it back: certificates are mounted one by one.",
        directive="ssl_certificate_key",
        source="CWE-552; NIST SP 800-190 section 4.4.3",
        sabotage="In docker-compose.yml, volumes: ./certs:/lab/certs; then docker compose up -d.",
        objections=_mounts,
    ),
    Rule(
        id="config-runs-without-rights",
        title="the services run without rights that they do not need",
        why="nginx above port 1024 needs no root, no capability and no namespace of the machine. Each of them turns a "
        "hole in the server into a hole in the machine.",
        hint="mtlslab up puts it back: a user, cap_drop ALL, read_only, no-new-privileges, a network of its own.",
        directive="user",
        source="CWE-250; NIST SP 800-190 section 4.4.3",
        sabotage="In docker-compose.yml: privileged: true; then docker compose up -d.",
        objections=_confined,
    ),
    Rule(
        id="config-has-no-company",
        title="the lab's project has no other containers than the two services",
        why="What belongs to the project shares its network, and is taken for a part of the lab. A further server "
        "there is a door that no check knocks at.",
        hint="docker compose up -d --remove-orphans, or mtlslab down and mtlslab up.",
        directive="listen",
        source="NIST SP 800-190 section 4.4.5",
        sabotage="A third service in docker-compose.yml; then docker compose up -d.",
        objections=_others,
    ),
)

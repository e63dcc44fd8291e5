"""Rules on what really runs: the facts of a runtime compared with the plan."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from mtlslab.plan.services import MTLS_SERVICE, make_plan
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.base import Bind, Surroundings
from mtlslab.verify.configuration.model import Configuration
from mtlslab.verify.configuration.parse import parse
from mtlslab.verify.rules.catalogue import CATALOGUE
from mtlslab.verify.rules.facts import Facts
from mtlslab.workspace.directory import Workspace

SPEC = LabSpec(name="lecture", tls_port=8888, mtls_port=8889)
PUBLISHED, FILES, RIGHTS, COMPANY = (
    *("config-answers-where-planned", "config-sees-its-own-files"),
    *("config-runs-without-rights", "config-has-no-company"),
)
HERE = Path("/home/somebody/lecture")
PLAN = make_plan(SPEC, HERE, image="", user="")
AS_PLANNED = Surroundings(
    service=MTLS_SERVICE,
    identity="lecture-nginx-mtls-1",
    doors=(("127.0.0.1", 8889),),
    user="1000",
    contained=True,
    binds=tuple(Bind(str(HERE / one.source), one.target) for one in PLAN.service(MTLS_SERVICE).mounts),
)


def objections(*found: Surroundings) -> dict[str, list[bool]]:
    """Rule -> for each objection whether it is grave."""
    configuration: Configuration = parse(MTLS_SERVICE, {f"{MTLS_SERVICE}/nginx.conf": ""}, root=str(HERE))
    facts = Facts(configuration, configuration, SPEC, Workspace(HERE), found)
    rules = (PUBLISHED, FILES, RIGHTS, COMPANY)
    return {name: graves for name in rules if (graves := [one.grave for one in CATALOGUE[name].objections(facts)])}


def seen(*more: Bind) -> Surroundings:
    return dataclasses.replace(AS_PLANNED, binds=(*AS_PLANNED.binds, *more))


def test_what_is_as_planned_is_no_objection() -> None:
    process = Surroundings(MTLS_SERVICE, "pid 7", (("127.0.0.1", 8889),), "1000")
    volume = dataclasses.replace(AS_PLANNED, binds=(Bind("lecture_nginx-mtls", "/lab"),))
    assert objections() == objections(AS_PLANNED) == objections(process) == objections(volume) == {}


@pytest.mark.parametrize(
    ("found", "rule", "grave"),
    [
        (dataclasses.replace(AS_PLANNED, doors=(("0.0.0.0", 8889),)), PUBLISHED, True),  # noqa: S104
        (dataclasses.replace(AS_PLANNED, doors=(("::", 8889),)), PUBLISHED, True),
        (dataclasses.replace(AS_PLANNED, doors=(("127.0.0.1", 9999),)), PUBLISHED, True),
        (dataclasses.replace(AS_PLANNED, user="0"), RIGHTS, True),
        (Surroundings(MTLS_SERVICE, "pid 7", (("127.0.0.1", 8889),), "0"), RIGHTS, True),
        (dataclasses.replace(AS_PLANNED, privileged=True), RIGHTS, True),
        (dataclasses.replace(AS_PLANNED, shared=("network: host",)), RIGHTS, True),
        (dataclasses.replace(AS_PLANNED, capabilities=("SYS_ADMIN",)), RIGHTS, True),
        (dataclasses.replace(AS_PLANNED, writable_root=True), RIGHTS, False),
        (dataclasses.replace(AS_PLANNED, gains_privileges=True), RIGHTS, False),
        (seen(Bind(str(HERE / "certs/client-ca.key"), "/x")), FILES, True),
        (seen(Bind(str(HERE / "certs/server-ca.key"), "/x")), FILES, True),
        (seen(Bind(str(HERE / "certs"), "/x")), FILES, True),
        (seen(Bind(str(HERE), "/x")), FILES, True),
        (seen(Bind("/", "/x")), FILES, True),
        (seen(Bind("/run/docker.sock", "/x")), FILES, True),
        (seen(Bind("/srv/pages", "/x", writable=True)), FILES, True),
        (seen(Bind("/srv/pages", "/x")), FILES, False),
        (seen(Bind(str(HERE / "certs/client-ca.key.pub"), "/x")), FILES, False),
        (Surroundings("", "lecture-db-1", contained=True), COMPANY, False),
        (Surroundings("", "lecture-db-1", (("127.0.0.1", 1),), contained=True), COMPANY, True),
    ],
)
def test_what_is_otherwise_is_told_by_one_rule(found: Surroundings, rule: str, grave: bool) -> None:
    assert objections(found) == {rule: [grave]}

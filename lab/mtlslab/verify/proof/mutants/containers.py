"""Mutants of the containers themselves, as after an edit of docker-compose.yml: what they see."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from mtlslab.plan.services import MTLS_SERVICE, LabPlan, Mount, Service
from mtlslab.verify.proof.mutants.model import mutant
from mtlslab.verify.proof.twins import Twin


def _edit(twin: Twin, change: Callable[[Service], Service]) -> None:
    """Start the mTLS service otherwise than planned."""

    def edited(plan: LabPlan) -> LabPlan:
        services = (change(one) if one.name == MTLS_SERVICE else one for one in plan.services)
        return dataclasses.replace(plan, services=tuple(services))

    twin.plan_edits.append(edited)


@mutant(only=("config-sees-its-own-files",), in_processes=False)
def container_sees_the_whole_lab(twin: Twin) -> None:
    """The lab's directory is mounted as a whole: the place of the CAs' keys, too."""
    _edit(twin, lambda one: dataclasses.replace(one, mounts=(*one.mounts, Mount("", "/lab/whole"))))


@mutant(only=("config-sees-its-own-files",), in_processes=False)
def container_sees_all_certificates(twin: Twin) -> None:
    """All of certs/ is mounted, where the CAs' keys would lie, too."""
    _edit(twin, lambda one: dataclasses.replace(one, mounts=(*one.mounts, Mount("certs", "/lab/all-certs"))))

"""What is asked for, and what is noted down of it: shared by ``up`` and ``render``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtlslab.lifecycle.where import Say
from mtlslab.plan.paths import CRL
from mtlslab.plan.spec import LabSpec, make_spec, new_log_token
from mtlslab.runtime.table import AUTO
from mtlslab.workspace.target import Target
from mtlslab.workspace.trust import Trusts, refuse, register_new


@dataclasses.dataclass(frozen=True)
class UpOptions:
    """How to bring a lab up; the lab itself is in ``settings``.

    Attributes:
        settings: what the user set of the spec; None stands for "not set".
        runtime: auto, or the name of one.
        nginx: binary for the embedded runtime.
        pull: missing, always or never.
        wait: seconds until both endpoints must answer.
        rotate_certs: throw the certificates away and issue new ones.
        overwrite: render over files that a person edited.
        retain: leave what was started in place when ``up`` fails, for inspection.
        trusts: is asked about a lab that came from elsewhere.
    """

    settings: Mapping[str, Any]
    runtime: str = AUTO
    nginx: Path | None = None
    pull: str = "missing"
    wait: float = 60
    rotate_certs: bool = False
    overwrite: bool = False
    retain: bool = False
    trusts: Trusts = refuse


def asked_spec(target: Target, options: UpOptions, say: Say) -> LabSpec:
    """The spec that is asked for: what the user set now, above what the lab has, above the defaults.

    Raises:
        SpecError: a setting is not valid.
    """
    stored = target.record.spec if target.record else {}
    found: dict[str, Any] = {}
    # A list that somebody made is meant to be checked; new CAs make the old one worthless.
    if target.record and not options.rotate_certs and target.workspace.read(CRL) is not None:
        found["crl"] = True
    # At the bottom: a lab keeps the token that it has, so that the lines of earlier runs are known, too.
    spec = make_spec({"log_token": new_log_token()}, stored, found, options.settings, {"name": target.name})
    if found and spec.crl and not stored.get("crl"):
        say(f"{CRL} is there: the mTLS service checks it (--no-crl leaves it out).")
    return spec


def last_image(target: Target, spec: LabSpec) -> str:
    """The image that the lab last ran on, if it is still asked for: the wanted one, or what was had in its place."""
    record = target.record
    return record.image if record and record.image and record.spec.get("image") == spec.image else spec.image


def save_record(target: Target, spec: LabSpec, say: Say, *, runtime: str = "", image: str = "") -> None:
    """Write lab.json; an empty ``runtime`` or ``image`` leaves what it says of them.

    Raises:
        MachineError: the disk refuses it.
    """
    record = target.workspace.record() or register_new(target.workspace, say)
    target.workspace.save(
        dataclasses.replace(
            record, spec=spec.to_mapping(), runtime=runtime or record.runtime, image=image or record.image
        )
    )

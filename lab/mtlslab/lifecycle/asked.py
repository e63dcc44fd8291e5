"""What ``up`` and ``render`` share: their options, the spec that results from them, and writing lab.json."""

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
    """Options of ``up`` and ``render``.

    Attributes:
        settings: fields of the spec that the user set, by name; None stands for "not set".
        runtime: ``auto`` or the name of a runtime.
        nginx: nginx binary for the embedded runtime; None lets the runtime look for one.
        pull: when to ask the registry for the image: ``missing``, ``always`` or ``never``.
        wait: seconds within which both services must answer.
        rotate_certs: delete the certificates and issue new ones.
        overwrite: render files anew even if the user edited them.
        retain: keep what was started if ``up`` fails, for inspection.
        trusts: called to ask the user about a workspace that came from elsewhere.
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
    """The spec from, in order of precedence: the user's settings, lab.json, the defaults.

    Args:
        target: the lab.
        options: only ``settings`` and ``rotate_certs`` are used.
        say: told in a sentence when a CRL in the workspace is used.

    Raises:
        SpecError: a setting is not valid.
    """
    stored = target.record.spec if target.record else {}
    found: dict[str, Any] = {}
    # A CRL in the workspace is meant to be checked. With new CAs the old CRL is useless.
    if target.record and not options.rotate_certs and target.workspace.read(CRL) is not None:
        found["crl"] = True
    # The new token comes first, so that the lab's stored token wins: log lines of earlier runs stay recognisable.
    spec = make_spec({"log_token": new_log_token()}, stored, found, options.settings, {"name": target.name})
    if found and spec.crl and not stored.get("crl"):
        say(f"{CRL} is there: the mTLS service checks it (--no-crl leaves it out).")
    return spec


def last_image(target: Target, spec: LabSpec) -> str:
    """The image that the lab last ran on (it may be the fallback image); ``spec.image`` if the spec has changed."""
    record = target.record
    return record.image if record and record.image and record.spec.get("image") == spec.image else spec.image


def save_record(
    target: Target,
    spec: LabSpec,
    say: Say,
    *,
    runtime: str = "",
    image: str = "",
    unreached: tuple[str, ...] | None = None,
) -> None:
    """Write lab.json; an empty ``runtime`` or ``image`` keeps the stored value, as does None for ``unreached``.

    Raises:
        MachineError: the file cannot be written.
    """
    record = target.workspace.record() or register_new(target.workspace, say)
    target.workspace.save(
        dataclasses.replace(
            record,
            spec=spec.to_mapping(),
            runtime=runtime or record.runtime,
            image=image or record.image,
            unreached=record.unreached if unreached is None else unreached,
        )
    )

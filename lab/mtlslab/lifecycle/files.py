"""Writes what a lab is made of: certificates, revocation list, configuration. Starts nothing."""

from __future__ import annotations

import datetime
import os

from mtlslab.errors import SpecError
from mtlslab.lifecycle.where import Say
from mtlslab.pki import KeyPool
from mtlslab.plan.paths import CLIENT_CA_KEY, COMPOSE_FILE, SERVER_KEY
from mtlslab.plan.render import render, render_compose
from mtlslab.plan.services import LabPlan, make_plan, with_fingerprints
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.sudo import UNPRIVILEGED_ID
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.issue import keep_revoked_fault, retire
from mtlslab.workspace.renewal import PKI_FILES, renew_pki
from mtlslab.workspace.revocation import keep_crl


def write_certificates(
    workspace: Workspace, spec: LabSpec, *, rotate: bool, say: Say, keys: KeyPool | None = None
) -> None:
    """Have certificates that fit the spec: those that are there while they are good, else new ones.

    Args:
        workspace: that of the lab.
        spec: names, key type and validity.
        rotate: throw away what is there.
        say: is told what was issued anew, and why.
        keys: those that were begun before; None makes them now.

    Raises:
        SpecError: a CA is damaged or foreign, or a private key is open to others.
    """
    if rotate:
        # Leaves before CAs: whoever is killed in between leaves CAs that sign new leaves, never leaves without a CA.
        workspace.remove(sorted(PKI_FILES, key=lambda path: "-ca." in path))
    existing: dict[str, bytes] = {}
    for path in PKI_FILES:
        content = workspace.read_key(path) if path.endswith(".key") else workspace.read(path)
        if content is not None:
            existing[path] = content
    update = renew_pki(spec, existing, datetime.datetime.now(datetime.UTC), keys)
    for message in update.messages:
        say(message)
    if CLIENT_CA_KEY in update.files:
        _retire_client_ca(workspace, say)
    for path, content in update.files.items():
        if path.endswith(".key"):
            workspace.write_key(path, content, owner=workspace.key_owner() if path == SERVER_KEY else None)
        else:
            workspace.write(path, content)
    if spec.crl:
        _write_crl(workspace, say)


def _retire_client_ca(workspace: Workspace, say: Say) -> None:
    # Before the new CA is written: whoever is killed in between leaves no list of a CA that is gone.
    retire(workspace, own=PKI_FILES, say=say)


def _write_crl(workspace: Workspace, say: Say) -> None:
    keep_crl(workspace, now=datetime.datetime.now(datetime.UTC), say=say)
    keep_revoked_fault(workspace)


def write_files(
    workspace: Workspace, spec: LabSpec, image: str, *, overwrite: bool, say: Say, copied: bool = False
) -> LabPlan:
    """Render the files of the services and the Compose file; returns the plan with its fingerprints.

    Args:
        workspace: that of the lab, with its certificates.
        spec: the settings, with settled ports.
        image: the container image that is really used.
        overwrite: render over files that a person edited.
        say: is told which edited files were kept.
        copied: whether the engine gets copies of the files instead of mounts.
    """
    workspace.write(".gitignore", b"# Private keys lie here.\n*\n")
    plan = plan_of(workspace, spec, image, copied=copied)
    kept = workspace.write_rendered(render(plan, spec), overwrite=overwrite)
    plan = with_fingerprints(plan)
    kept += workspace.write_rendered({COMPOSE_FILE: render_compose(plan)}, overwrite=overwrite)
    for path in kept:
        say(f"Kept your edit of {workspace.directory / path} (--overwrite renders it anew).")
    return plan


def plan_of(workspace: Workspace, spec: LabSpec, image: str, *, copied: bool = False) -> LabPlan:
    """The plan of a lab whose certificates are there, without fingerprints; containers run as the key's owner.

    Raises:
        SpecError: there is no server key, or it is hidden.
    """
    key = workspace.directory / SERVER_KEY
    try:
        owner = os.lstat(key)
    except OSError as error:
        raise SpecError(
            f"The server's key {key} cannot be used.",
            why=os.strerror(error.errno or 0),
            hint="Issue what is missing: mtlslab up",
        ) from error
    # An edit by root may have left the key with root; a container still does not run as root.
    uid, gid = (owner.st_uid, owner.st_gid) if owner.st_uid else (UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    return make_plan(spec, workspace.directory, image=image, user=f"{uid}:{gid}", copied=copied)

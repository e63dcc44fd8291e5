"""Writes the files of a lab: certificates, CRL, configuration. Starts nothing."""

from __future__ import annotations

import dataclasses
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
from mtlslab.workspace.directory import CERTIFICATES, Workspace
from mtlslab.workspace.issue import keep_revoked_fault, retire
from mtlslab.workspace.not_issued import brought_files, move_aside
from mtlslab.workspace.renewal import PKI_FILES, renew_pki
from mtlslab.workspace.revocation import keep_crl
from mtlslab.workspace.swap import sweep


def write_certificates(
    workspace: Workspace, spec: LabSpec, *, rotate: bool, say: Say, keys: KeyPool | None = None
) -> None:
    """Write certificates, private keys (PEM) and CRL that fit the spec; certificates that still fit are kept.

    Args:
        workspace: the lab's, locked.
        spec: names, key type, validity, and whether there is a CRL.
        rotate: issue all anew, then put them in the place of the existing ones.
        say: told in a sentence what was issued, and why.
        keys: private keys that are already being generated; None generates them now.

    Raises:
        SpecError: a CA is damaged or not the lab's, or other users may read a private key.
    """
    sweep(workspace, CERTIFICATES)
    existing, record, now = (
        {} if rotate else existing_pki(workspace),
        workspace.record(),
        datetime.datetime.now(datetime.UTC),
    )
    issued = record.issued if record else None
    update = renew_pki(spec, existing, now, keys, issued=issued)
    # Noted before it is there: a note too many does no harm.
    if record and record.issued != update.issued:
        workspace.save(dataclasses.replace(record, issued=update.issued))
    if rotate:
        brought = [path for path in brought_files(workspace, issued) if path in PKI_FILES]
        for path, kept in zip(brought, move_aside(workspace, brought, now), strict=True):
            say(f"{path} was not issued by this lab: kept as {kept}.")
        # Only now that the new ones are made. Leaves before CAs: if the program is killed in between, there is still a
        # CA for every leaf.
        workspace.remove(sorted(PKI_FILES, key=lambda path: "-ca." in path))
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


def existing_pki(workspace: Workspace) -> dict[str, bytes]:
    """Path -> PEM of those certificates and keys of a lab that are there.

    Raises:
        LabError: one of them cannot be read, or others may read a private key.
    """
    found = {path: workspace.read_key(path) if path.endswith(".key") else workspace.read(path) for path in PKI_FILES}
    return {path: content for path, content in found.items() if content is not None}


def _retire_client_ca(workspace: Workspace, say: Say) -> None:
    # Before the new CA is written: if the program is killed in between, no CRL of the old CA is left.
    retire(workspace, own=PKI_FILES, say=say)


def _write_crl(workspace: Workspace, say: Say) -> None:
    keep_crl(workspace, now=datetime.datetime.now(datetime.UTC), say=say)
    keep_revoked_fault(workspace)


def write_files(
    workspace: Workspace, spec: LabSpec, image: str, *, overwrite: bool, say: Say, copied: bool = False
) -> LabPlan:
    """Render the files of the services and the Compose file; returns the plan with its fingerprints.

    Args:
        workspace: the lab's, locked, with its certificates.
        spec: the settings; no port is 0.
        image: the container image that is used, which may be the fallback image.
        overwrite: render files anew even if the user edited them.
        say: told in a sentence which edited files were kept.
        copied: whether the engine gets copies of the files instead of mounts.

    Raises:
        SpecError: the server's key is missing or cannot be accessed.
        MachineError: a file cannot be written.
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
    """The plan of a lab, without fingerprints; containers run as the owner of the server's key.

    Args:
        workspace: the lab's, with its certificates.
        spec: the settings; no port is 0.
        image: the container image.
        copied: whether the engine gets copies of the files instead of mounts.

    Raises:
        SpecError: the server's key is missing or cannot be accessed.
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
    # If root replaced the key, it belongs to root. A container does not run as root even then.
    uid, gid = (owner.st_uid, owner.st_gid) if owner.st_uid else (UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    return make_plan(spec, workspace.directory, image=image, user=f"{uid}:{gid}", copied=copied)

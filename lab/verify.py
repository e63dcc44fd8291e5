"""The use case ``verify``: issue the faulty credentials that the checks need, then run the checks against a lab."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.errors import SpecError
from lab.locate import Target
from lab.plan import CLIENT_CA, CLIENT_CA_KEY, SERVER_CERT, SERVER_KEY
from lab.ready import reachable_address
from lab.report import Report
from lab.spec import make_spec
from lab.verification import FAULTS_DIRECTORY, Observer, VerifyContext, run_checks
from lab.workspace import Workspace

if TYPE_CHECKING:
    from lab.pki import Credential


def verify(target: Target, only: Sequence[str] = (), *, observer: Observer | None = None) -> Report:
    """Run the checks that ``only`` means against a lab, and the positive controls that they depend on.

    Args:
        target: the lab.
        only: ids of checks, beginnings of ids or patterns; empty for all.
        observer: is told of each finding as it comes.

    Raises:
        LabNotFoundError: there is no such lab.
        SpecError: ``only`` means no check, or a file of the lab is damaged.
    """
    workspace = target.workspace
    record = workspace.require()
    spec = make_spec(record.spec)
    context = VerifyContext(
        directory=workspace.directory,
        lab=spec.name,
        runtime=record.runtime or "started by hand",
        tls_port=spec.tls_port,
        mtls_port=spec.mtls_port,
        address=reachable_address(spec.listen),
    )
    with workspace.lock():
        return run_checks(context, only, issue=lambda names: issue_faults(workspace, names), observer=observer)


def issue_faults(workspace: Workspace, names: Sequence[str]) -> None:
    """Issue credentials of the zoo into ``certs/faults``, new ones each time: some are only right for a moment.

    Raises:
        SpecError: the client CA or the server's credential is missing or damaged.
        KeyError: a name is not in the zoo.
    """
    if not names:
        return
    from lab.faults import build

    client_ca = _load(workspace, CLIENT_CA, CLIENT_CA_KEY)
    server = _load(workspace, SERVER_CERT, SERVER_KEY)
    now = datetime.datetime.now(datetime.UTC)
    for name in names:
        files = build(name, client_ca=client_ca, server=server, now=now)
        if files.certificate is not None and files.key is not None:
            workspace.write_key(f"{FAULTS_DIRECTORY}/{name}.key", files.key)
            workspace.write(f"{FAULTS_DIRECTORY}/{name}.crt", files.certificate)


def _load(workspace: Workspace, certificate: str, key: str) -> Credential:
    from lab.pki import load_credential

    try:
        return load_credential(workspace.read(certificate) or b"", workspace.read_key(key) or b"")
    except ValueError as error:
        raise SpecError(
            f"{workspace.directory / certificate} and {key} cannot be used.",
            why=str(error),
            hint="Issue new ones: mtlslab up --rotate-certs",
        ) from error

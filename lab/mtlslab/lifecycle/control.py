"""The positive control of a lab: its authorised client is served the page of the mTLS service, as ``up`` promises."""

from __future__ import annotations

import hashlib

from mtlslab.plan.paths import CLIENT_CERT, CLIENT_KEY, HELLO, SERVER_CA
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.plan.spec import LabSpec, reachable_address
from mtlslab.probe.attempt import attempt
from mtlslab.probe.model import Attempt, KeyFiles, Observation
from mtlslab.probe.policy import described
from mtlslab.workspace.directory import Workspace

_VERIFY_HEADER = "x-ssl-client-verify"


def why_not_served(workspace: Workspace, spec: LabSpec) -> str:
    """Ask as the command that ``up`` prints does; empty when the page came, else one clause that says what came.

    Args:
        workspace: of the lab, with the client's credential.
        spec: its settings, with the ports that are in use.
    """
    seen = attempt(
        Attempt(
            port=spec.mtls_port,
            address=reachable_address(spec.listen),
            cacert=workspace.directory / SERVER_CA,
            credential=KeyFiles(workspace.directory / CLIENT_CERT, workspace.directory / CLIENT_KEY),
        )
    )
    if seen.status is None:
        policy = described()
        return f"{seen.error or seen.alert}{f'; {policy}' if policy else ''}"
    if seen.status != 200:
        return f"HTTP {seen.status}{_words_of_server(seen)}"
    path = f"{MTLS_SERVICE}/{HELLO}"
    page = hashlib.sha256(workspace.read(path) or b"").hexdigest()
    return "" if seen.body_sha256 == page else f"HTTP 200, with another page than {path}"


def _words_of_server(seen: Observation) -> str:
    said = seen.headers.get(_VERIFY_HEADER, "") or seen.title
    return f" ({said})" if said else ""

"""The use case ``mtlslab serve``: a small server with a good or a broken certificate, to try a client against."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from mtlslab.errors import SpecError
from mtlslab.pki.servers import HOST, SERVER_CREDENTIALS
from mtlslab.plan.addresses import loopback_here
from mtlslab.plan.paths import FAULTS_DIRECTORY, SERVER_CA
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import Attempt
from mtlslab.verify.procedures.server import SmallServer
from mtlslab.verify.procedures.server_files import ServerPaths, build_files, paths_below
from mtlslab.workspace.directory import Workspace


def issue_server(workspace: Workspace, name: str) -> ServerPaths:
    """Issue a server credential into ``certs/faults/server-NAME.crt`` and ``.key`` (0600), a new one each time.

    Returns paths relative to the workspace.

    Raises:
        SpecError: there is none of that name, or the lab's server CA is missing or damaged.
    """
    if name not in SERVER_CREDENTIALS:
        raise SpecError(f"There is no server credential {name!r}.", hint=f"Use one of: {', '.join(SERVER_CREDENTIALS)}")
    files = build_files(workspace, name)
    paths = paths_below(Path(FAULTS_DIRECTORY), name)
    workspace.write_key(paths.key.as_posix(), files.credential.key_pem())
    workspace.write(paths.certificate.as_posix(), files.credential.certificate_pem())
    if paths.anchor:
        workspace.write(paths.anchor.as_posix(), files.anchor_pem())
    return paths


def open_server(workspace: Workspace, name: str, port: int) -> SmallServer:
    """A small server, listening, with a new credential of this name; it serves inside its ``with`` block.

    Raises:
        LabError: as :func:`issue_server`, there is no such lab, or the port is taken.
    """
    workspace.require()
    with workspace.lock():
        paths = issue_server(workspace, name)
    return SmallServer(workspace.directory / paths.certificate, workspace.directory / paths.key, port)


def server_command(workspace: Workspace, name: str, port: int) -> list[str]:
    """The curl command, as arguments, that trusts the CA of this server and asks it; to be run in the workspace."""
    anchor = paths_below(Path(FAULTS_DIRECTORY), name).anchor or Path(SERVER_CA)
    attempt = Attempt(host=HOST, address=loopback_here(), port=port, path="/", cacert=workspace.directory / anchor)
    return curl_command(attempt, workspace.directory)


def run_client(command: Sequence[str]) -> int:
    """Run a client's command to its end; returns its exit status.

    Raises:
        SpecError: there is no such program.
    """
    try:
        return subprocess.run(command, check=False).returncode
    except OSError as error:
        raise SpecError(f"Cannot run {command[0]}.", why=error.strerror or str(error)) from error

"""The use case ``mtlslab serve``: a small server with a good or a broken certificate, to try a client against."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from lab.errors import SpecError
from lab.context import FAULTS_DIRECTORY
from lab.trials.client_side import build_files
from lab.trials.server import SmallServer
from lab.trials.servers import SERVER_CREDENTIALS, ServerPaths, paths_below
from lab.workspace import Workspace


def issue_server(workspace: Workspace, name: str) -> ServerPaths:
    """Issue a server credential into ``certs/faults/server-NAME.crt`` and ``.key``, new each time.

    Raises:
        SpecError: there is none of that name, or the lab's server CA is missing or damaged.
    """
    if name not in SERVER_CREDENTIALS:
        raise SpecError(f"There is no server credential {name!r}.", hint=f"Use one of: {', '.join(SERVER_CREDENTIALS)}")
    files = build_files(workspace, name)
    paths = paths_below(workspace.directory / FAULTS_DIRECTORY, name)

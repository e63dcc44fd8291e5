"""Server credentials as files: made new from the lab's server CA, and where they lie."""

from __future__ import annotations

import dataclasses
import datetime
import os
from pathlib import Path

from mtlslab.pki.servers import SERVER_CREDENTIALS, ServerFiles
from mtlslab.verify.procedures.authority import load_server_ca
from mtlslab.workspace.directory import Workspace


@dataclasses.dataclass(frozen=True)
class ServerPaths:
    """Where the files of a server credential lie; ``anchor`` is None where the lab's server CA is the anchor."""

    certificate: Path
    key: Path
    anchor: Path | None


def paths_below(directory: Path, name: str) -> ServerPaths:
    """The file names of a server credential in ``directory``."""
    own_anchor = name.startswith("chain")
    anchor = directory / f"server-{name}-ca.crt" if own_anchor else None
    return ServerPaths(directory / f"server-{name}.crt", directory / f"server-{name}.key", anchor)


def build_files(workspace: Workspace, name: str) -> ServerFiles:
    """A server credential, new, in memory.

    Raises:
        SpecError: the lab's server CA is missing or damaged.
        KeyError: there is none of that name.
    """
    return SERVER_CREDENTIALS[name].build(load_server_ca(workspace), datetime.datetime.now(datetime.UTC))


def write_files(paths: ServerPaths, files: ServerFiles) -> None:
    """Write a server credential where nothing lies yet; its key is private from birth."""
    paths.certificate.write_bytes(files.credential.certificate_pem())
    if paths.anchor:
        paths.anchor.write_bytes(files.anchor_pem())
    with os.fdopen(os.open(paths.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(files.credential.key_pem())

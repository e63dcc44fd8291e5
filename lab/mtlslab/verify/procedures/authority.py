"""The lab's server CA, for the procedures that have something new signed by it."""

from __future__ import annotations

import functools

from mtlslab import pki
from mtlslab.errors import MissingKeyError, SpecError
from mtlslab.plan.paths import SERVER_CA, SERVER_CA_KEY
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.not_issued import mend_hint


def load_server_ca(workspace: Workspace) -> pki.Credential:
    """The server CA with its key, as its files are now.

    Raises:
        MissingKeyError: its private key is not there.
        SpecError: a file is missing or damaged, or they do not belong together.
    """
    key = workspace.read_key(SERVER_CA_KEY)
    if key is None:
        raise MissingKeyError(SERVER_CA_KEY, workspace.directory)
    try:
        return _load(workspace.read(SERVER_CA) or b"", key)
    except ValueError as error:
        raise SpecError(
            f"{SERVER_CA} and {SERVER_CA_KEY} cannot sign a certificate.",
            why=str(error),
            hint=mend_hint(workspace),
        ) from error


@functools.lru_cache(maxsize=2)
def _load(certificate: bytes, key: bytes) -> pki.Credential:
    # Two dozen procedures of a run ask for it, and OpenSSL checks an RSA key's numbers whenever it loads one.
    return pki.load_authority(pki.load_anchors(certificate), pki.load_key(key))

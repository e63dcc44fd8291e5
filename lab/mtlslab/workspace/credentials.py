"""Finds and loads the credentials of a workspace by name, and checks names. Writes nothing."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable, Iterable

from cryptography import x509

from mtlslab import pki
from mtlslab.errors import MissingKeyError, SpecError
from mtlslab.plan.paths import CLIENT_CA, CLIENT_CA_KEY, CLIENT_CERT, SERVER_CERT, SERVER_KEY
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.not_issued import mend_hint
from mtlslab.workspace.shape import client_ca_of

DIRECTORY = "certs"
# Names of the lab's own credentials; a further client cannot have one of them.
OWN_NAMES = ("server-ca", "client-ca", "server", "client")
# A plain file name on every platform, without meaning for a shell or an option parser. DNS names and mail addresses
# fit. A common name has at most 64 characters (RFC 5280 appendix A.1).
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_SUFFIXES = (".crt", ".key", ".p12", ".pem")


def files_of(name: str) -> tuple[str, str]:
    """Paths of the certificate and the private key of a client credential."""
    return f"{DIRECTORY}/{name}.crt", f"{DIRECTORY}/{name}.key"


def check_new_name(name: str) -> None:
    """Check that a further client can have this name.

    Raises:
        SpecError: the name is no plain file name, or the lab itself uses it.
    """
    hint = "Example: mtlslab certs issue alice"
    if not _NAME.fullmatch(name) or name.endswith("."):
        why = "use 1 to 64 letters, digits, or . _ @ + -, the first a letter or digit: it becomes a file name"
        raise SpecError(f"{name!r} is no name for a credential.", why=why, hint=hint)
    # Lower case: on some file systems Client.crt is client.crt.
    if name.lower() in OWN_NAMES:
        raise SpecError(f"{name!r} is a credential of the lab itself.", why="it is left as it is", hint=hint)
    if name.lower().endswith(_SUFFIXES):
        stem = name.rpartition(".")[0]
        raise SpecError(f"{name!r} is the name of a file.", hint=f"Leave its end away: mtlslab certs issue {stem}")


def client_names(workspace: Workspace) -> tuple[str, ...]:
    """Names of all client credentials: first ``client``, the lab's own, then the further clients."""
    names = [path.removeprefix(f"{DIRECTORY}/").removesuffix(".crt") for path in workspace.certificates()]
    own = [name for name in names if name == "client"]
    return (*own, *(name for name in names if name not in OWN_NAMES))


def require_client(workspace: Workspace, name: str) -> None:
    """Check that the workspace has a client credential of this name.

    Raises:
        SpecError: there is none; the hint suggests similar names.
    """
    known = client_names(workspace)
    if name not in known:
        raise unknown("client credential", name, known, see="mtlslab certs list")


def unknown(kind: str, name: str, known: Iterable[str], *, see: str) -> SpecError:
    """The error about an unknown name; its hint suggests similar known names.

    Args:
        kind: what the name should be, such as ``fault``.
        name: the unknown name.
        known: all known names.
        see: the command that lists them.
    """
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return SpecError(f"There is no {kind} {name!r}.", hint=f"{meant}All of them: {see}")


def load_client_ca(workspace: Workspace) -> pki.Credential:
    """The client CA with its private key.

    Raises:
        MissingKeyError: its private key is not there.
        SpecError: it is missing or damaged.
    """
    return load_ca(workspace, CLIENT_CA, CLIENT_CA_KEY)


def load_ca(workspace: Workspace, certificate: str, key: str) -> pki.Credential:
    """A CA with its private key, from the paths of both; the file may hold further trust anchors, in any order.

    Raises:
        MissingKeyError: the private key is not there.
        SpecError: a file is missing or damaged, or the key belongs to none of the certificates.
    """
    anchors, key_pem = load_anchors(workspace, certificate), workspace.read_key(key)
    if key_pem is None:
        raise MissingKeyError(key, workspace.directory)
    try:
        return pki.load_authority(anchors, pki.load_key(key_pem))
    except ValueError as error:
        raise _unusable(workspace, f"{certificate} and {key}", error) from error


def load_client_ca_certificate(workspace: Workspace) -> x509.Certificate:
    """The client CA's certificate, wherever in its file it stands.

    Raises:
        SpecError: it is missing or damaged.
    """
    anchors, client = load_anchors(workspace, CLIENT_CA), workspace.read(CLIENT_CERT)
    with contextlib.suppress(ValueError):
        return client_ca_of(anchors, pki.load_certificates(client or b""), workspace.read(CLIENT_CA_KEY))
    return client_ca_of(anchors, (), workspace.read(CLIENT_CA_KEY))


def load_server(workspace: Workspace) -> pki.Credential:
    """The server's credential. A key that others may read is accepted here, because ``verify`` has a check for that.

    Raises:
        SpecError: it is missing or damaged.
    """
    return _load(workspace, SERVER_CERT, SERVER_KEY, workspace.read)


def load(workspace: Workspace, certificate: str, key: str) -> pki.Credential:
    """Load a credential from the paths of its certificate and its private key.

    Raises:
        SpecError: a file is missing or damaged, the key does not match the certificate, or others may read the key.
    """
    return _load(workspace, certificate, key, workspace.read_key)


def _load(workspace: Workspace, certificate: str, key: str, read_key: Callable[[str], bytes | None]) -> pki.Credential:
    try:
        return pki.load_credential(workspace.read(certificate) or b"", read_key(key) or b"")
    except ValueError as error:
        raise _unusable(workspace, f"{certificate} and {key}", error) from error


def load_certificates(workspace: Workspace, path: str) -> list[x509.Certificate]:
    """Load the certificates of a PEM file, leaf first.

    Raises:
        SpecError: it is missing or damaged.
    """
    try:
        return pki.load_certificates(workspace.read(path) or b"")
    except ValueError as error:
        raise _unusable(workspace, path, error) from error


def load_anchors(workspace: Workspace, path: str) -> list[x509.Certificate]:
    """Load the certificates of a PEM file of trust anchors; those that cannot be read are left out.

    Raises:
        SpecError: it is missing, or none of them can be read.
    """
    try:
        return pki.load_anchors(workspace.read(path) or b"")
    except ValueError as error:
        raise _unusable(workspace, path, error) from error


def _unusable(workspace: Workspace, paths: str, error: ValueError) -> SpecError:
    return SpecError(
        f"{paths} in {workspace.directory} cannot be used.",
        why=str(error),
        hint=mend_hint(workspace),
    )

"""Many client credentials at once, such as one for each student of a class: ``certs/NAME-0001.crt`` and so on.

The key is written first, then the certificate, each file atomically. So an interrupted run can be repeated: complete
and valid credentials are kept, the others are issued.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Iterator, Sequence

from cryptography import x509

from mtlslab import pki
from mtlslab.errors import SpecError
from mtlslab.plan.spec import make_spec
from mtlslab.workspace.credentials import DIRECTORY, client_names, files_of, load_client_ca
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.folder import PRIVATE
from mtlslab.workspace.issue import check_new_client
from mtlslab.workspace.not_issued import brought_files, move_aside, note_issued

MAX_COUNT = 9999  # always four digits: the names stay the same when the count grows

Progress = Callable[[int, int], None]
"""Is called with the number of credentials issued so far, and the number to issue."""


@dataclasses.dataclass(frozen=True)
class IssuedClients:
    """Numbered client credentials.

    Attributes:
        names: all names, in order.
        issued: the names that were issued now; the other credentials existed and are valid.
    """

    names: tuple[str, ...]
    issued: tuple[str, ...]


def issue_clients(
    workspace: Workspace,
    prefix: str,
    count: int,
    *,
    now: datetime.datetime,
    key_type: str | None = None,
    days: int | None = None,
    overwrite: bool = False,
    progress: Progress = lambda _done, _of: None,
) -> IssuedClients:
    """Issue ``count`` client credentials under the client CA: PREFIX-0001 and so on. Private keys have mode 0600.

    Args:
        workspace: of the lab; the caller holds its lock.
        prefix: beginning of all names.
        count: number of credentials, 1 to ``MAX_COUNT``.
        now: current time (aware UTC).
        key_type: one of ``spec.KEY_TYPES``; None for the lab's setting.
        days: validity in days, at most until the CA expires; None for the lab's setting.
        overwrite: also replace credentials that exist and are valid.
        progress: is called after each credential.

    Raises:
        SpecError: a name, the count, the key type or the days are not valid, or the client CA is missing or damaged.
    """
    if not 1 <= count <= MAX_COUNT:
        raise SpecError(f"--count {count} is not possible.", hint=f"Take 1 to {MAX_COUNT}.")
    names = tuple(f"{prefix}-{number:04}" for number in range(1, count + 1))
    check_new_client(workspace, names)
    record = workspace.require()
    spec = make_spec(record.spec, {"key_type": key_type, "days": days})
    ca = load_client_ca(workspace)
    good = frozenset[str]() if overwrite else _good(workspace, names, ca, now)
    missing = tuple(name for name in names if name not in good)
    replaced = {path for name in missing for path in files_of(name) if overwrite and workspace.read(path) is not None}
    if replaced:
        move_aside(workspace, [path for path in brought_files(workspace, record.issued) if path in replaced], now)
    # Closing the stream stops the generation of keys when the loop ends early.
    keys = contextlib.closing(pki.key_stream(spec.key_type, len(missing)))
    with keys as stream, workspace.folder(DIRECTORY) as folder, _noting(workspace, ca.certificate) as made:
        for done, (name, key) in enumerate(zip(missing, stream, strict=True), start=1):
            leaf = pki.issue_client_leaf(ca, key, name, now=now, days=spec.days)
            made.append(leaf.certificate)
            folder.write(f"{name}.key", leaf.key_pem(), mode=PRIVATE)
            folder.write(f"{name}.crt", leaf.certificate_pem())
            progress(done, len(missing))
    return IssuedClients(names, missing)


@contextlib.contextmanager
def _noting(workspace: Workspace, ca: x509.Certificate) -> Iterator[list[x509.Certificate]]:
    """Note all certificates that the block puts into the list, however it ends: at once, because there may be many."""
    made: list[x509.Certificate] = []
    try:
        yield made
    finally:
        note_issued(workspace, ca, made)


def _good(workspace: Workspace, names: Sequence[str], ca: pki.Credential, now: datetime.datetime) -> frozenset[str]:
    there = frozenset(client_names(workspace))
    return frozenset(name for name in names if name in there and _is_good(workspace, name, ca, now))


def _is_good(workspace: Workspace, name: str, ca: pki.Credential, now: datetime.datetime) -> bool:
    """Whether a credential is complete, was issued by the current client CA, and has not expired."""
    certificate, key = files_of(name)
    try:
        leaf = pki.load_credential(workspace.read(certificate) or b"", workspace.read_key(key) or b"").certificate
    except ValueError:
        return False
    return pki.issued_by(leaf, ca.certificate) and leaf.not_valid_after_utc > now

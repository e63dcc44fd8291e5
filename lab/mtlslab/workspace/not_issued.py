"""Tells which files of a lab somebody brought. The lab replaces and removes what it issued itself, and nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path

from cryptography import x509

from mtlslab import pki
from mtlslab.errors import LabError
from mtlslab.pki.bundle import read_bundle
from mtlslab.pki.credential import fingerprint
from mtlslab.workspace.directory import CERTIFICATES, LabRecord, Workspace, is_litter
from mtlslab.workspace.renewal import IMPORT_HINT, PKI_FILES, ROTATE_HINT, has_name_of_lab
from mtlslab.workspace.user_files import read

_ASIDE = ".old-"
_PARTNERS = ((".crt", ".key"), (".pem", ".key"))


def brought_files(workspace: Workspace, issued: frozenset[str] | None) -> tuple[str, ...]:
    """Paths of the certificates in ``certs/`` that the lab did not issue, and of their keys.

    Args:
        workspace: of the lab.
        issued: fingerprints of what the lab issued, from lab.json; None if it notes none: then names decide.
    """
    names = [name for name in workspace.names(CERTIFICATES) if not is_litter(name)]
    found = {name: _certificates(workspace, f"{CERTIFICATES}/{name}") for name in names}
    everything = [one for certificates in found.values() for one in certificates]
    own = [one for one in everything if issued is not None and fingerprint(one) in issued and pki.is_ca(one)]
    brought = [
        name for name, certificates in found.items() if not all(_is_ours(one, issued, own) for one in certificates)
    ]
    keys = {partner for name in brought for partner in _partners(name) if partner in names}
    return tuple(f"{CERTIFICATES}/{name}" for name in sorted({*brought, *keys}))


def only_here(workspace: Workspace, record: LabRecord | None) -> tuple[str, ...]:
    """Of the files that somebody brought, those that are no copies of files which he still has.

    Args:
        workspace: of the lab.
        record: content of its lab.json; None if it cannot be read.
    """
    copied = record.copied if record else {}
    brought = brought_files(workspace, record.issued if record else None)
    return tuple(path for path in brought if path not in copied or not _is_copy(workspace, path, *copied[path]))


def _is_copy(workspace: Workspace, path: str, file: str, sha256: str, copy_sha256: str) -> bool:
    """Whether a file is as it was imported, and so is the user's file that it was made from."""
    with contextlib.suppress(LabError, ValueError):
        contents = (read("", Path(file)), workspace.read(path) or b"")
        return [hashlib.sha256(content).hexdigest() for content in contents] == [sha256, copy_sha256]
    return False


def mend_hint(workspace: Workspace) -> str:
    """What to do about certificates that cannot be used: what somebody brought is not offered for destruction.

    Raises:
        LabError: lab.json cannot be read.
    """
    record = workspace.record()
    brought = brought_files(workspace, record.issued if record else None)
    return IMPORT_HINT if {*brought} & {*PKI_FILES} else ROTATE_HINT


def note_issued(workspace: Workspace, ca: x509.Certificate, certificates: Iterable[x509.Certificate]) -> None:
    """Note in lab.json what the lab issues under a CA that somebody brought; what its own CA issued is known by that.

    A lab of an earlier version goes on without notes until the next `up`.
    """
    record = workspace.require()
    if record.issued is not None and fingerprint(ca) not in record.issued:
        new = record.issued.union(map(fingerprint, certificates))
        workspace.save(dataclasses.replace(record, issued=new))


def move_aside(workspace: Workspace, paths: Iterable[str], now: datetime.datetime) -> tuple[str, ...]:
    """Give files of a directory of the workspace names of the past, ``NAME.crt.old-DATE``; returns their new paths."""
    moved = []
    for path in paths:
        directory, _, name = path.rpartition("/")
        new = name_aside(name, workspace.names(directory), now)
        workspace.rename(path, new)
        moved.append(f"{directory}/{new}")
    return tuple(moved)


def name_aside(name: str, taken: Collection[str], now: datetime.datetime) -> str:
    """A name of the past for a file, that none of those in ``taken`` has."""
    aside = f"{name}{_ASIDE}{now:%Y%m%d-%H%M%S}"
    number = 1
    while aside in taken:
        number += 1
        aside = f"{name}{_ASIDE}{now:%Y%m%d-%H%M%S}-{number}"
    return aside


def _is_ours(one: x509.Certificate, issued: frozenset[str] | None, own: Iterable[x509.Certificate]) -> bool:
    if issued is None:
        return has_name_of_lab(one)
    # Only the lab has the keys of its own CAs.
    return fingerprint(one) in issued or any(pki.issued_by(one, ca) for ca in own)


def _certificates(workspace: Workspace, path: str) -> tuple[x509.Certificate, ...]:
    try:
        return read_bundle(workspace.read(path) or b"").certificates
    except LabError:  # a directory, a FIFO, a file of somebody else
        return ()


def _partners(name: str) -> list[str]:
    """Names that the private key of a certificate may have: ``a.key`` for ``a.crt``, also of the same past."""
    stem, _, date = name.partition(_ASIDE)
    end = f"{_ASIDE}{date}" if date else ""
    return [f"{stem.removesuffix(old)}{new}{end}" for old, new in _PARTNERS if stem.endswith(old)]

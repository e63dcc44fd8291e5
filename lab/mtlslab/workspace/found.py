"""Looks for certificates and keys in a directory that is no lab, and makes the command that imports them.

What a file is follows from its content. Names decide only where a certificate says nothing about its purpose.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlslab import pki
from mtlslab.errors import LabError
from mtlslab.pki.bundle import read_bundle
from mtlslab.pki.credential import key_id, public_key_id
from mtlslab.pki.purposes import host_names
from mtlslab.plan.shell import shell_line
from mtlslab.plan.spec import DEFAULT_NAME
from mtlslab.workspace.user_files import read

_DEEPEST = 3  # EasyRSA has pki/private/NAME.key
_MOST_FILES = 300
_LARGEST = 256 * 1024  # bytes


@dataclasses.dataclass(frozen=True)
class _Found:
    """A file with certificates."""

    path: Path
    certificates: tuple[x509.Certificate, ...]

    @property
    def first(self) -> x509.Certificate:
        return self.certificates[0]


def import_command(directory: Path) -> str:
    """The command that makes a lab of what lies in a directory, or below it; empty if that is not enough.

    The lab is to be in a directory of its own below this one. Nothing is changed, and no password asked for.
    """
    files = [(path, content) for path, content in _contents(directory) if b"-----BEGIN " in content]
    keys = {name: path for path, content in files for name in _key_in(content)}
    found = [_Found(path, read_bundle(content).certificates) for path, content in files]
    found = [one for one in found if one.certificates]
    leaves = [one for one in found if not pki.is_ca(one.first) and key_id(one.first) in keys]
    words: list[str | Path] = []
    for side in ("server", "client"):
        mine = sorted((one for one in leaves if _side_of(one) == side), key=lambda one: _rank(one, keys))
        words += next(filter(None, (_options(side, one, found, keys) for one in mine)), [])
    if not words:
        return ""
    return shell_line(["mtlslab", "certs", "import", "--dir", _shown(directory / DEFAULT_NAME), *words])


def _rank(leaf: _Found, keys: dict[str, Path]) -> tuple[bool, bool]:
    """Which of several comes first: one for localhost, where the lab's clients look; one that is called as its key."""
    return "localhost" not in host_names(leaf.first), leaf.path.stem != keys[key_id(leaf.first)].stem


def _options(side: str, leaf: _Found, found: Iterable[_Found], keys: dict[str, Path]) -> list[str | Path]:
    """The options of one side; none without its CA."""
    cas = [one for one in found if pki.is_ca(one.first) and _issued(one.first, leaf)]
    ca = next((one for one in cas if pki.issued_by(one.first, one.first)), None)
    if ca is None:
        return []
    files = {"cert": leaf.path, "key": keys[key_id(leaf.first)], "ca": ca.path, "ca-key": keys.get(key_id(ca.first))}
    return [word for part, path in files.items() if path for word in (f"--{side}-{part}", _shown(path))]


def _issued(ca: x509.Certificate, leaf: _Found) -> bool:
    """Whether a CA issued a leaf, or an intermediate that lies in the leaf's file."""
    return any(pki.issued_by(one, ca) for one in leaf.certificates)


def _side_of(leaf: _Found) -> str:
    server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
    with contextlib.suppress(x509.ExtensionNotFound):
        usages = list(leaf.first.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        if (server in usages) != (client in usages):
            return "server" if server in usages else "client"
    name = leaf.path.name.lower()
    if "client" in name or "server" in name:
        return "client" if "client" in name else "server"
    return "server" if host_names(leaf.first) else "client"


def _key_in(content: bytes) -> Iterator[str]:
    """The id of the private key in a PEM file; none if there is none, or it is protected."""
    if b"PRIVATE KEY-----" in content:
        with contextlib.suppress(ValueError, LabError):
            yield public_key_id(pki.load_key(content).public_key())


def _contents(directory: Path) -> Iterator[tuple[Path, bytes]]:
    """The small files in a directory and below it, in order; links are not followed, other labs not entered."""
    count = 0
    for top, directories, names in os.walk(directory):
        inside = len(Path(top).relative_to(directory).parts)
        if inside and "lab.json" in names:
            directories.clear()
            continue
        directories[:] = sorted(directories) if inside < _DEEPEST else []
        for path in (Path(top) / name for name in sorted(names)):
            count += 1
            if count > _MOST_FILES:
                return
            with contextlib.suppress(LabError, OSError):
                if not path.is_symlink() and path.stat().st_size <= _LARGEST:
                    yield path, read("", path)


def _shown(path: Path) -> Path:
    """Relative to the current directory, where it lies below that."""
    with contextlib.suppress(OSError):
        here = Path.cwd()
        return path.relative_to(here) if path.is_relative_to(here) else path
    return path

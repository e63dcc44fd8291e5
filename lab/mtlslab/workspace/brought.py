"""Certificates and keys that people bring: read in whatever format, as the files of a lab. Changes nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cryptography import x509

from mtlslab import pki
from mtlslab.errors import SpecError
from mtlslab.pki import unlock
from mtlslab.pki.bundle import read_bundle
from mtlslab.pki.credential import pem_of
from mtlslab.pki.formats import CERTIFICATE, KEY, format_of
from mtlslab.plan.paths import (
    CLIENT_CA,
    CLIENT_CA_KEY,
    CLIENT_CERT,
    CLIENT_KEY,
    SERVER_CA,
    SERVER_CA_KEY,
    SERVER_CERT,
    SERVER_KEY,
)
from mtlslab.workspace.user_files import opened, read

SIDES = ("server", "client")
_PATHS = {
    "server": (SERVER_CA, SERVER_CA_KEY, SERVER_CERT, SERVER_KEY),
    "client": (CLIENT_CA, CLIENT_CA_KEY, CLIENT_CERT, CLIENT_KEY),
}

Password = Callable[[Path], str | None]
"""From a protected file to its password; None if nobody knows it."""


@dataclasses.dataclass(frozen=True)
class Named:
    """The files of one side, as the user named them; None where he named none.

    Attributes:
        cert: the leaf, with its chain; may hold more: its key, its CA.
        key: the leaf's private key.
        ca: the CA that the other side trusts.
        ca_key: the CA's private key.
    """

    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    ca_key: Path | None = None

    def __bool__(self) -> bool:
        return any((self.cert, self.key, self.ca, self.ca_key))


@dataclasses.dataclass(frozen=True)
class Brought:
    """What one side brings.

    Attributes:
        side: ``server`` or ``client``.
        anchors: the certificates of its CAs, in the order of the file; those that can be read.
        ca: the one that matters here: of the CA's key, else the one that issued the leaf, else the first.
        chain: the leaf, and after it its chain; empty where the lab is to issue it.
        files: path in a lab -> PEM.
        sources: path in a lab -> the user's file that it is made from, and the SHA-256 (hex) of that file.
        notes: what was done with the files, or is odd about them.
    """

    side: str
    anchors: tuple[x509.Certificate, ...]
    ca: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    files: Mapping[str, bytes] = dataclasses.field(repr=False)
    sources: Mapping[str, tuple[str, str]]
    notes: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths of this side in a lab: what is not brought has no place beside what is."""
        return _PATHS[self.side]


def read_side(side: str, named: Named, password: Password) -> Brought:
    """Read the files of one side.

    Args:
        side: ``server`` or ``client``.
        named: its files.
        password: asked for protected files.

    Raises:
        SpecError: a file is missing or damaged, does not open, or does not belong to the others.
    """
    _require_enough(side, named)
    reader = _Reader(side, password)
    ca, ca_key, cert, cert_key = _PATHS[side]
    files: dict[str, bytes] = {}
    chain: list[x509.Certificate] = []
    if named.cert is not None:
        chain, files[cert_key] = reader.leaf(named.cert, named.key or named.cert)
        files[cert] = b"".join(map(pem_of, chain))
    anchors, files[ca] = reader.anchors(named.ca or named.cert or Path(), named.ca is None)
    authority = next((one for one in anchors if any(pki.issued_by(below, one) for below in chain)), anchors[0])
    if named.ca_key is not None:
        files[ca_key], authority = reader.ca_key(named.ca_key, anchors)
    origins = {ca: named.ca or named.cert, ca_key: named.ca_key, cert: named.cert, cert_key: named.key or named.cert}
    sources = {path: reader.source(file) for path, file in origins.items() if path in files and file}
    return Brought(side, tuple(anchors), authority, tuple(chain), files, sources, tuple(reader.notes))


def _require_enough(side: str, named: Named) -> None:
    if named.cert is None and named.key is not None:
        raise SpecError(f"--{side}-key needs the certificate, too.", hint=f"Add --{side}-cert FILE")
    if named.cert is None and (named.ca is None or named.ca_key is None):
        raise SpecError(
            f"There would be no certificate of a {side}.",
            why=f"without the key of the {side} CA the lab can issue none",
            hint=f"Add --{side}-cert FILE and --{side}-key FILE, or --{side}-ca FILE and --{side}-ca-key FILE",
        )


class _Reader:
    """Reads the files of one side, and notes what was done with them."""

    def __init__(self, side: str, password: Password) -> None:
        self.side = side
        self.password = password
        self.notes: list[str] = []
        self.hashes: dict[Path, str] = {}

    def source(self, file: Path) -> tuple[str, str]:
        """Where a file is, and the SHA-256 of what was read from it."""
        return str(file.absolute()), self.hashes[file]

    def leaf(self, cert: Path, key: Path) -> tuple[list[x509.Certificate], bytes]:
        """The leaf with its chain, and its key as PEM."""
        option, key_option = f"--{self.side}-cert", f"--{self.side}-key"
        content = self._content(option, cert)
        key_content = self._content(key_option, key) if key != cert else content
        self._look_at_mode(key)
        locked = next(
            (file for file, what in ((key, key_content), (cert, content)) if unlock.needs_password(what)), None
        )
        secret = self.password(locked) if locked else None
        # Each file is told of by its own option.
        opened(option, cert, content, lambda: unlock.certificates_in(content, secret))
        opened(key_option, key, key_content, lambda: unlock.key_pem_of(key_content, secret))
        make = lambda: unlock.chain_in(content, key_content, secret)  # noqa: E731  one line says it
        return opened(key_option, key, key_content, make)

    def anchors(self, file: Path, inside_cert: bool) -> tuple[list[x509.Certificate], bytes]:
        """The CAs of a file, and the file as PEM; ``inside_cert``: it is the file of the leaf."""
        option = f"--{self.side}-cert" if inside_cert else f"--{self.side}-ca"
        content = self._content(option, file)
        secret = self.password(file) if unlock.needs_password(content) else None
        if format_of(content) is CERTIFICATE:
            found = self._in_pem(option, file, content)
        else:
            found = opened(option, file, content, lambda: unlock.certificates_in(content, secret))
        cas = [one for one in found if pki.is_ca(one) or (not inside_cert and len(found) == 1)]
        if inside_cert:
            cas = [one for one in cas if pki.issued_by(one, one)]
        if not cas:
            why = f"{file} holds no CA" + (" that signed itself" if inside_cert else "")
            raise SpecError(f"The CA of the {self.side} is missing.", why=why, hint=f"Name it: --{self.side}-ca FILE")
        others = [one.subject.rfc4514_string() for one in found if one not in cas]
        if others and not inside_cert:
            self.notes.append(f"{file}: left out what is no CA: {', '.join(others)}")
        return cas, b"".join(map(pem_of, cas))

    def _in_pem(self, option: str, file: Path, content: bytes) -> list[x509.Certificate]:
        """The certificates that can be read; the others are noted."""
        bundle = read_bundle(content)
        if not bundle.certificates:
            opened(option, file, content, lambda: pki.load_certificates(content))
        for one in bundle.unread:
            self.notes.append(f"{file}: {one.problem(bundle.count)}; left out")
        return list(bundle.certificates)

    def ca_key(self, file: Path, anchors: Sequence[x509.Certificate]) -> tuple[bytes, x509.Certificate]:
        """The CA's key as PEM, and the certificate that it belongs to."""
        option = f"--{self.side}-ca-key"
        content = self._content(option, file)
        self._look_at_mode(file)
        secret = self.password(file) if unlock.needs_password(content) else None
        pem = opened(option, file, content, lambda: unlock.key_pem_of(content, secret))
        key = opened(option, file, content, lambda: pki.load_authority(anchors, pki.load_key(pem)))
        return key.key_pem(), key.certificate

    def _content(self, option: str, file: Path) -> bytes:
        content = read(option, file)
        self.hashes[file] = hashlib.sha256(content).hexdigest()
        kind = format_of(content)
        if kind not in (CERTIFICATE, KEY):
            note = f"{file}: {kind.words}; the lab gets PEM without a password"
            self.notes += [note] if note not in self.notes else []
        return content

    def _look_at_mode(self, file: Path) -> None:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            self.notes.append(f"{file}: others may read it (mode {mode:04o}); the copy in the lab has 0600")

"""Reads the certificates and keys that the user names, in whatever format, with a password if need be.

What TLS libraries do not take as it is becomes PEM in files for secrets, which are gone after the audit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from mtlslab import pki
from mtlslab.errors import SpecError
from mtlslab.pki import unlock
from mtlslab.pki.formats import CERTIFICATE, DER_CERTIFICATE, DER_KEY, PKCS12, format_of, is_protected
from mtlslab.pki.mint import ClientCa
from mtlslab.plan.shell import path_word
from mtlslab.probe.curl import certificate_word
from mtlslab.probe.model import KeyFiles
from mtlslab.probe.secret_files import Keep
from mtlslab.workspace.user_files import opened, read


@dataclasses.dataclass(frozen=True)
class KeyRing:
    """What opens files that are not plain PEM.

    Attributes:
        keep: puts PEM into a file for secrets.
        password: from a protected file to its password; None if nobody knows it.
    """

    keep: Keep
    password: Callable[[Path], str | None]
    _kept: dict[bytes, Path] = dataclasses.field(default_factory=dict, repr=False)

    def file_with(self, pem: bytes) -> Path:
        """A file for secrets with this content, the same for many targets: open files are limited."""
        if pem not in self._kept:
            self._kept[pem] = self.keep(pem)
        return self._kept[pem]


def trust(cacert: Path, ring: KeyRing | None) -> Path:
    """A PEM file with the trust anchors of ``--cacert``.

    Raises:
        SpecError: it cannot be read.
    """
    content = read("--cacert", cacert)
    if ring is None or format_of(content) not in unlock.READABLE or format_of(content) in (CERTIFICATE, PKCS12):
        return cacert
    return ring.file_with(opened("--cacert", cacert, content, lambda: unlock.certificates_pem(content)))


def authorised_client(cert: Path | None, key: Path | None, ring: KeyRing | None) -> KeyFiles | None:
    """The files of ``--cert`` and ``--key``, or PEM made of them; None without any.

    Raises:
        SpecError: they cannot be read, their password is missing or wrong, or they do not belong together.
    """
    if cert is None:
        if key is not None:
            raise SpecError("--key needs the certificate, too.", hint="Add --cert FILE")
        return None
    content = read("--cert", cert)
    key_content = read("--key", key) if key is not None else content
    if ring is None or unlock.is_plain_pem(content, key_content):
        return KeyFiles(cert, key or cert)
    protected = next((file for file, what in ((key, key_content), (cert, content)) if file and _locked(what)), None)
    password = ring.password(protected) if protected else None
    which = key if key and (protected == key or format_of(content) is CERTIFICATE) else cert
    option = "--key" if which == key else "--cert"
    make = lambda: unlock.credential_pem(content, key_content, password)  # noqa: E731  one line says it
    pem = ring.file_with(opened(option, which, key_content if which == key else content, make))
    return KeyFiles(pem, pem, curl=_curl_options(cert, content, key, key_content))


def client_ca(certificate: Path | None, key: Path | None, ring: KeyRing | None) -> ClientCa:
    """The CA of ``--client-ca-cert`` and ``--client-ca-key``.

    Raises:
        SpecError: as :func:`authorised_client`; or it is no CA.
    """
    if certificate is None:
        if key is not None:
            raise SpecError("--client-ca-key needs the CA's certificate, too.", hint="Add --client-ca-cert FILE")
        return ClientCa()
    content = read("--client-ca-cert", certificate)
    password = ring.password(certificate) if ring is not None and format_of(content) is PKCS12 else None
    pem = opened("--client-ca-cert", certificate, content, lambda: unlock.certificates_pem(content, password))
    key_pem = _ca_key(key, ring) if key is not None else None
    try:
        anchors = pki.load_anchors(pem)
        credential = pki.load_authority(anchors, pki.load_key(key_pem)) if key_pem is not None else None
        first = credential.certificate if credential else anchors[0]
    except ValueError as error:
        files = f"{certificate} and {key}" if key else str(certificate)
        raise SpecError(f"{files} cannot be used as the client CA.", why=str(error)) from error
    if not pki.is_ca(first):
        why = "its basicConstraints do not say CA:TRUE"
        raise SpecError(f"{certificate} is no certificate of a CA.", why=why, hint="A client's belongs to --cert")
    return ClientCa(first, credential)


def _ca_key(key: Path, ring: KeyRing | None) -> bytes:
    content = read("--client-ca-key", key)
    password = ring.password(key) if ring is not None and _locked(content) else None
    return opened("--client-ca-key", key, content, lambda: unlock.key_pem_of(content, password))


def _locked(content: bytes) -> bool:
    return unlock.needs_password(content)


def _curl_options(cert: Path, content: bytes, key: Path | None, key_content: bytes) -> tuple[str, ...] | None:
    """What curl takes for the same files; nothing if it takes no such format."""
    types = {CERTIFICATE: (), DER_CERTIFICATE: ("--cert-type", "DER"), PKCS12: ("--cert-type", "P12")}
    kind, key_kind = format_of(content), format_of(key_content)
    takes_key = key is None or (key_kind is DER_KEY or b"PRIVATE KEY-----" in key_content)
    if kind not in types or not takes_key:
        return ()
    words = [*types[kind], "--cert", certificate_word(path_word(cert))]
    if key is not None:
        words += [*(("--key-type", "DER") if key_kind is DER_KEY else ()), "--key", path_word(key)]
    elif kind is not PKCS12:
        words += ["--key", path_word(cert)]
    if _locked(key_content) and not is_protected(key_content):  # curl asks for the password of PEM alone
        words += ["--pass", "PASSWORD"]
    return tuple(words)

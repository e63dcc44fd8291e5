"""The one builder of client contexts: trust, credential, versions, cipher suites. With it, sessions and key logs."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mtlslab.probe.model import Attempt
from mtlslab.probe.secret_files import secret_files
from mtlslab.probe.tape import record_messages

VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
OLD_VERSIONS = ("1.0", "1.1")  # RFC 8996; OpenSSL 3 speaks them at security level 0 only
# A context offers one thing at a time; a connection keeps what was offered when it began.
_OFFERING = threading.Lock()
# OpenSSL 1.1.1 cannot take protocols back that a context has offered once.
_FORGETS_PROTOCOLS = ssl.OPENSSL_VERSION_INFO >= (3,)


@dataclasses.dataclass(frozen=True)
class ContextKey:
    """What a client context is made from, and what a connection offers from it.

    Keys that differ in ``version`` or ``alpn`` alone share one context: see :func:`begin`.

    Attributes:
        trust: PEM file with the trust anchors; None trusts nobody.
        insecure: accept any server certificate.
        check_hostname: compare the server certificate with the host name (RFC 6125).
        certificate: PEM file with the client's chain; None for a client without a certificate.
        key: PEM file with the client's private key.
        version: the only TLS version that is offered, a key of ``VERSIONS``; None offers what OpenSSL offers.
        weak: load also what is too weak for OpenSSL's usual security level (small keys, SHA-1).
        system_trust: trust the CAs that the system trusts, too.
        strict_names: compare the host name with the subjectAltName alone.
        ciphers: cipher suites up to TLS 1.2, in OpenSSL's list format; empty offers what OpenSSL offers.
        alpn: application protocols to offer.
        post_handshake: offer post-handshake authentication.
    """

    trust: Path | None
    insecure: bool
    check_hostname: bool
    certificate: Path | None
    key: Path | None
    version: str | None
    weak: bool = False
    system_trust: bool = False
    strict_names: bool = False
    ciphers: str = ""
    alpn: tuple[str, ...] = ()
    post_handshake: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Session:
    """A session to resume; it belongs to the context that it came from.

    Attributes:
        value: the library's session.
        context: the context.
        key: what the context was made from.
        shared: whether other connections use the context, too.
    """

    value: ssl.SSLSession = dataclasses.field(repr=False)
    context: ssl.SSLContext = dataclasses.field(repr=False)
    key: ContextKey
    shared: bool


def key_for(what: Attempt) -> ContextKey:
    """What the context of an attempt is made from."""
    credential = what.credential
    return ContextKey(
        trust=None if what.insecure else what.cacert,
        insecure=what.insecure,
        # ssl compares with the name in SNI; another name is compared by the probe itself.
        check_hostname=what.check_hostname and what.server_name == what.host,
        certificate=credential.certificate if credential else None,
        key=credential.key if credential else None,
        version=what.tls_version,
        weak=what.weak,
        system_trust=what.system_trust,
        strict_names=what.strict_names,
        ciphers=what.ciphers,
        alpn=what.protocols,
        post_handshake=what.post_handshake,
    )


def client_context(key: ContextKey) -> ssl.SSLContext:
    """The context for ``key``, cached as long as the files have not changed: making one is a third of a probe's time.

    Raises:
        OSError: a file cannot be read, or (as ssl.SSLError) OpenSSL does not take what it holds.
        ValueError: an application protocol has no bytes, or more than 255.
    """
    files = [file for file in (key.trust, key.certificate, key.key) if file is not None]
    return _cached_context(_without_offer(key), tuple(version_of(file) for file in files))


def new_context(key: ContextKey) -> ssl.SSLContext:
    """A context for ``key`` that nobody else uses.

    Raises:
        OSError, ValueError: as :func:`client_context`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = key.check_hostname and not key.insecure
    context.verify_mode = ssl.CERT_NONE if key.insecure else ssl.CERT_REQUIRED
    context.hostname_checks_common_name = not key.strict_names
    # As curl does, and from Python 3.13 on the standard library: a CA that is trusted need not be a root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # Before the certificate: it is judged when it is loaded.
    if _is_weak(key):
        context.set_ciphers(f"{key.ciphers or 'DEFAULT'}:@SECLEVEL=0")
    elif key.ciphers:
        context.set_ciphers(key.ciphers)
    _trust(context, key)
    if key.certificate:
        # An empty passphrase: OpenSSL would otherwise ask for one on the terminal.
        context.load_cert_chain(key.certificate, key.key, password="")
    record_messages(context)
    return context


def begin(
    context: ssl.SSLContext, key: ContextKey, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_name: str
) -> ssl.SSLObject:
    """A connection of a context that offers the version and the protocols of ``key``; ``server_name`` goes into SNI.

    Raises:
        ValueError: the name cannot be one, or a protocol has no bytes or more than 255.
    """
    with _OFFERING:
        _offer(context, key)
        return context.wrap_bio(incoming, outgoing, server_hostname=server_name or None)


@contextlib.contextmanager
def key_log(context: ssl.SSLContext) -> Iterator[BinaryIO]:
    """The context's key log as a file to read from; it exists for the length of the block; see :mod:`.secret_files`."""
    with secret_files() as keep:
        path = keep(b"")
        context.keylog_filename = str(path)
        try:
            with open(path, "rb") as file:
                yield file
        finally:
            context.keylog_filename = None  # type: ignore[assignment] # None ends it, which the stubs do not know


@functools.lru_cache(maxsize=256)
def _cached_context(key: ContextKey, _files: tuple[tuple[int, int, int], ...]) -> ssl.SSLContext:
    return new_context(key)


def version_of(file: Path) -> tuple[int, int, int]:
    """Tells one content of a file from another, as far as that can be told without reading it."""
    status = file.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _without_offer(key: ContextKey) -> ContextKey:
    return dataclasses.replace(key, version=None, alpn=() if _FORGETS_PROTOCOLS else key.alpn, weak=_is_weak(key))


def _is_weak(key: ContextKey) -> bool:
    return key.weak or key.version in OLD_VERSIONS


@functools.cache
def _newest() -> ssl.TLSVersion:
    """The newest version that a context offers unless it is told otherwise: this machine's policy may have its own."""
    return new_context(ContextKey(None, True, False, None, None, version=None)).maximum_version


def _offer(context: ssl.SSLContext, key: ContextKey) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 and 1.1 are offered to see them refused
        # Python as some distributions build it offers 1.0 and 1.1 as well.
        context.minimum_version = VERSIONS[key.version or "1.2"]
        context.maximum_version = VERSIONS[key.version] if key.version else _newest()
    if key.alpn or _FORGETS_PROTOCOLS:
        context.set_alpn_protocols(key.alpn)
    if key.post_handshake:
        context.post_handshake_auth = True


def _trust(context: ssl.SSLContext, key: ContextKey) -> None:
    if key.insecure:
        return
    if key.trust:
        context.load_verify_locations(key.trust)
    if key.system_trust:
        context.load_default_certs()

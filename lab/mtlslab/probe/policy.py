"""What this machine's OpenSSL lets a client offer: OPENSSL_CONF and its like may take away what a server needs.

A server that refuses such a client is not to blame. So the client's own words are looked at: its ClientHello.
"""

from __future__ import annotations

import functools
import os
import socket
import ssl

from mtlslab.errors import MachineError
from mtlslab.pki.keys import require_digests
from mtlslab.probe.connection import Connection, Deadline, Wire
from mtlslab.probe.context import ContextKey, new_context
from mtlslab.probe.reader import Reader, read_extensions
from mtlslab.probe.records import HANDSHAKE

_RECORD_HEADER, _MESSAGE_HEADER = 5, 4
_USUAL = ContextKey(None, True, False, None, None, version=None)
_SECONDS = 5.0  # nobody is waited for
_GROUPS, _SIGNATURES, _VERSIONS = 10, 13, 43  # RFC 8446 section 4.2
# What an OpenSSL without a policy offers, and a usual server asks for: any of a line will do.
_USUAL_GROUPS = {"X25519 or P-256": (0x001D, 0x0017)}
_USUAL_SIGNATURES = {"signatures by RSA keys (SHA-256)": (0x0804, 0x0401), "signatures by EC keys (P-256)": (0x0403,)}
_USUAL_SUITES = {
    "ECDHE-RSA with AES-GCM": (0xC02F, 0xC030),
    "ECDHE-ECDSA with AES-GCM": (0xC02B, 0xC02C),
    "the TLS 1.3 suites with AES-GCM": (0x1301, 0x1302),
}
_USUAL_VERSIONS = {"TLS 1.2": (0x0303,), "TLS 1.3": (0x0304,)}


@functools.cache
def not_offered() -> tuple[str, ...]:
    """What a client on this machine does not offer by itself, although a usual server may need it.

    Empty without a policy. A client that cannot even begin offers nothing: then the words are OpenSSL's.
    """
    try:
        hello = _client_hello()
    except OSError as error:
        return (f"anything ({(getattr(error, 'reason', None) or str(error)).replace('_', ' ').lower()})",)
    body = Reader(hello[_RECORD_HEADER + _MESSAGE_HEADER :])
    body.take(2 + 32)  # version, random
    body.vector(1)  # session id
    suites = _numbers(body.vector(2))
    body.vector(1)  # compression
    extensions = read_extensions(body)
    versions = _numbers(Reader(extensions[_VERSIONS]).vector(1)) if _VERSIONS in extensions else {0x0303}
    groups, signatures = _listed(extensions, _GROUPS), _listed(extensions, _SIGNATURES)
    asked = ((_USUAL_VERSIONS, versions), (_USUAL_SUITES, suites), (_USUAL_GROUPS, groups))
    lacking = [name for usual, offered in asked for name, codes in usual.items() if not offered.intersection(codes)]
    # A client wants to see each of them: a server has one kind of key.
    return (*lacking, *(name for name, codes in _USUAL_SIGNATURES.items() if not signatures.issuperset(codes)))


def described() -> str:
    """The same as a clause, with where it comes from; empty where nothing is lacking."""
    lacking = not_offered()
    if not lacking:
        return ""
    source = f"OPENSSL_CONF={os.environ['OPENSSL_CONF']}" if os.environ.get("OPENSSL_CONF") else "openssl.cnf"
    return f"this machine's OpenSSL policy ({source}) keeps its clients from offering {', '.join(lacking)}"


def require_client() -> None:
    """Check that a TLS client can be made here at all: with a damaged configuration, OpenSSL has no cipher.

    Raises:
        MachineError: it cannot; no file and no server is to blame.
    """
    try:
        new_context(_USUAL)
    except OSError as error:
        require_digests()
        reason = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
        raise MachineError(
            "This machine's OpenSSL cannot make a TLS client.",
            why=f"{reason}; no certificate, key or server is to blame",
            hint="Look at OPENSSL_CONF, and at: openssl list -providers",
        ) from error


def _client_hello() -> bytes:
    """What a client with the usual settings says first, to a server of our own that has hung up already.

    Raises:
        OSError: it says nothing.
    """
    context = new_context(_USUAL)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.shutdown(socket.SHUT_WR)
        wire = Wire(ours, Deadline(_SECONDS), keep=True)
        try:
            Connection(wire, context, _USUAL, "localhost").handshake()
        except OSError:
            said = b"".join(data for _, data in wire.chunks)
            if said[:1] == bytes([HANDSHAKE]):
                return said
            raise  # nothing, or an alert
    raise ssl.SSLError("a handshake with nobody")


def _listed(extensions: dict[int, bytes], kind: int) -> set[int]:
    return _numbers(Reader(extensions[kind]).vector(2)) if kind in extensions else set()


def _numbers(data: bytes) -> set[int]:
    return {int.from_bytes(data[place : place + 2]) for place in range(0, len(data), 2)}

"""Lets a client and a server with given certificates talk in memory, and tells what OpenSSL makes of them.

nginx asks the same library. Nothing is sent, nothing listens.
"""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Iterator

from mtlslab.probe.context import ContextKey, begin, new_context
from mtlslab.probe.secret_files import Keep, secret_files

_MOST_TURNS = 20


@dataclasses.dataclass(frozen=True)
class Cast:
    """Who meets whom. All is PEM.

    Attributes:
        server: the server's certificate with its chain.
        server_key: its private key.
        server_ca: the trust anchors of the client.
        client: the client's certificate with its chain.
        client_key: its private key.
        client_ca: the trust anchors of the server.
        name: the host name that the client asks for.
    """

    server: bytes
    server_key: bytes = dataclasses.field(repr=False)
    server_ca: bytes
    client: bytes
    client_key: bytes = dataclasses.field(repr=False)
    client_ca: bytes
    name: str


def refusals(cast: Cast) -> Iterator[str]:
    """A sentence without an end for each of the two that refuses the other, in OpenSSL's words."""
    for who, server_judges in (("a client refuses the server's", False), ("a server refuses the client's", True)):
        try:
            with secret_files() as keep:
                said = _meet(cast, keep, server_judges=server_judges)
        except (ssl.SSLError, ValueError) as error:
            said = _words(error)
        if said:
            yield f"{who} certificate: {said}"


def _meet(cast: Cast, keep: Keep, *, server_judges: bool) -> str:
    """One of them judges the other, who takes whatever comes; empty if they come to an end."""
    key = ContextKey(
        keep(cast.server_ca), server_judges, not server_judges, keep(cast.client), keep(cast.client_key), None
    )
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = begin(new_context(key), key, back, there, cast.name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keep(cast.server), keep(cast.server_key), password="")
    if server_judges:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(keep(cast.client_ca))
    server = context.wrap_bio(there, back, server_side=True)
    for _ in range(_MOST_TURNS):
        if _step(client) + _step(server) == 2:
            return ""
    return "the handshake came to no end"


def _step(side: ssl.SSLObject) -> bool:
    """Whether its handshake is done."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else str(error)

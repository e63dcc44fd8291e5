"""Knocks with certificates of the tests' own and looks for the marker; shares no code with what it checks."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import warnings
from collections.abc import Iterable

from tests.servers.launch import LOOPBACK
from tests.servers.model import Cell, Place, Truth

NOBODY = "without a certificate"
STRANGERS = ("self-signed", "other-ca")
COPIES = ("other-ca-same-name", "copied-self-signed", "copied-by-other-ca")
BROKEN = ("expired", "not-yet-valid", "server-purpose")
CLIENTS = ("authorised", NOBODY, "another", *STRANGERS, *COPIES, *BROKEN)
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
_SECONDS = 5.0
_CERTIFICATE_REQUEST = 13  # RFC 8446 section 4


@dataclasses.dataclass(frozen=True)
class Knock:
    """What one client met with one TLS version."""

    agreed: bool = False
    asked: bool = False
    served: bool = False


def knock(cell: Cell, place: Place, client: str, version: ssl.TLSVersion, address: str = LOOPBACK) -> Knock:
    """One connection: handshake, request, and whether the marker comes."""
    asked = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(place.certs / "server-ca.crt")
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.post_handshake_auth = True
    if cell.asked.alpn:
        context.set_alpn_protocols(list(cell.asked.alpn))
    if client != NOBODY:
        context.load_cert_chain(place.certs / "oracle" / f"{client}.pem")

    def note(_connection: object, _direction: str, _version: object, _type: object, message: int, _data: bytes) -> None:
        if message == _CERTIFICATE_REQUEST:
            asked.append(message)

    # The only way in which Python's ssl tells of a CertificateRequest; it has been there since 3.8.
    context._msg_callback = note  # type: ignore[attr-defined]
    agreed = served = False
    with (
        contextlib.suppress(OSError),
        socket.create_connection((address, place.port), _SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        agreed = True
        served = _answers(tls, cell)
    return Knock(agreed or bool(asked), bool(asked), served)


def _answers(tls: ssl.SSLSocket, cell: Cell) -> bool:
    if cell.asked.request:
        tls.sendall(cell.asked.request)
    answer = b""
    while cell.asked.marker not in answer:
        more = tls.recv(65536)
        if not more:
            return False
        answer += more
    return True


def judge(cell: Cell, place: Place) -> Truth:
    """What the server does, as the oracle's clients find it."""
    seen = {(client, version): knock(cell, place, client, version) for client in CLIENTS for version in VERSIONS}
    versions = [version for version in VERSIONS if any(seen[client, version].agreed for client in CLIENTS)]
    served = {client for client in CLIENTS if any(seen[client, version].served for version in versions)}
    asked = any(one.asked for one in seen.values())
    return _truth(served, asked=asked)


def _truth(served: Iterable[str], *, asked: bool) -> Truth:
    served = set(served)
    if "authorised" not in served:
        return Truth.OPEN
    if NOBODY in served:
        return Truth.REQUESTED if asked else Truth.NONE
    if served & set(STRANGERS):
        return Truth.ANY
    if served & set(COPIES):
        return Truth.NAME
    return Truth.HOLES if served & set(BROKEN) else Truth.REQUIRED

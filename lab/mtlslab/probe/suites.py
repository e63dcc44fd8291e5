"""What OpenSSL makes of a list of cipher suites, without a connection."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Suite:
    """One cipher suite for TLS 1.2 and before.

    Attributes:
        name: OpenSSL's name.
        forward_secrecy: whether the key exchange is ephemeral.
        authenticated: whether the server shows a certificate.
        bits: strength of the encryption; 0 when there is none.
        aead: whether encryption and integrity are one.
    """

    name: str
    forward_secrecy: bool
    authenticated: bool
    bits: int
    aead: bool


def suites(text: str) -> tuple[Suite, ...] | None:
    """The suites that a list in OpenSSL's words (openssl-ciphers(1)) allows before TLS 1.3, as far as ours knows them.

    None when OpenSSL cannot read the list, or knows none of it.
    """
    import ssl

    from mtlslab.probe.context import ContextKey, new_context

    key = ContextKey(None, True, False, None, None, version=None, weak=True, ciphers=text)
    try:
        context = new_context(key)
    except (ssl.SSLError, ValueError):  # ValueError: a NUL
        return None
    found = [dict(one) for one in context.get_ciphers() if dict(one)["protocol"] != "TLSv1.3"]
    return tuple(_suite(one) for one in found)


def _suite(found: dict[str, Any]) -> Suite:
    return Suite(
        name=found["name"],
        forward_secrecy=found["kea"] in ("kx-ecdhe", "kx-dhe", "kx-ecdhe-psk", "kx-dhe-psk"),
        authenticated=found["auth"] != "auth-null",
        bits=found["strength_bits"],
        aead=found["aead"],
    )

"""The values that options accept. Imports nothing heavy, because `--help` needs them."""

from __future__ import annotations

from collections.abc import Iterable

PULL = ("missing", "always", "never")
TLS_SERVICE = "nginx-tls"
MTLS_SERVICE = "nginx-mtls"
SERVICES = (TLS_SERVICE, MTLS_SERVICE)


def one_of(choices: Iterable[str]) -> str:
    """Choices as a phrase, such as "none, optional or required"."""
    *first, last = choices
    return f"{', '.join(first)} or {last}" if first else last

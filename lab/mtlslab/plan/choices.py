"""The values that options take, each written once. Imports nothing: `--help` needs them all."""

from __future__ import annotations

PULL = ("missing", "always", "never")
TLS_SERVICE = "nginx-tls"
MTLS_SERVICE = "nginx-mtls"
SERVICES = (TLS_SERVICE, MTLS_SERVICE)


def one_of(choices: tuple[str, ...]) -> str:
    """Choices in words: "none, optional or required"."""
    *first, last = choices
    return f"{', '.join(first)} or {last}" if first else last

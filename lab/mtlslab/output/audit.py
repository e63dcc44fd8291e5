"""What only an audit has to show: what the server told of itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from mtlslab.audit import CLIENT_AUTH_WORDS, ClientAuth, ServerFacts
from mtlslab.output.lines import one_line, wrapped

_LABEL_WIDTH = 24
_NAMES_SHOWN = 5


def server_facts(server: ServerFacts, width: int = 0) -> Iterator[str]:
    """The lines below the URL; ``width`` is that of the terminal, 0 where there is none."""
    offers = groupby(sorted(server.tls_versions.items(), key=lambda item: item[1].value), key=lambda item: item[1])
    versions = "; ".join(f"{offer.value}: {', '.join(version for version, _ in group)}" for offer, group in offers)
    asked = {True: "yes", False: "no", None: "could not be told"}[server.certificate_requested]
    names = "; ".join(server.ca_names[:_NAMES_SHOWN]) + (
        f" and {len(server.ca_names) - _NAMES_SHOWN} more" if len(server.ca_names) > _NAMES_SHOWN else ""
    )
    yield from _fact("TLS versions", versions, width)
    yield from _fact("asks for a certificate", asked, width)
    if server.certificate_requested:
        yield from _fact("announced CA names", one_line(names) or "none", width)
    if server.client_auth is not ClientAuth.UNKNOWN:
        words = f"{server.client_auth}: {CLIENT_AUTH_WORDS[server.client_auth]}"
        yield from _fact("client authentication", words, width)


def _fact(label: str, text: str, width: int) -> list[str]:
    return wrapped(f"  {label:<{_LABEL_WIDTH}}", text, width)

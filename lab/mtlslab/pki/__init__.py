"""Certificates in memory: two CAs, a server leaf, a client leaf. Pure: time and key type come in, nothing is written.

The defaults are those of the tutorial's openssl commands, with what today's clients ask for added: an extended key
usage, IP addresses in the SAN, key identifiers everywhere (Python >= 3.13 refuses certificates without an AKI).
"""

from __future__ import annotations

import dataclasses
import datetime

from cryptography import x509

from mtlslab.pki.credential import (
    Credential,
    is_ca,
    issued_by,
    load_anchors,
    load_authority,
    load_certificates,
    load_credential,
    organization_of,
)
from mtlslab.pki.issue import (
    BACKDATED,
    Extensions,
    alternative_names,
    authority_key_identifier,
    ca_extensions,
    client_extensions,
    distinguished_name,
    issue,
    issue_ca,
    issue_client_leaf,
    issue_server_leaf,
    key_usage,
    server_extensions,
    validity,
)
from mtlslab.pki.keys import (
    KeyPool,
    PrivateKey,
    PublicKey,
    key_pem,
    key_stream,
    key_type_of,
    load_key,
    new_key,
    signature_hash,
)
from mtlslab.pki.names import Name
from mtlslab.plan.spec import LabSpec

__all__ = [
    "BACKDATED",
    "CLIENT_CA_PATH_LENGTH",
    "SERVER_CA_PATH_LENGTH",
    "Credential",
    "Extensions",
    "KeyPool",
    "Name",
    "Pki",
    "PrivateKey",
    "PublicKey",
    "alternative_names",
    "authority_key_identifier",
    "ca_extensions",
    "client_extensions",
    "distinguished_name",
    "is_ca",
    "issue",
    "issue_ca",
    "issue_client_leaf",
    "issue_lab_ca",
    "issue_pki",
    "issue_server_leaf",
    "issued_by",
    "key_pem",
    "key_stream",
    "key_type_of",
    "key_usage",
    "lab_ca_name",
    "load_anchors",
    "load_authority",
    "load_certificates",
    "load_credential",
    "load_key",
    "new_key",
    "organization_of",
    "server_extensions",
    "signature_hash",
    "validity",
]

# Room for one CA below the client CA, as much as nginx's default `ssl_verify_depth 1` follows: an intermediate that the
# client sends along is accepted, a second one is one too many. The server CA issues leaves only.
CLIENT_CA_PATH_LENGTH = 1
SERVER_CA_PATH_LENGTH = 0


@dataclasses.dataclass(frozen=True)
class Pki:
    """The four credentials of a lab; the CAs are separate on purpose."""

    server_ca: Credential
    client_ca: Credential
    server: Credential
    client: Credential


def lab_ca_name(role: str, lab: str) -> x509.Name:
    """Subject of a lab's CA: its name tells the CAs of two labs in one trust store apart."""
    return distinguished_name(f"{lab} {role} CA", lab)


def issue_lab_ca(role: str, spec: LabSpec, key: PrivateKey, *, now: datetime.datetime) -> Credential:
    """The CA of a lab; ``role`` is "server" or "client"."""
    path_length = CLIENT_CA_PATH_LENGTH if role == "client" else SERVER_CA_PATH_LENGTH
    not_before, not_after = validity(now, spec.ca_days)
    return issue(
        lab_ca_name(role, spec.name),
        key,
        ca_extensions(path_length),
        issuer=None,
        not_before=not_before,
        not_after=not_after,
    )


def issue_pki(spec: LabSpec, *, now: datetime.datetime) -> Pki:
    """Two CAs, a server leaf and a client leaf for a lab.

    Args:
        spec: name, hosts, key type and validity.
        now: the time (aware UTC).
    """
    keys = KeyPool(spec.key_type).take(4)
    server_ca = issue_lab_ca("server", spec, keys[0], now=now)
    client_ca = issue_lab_ca("client", spec, keys[1], now=now)
    return Pki(
        server_ca=server_ca,
        client_ca=client_ca,
        server=issue_server_leaf(server_ca, keys[2], spec.server_names, now=now, days=spec.days),
        client=issue_client_leaf(client_ca, keys[3], "client", now=now, days=spec.days),
    )

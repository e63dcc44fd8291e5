"""The faults: client credentials that are broken, or odd but valid, on purpose. In memory only.

FAULTS                   name -> Fault, in the order in which they are told
build(name, ...)         the files of one of them
"""

from __future__ import annotations

import datetime
from types import MappingProxyType

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from mtlslab import pki
from mtlslab.errors import MachineError
from mtlslab.pki.faults import chains, identity, keys, trust, usage, validity
from mtlslab.pki.faults.model import LIFETIME, Fault, FaultFiles, Parts, in_order
from mtlslab.pki.faults.outcome import Outcome, Severity

__all__ = ["FAULTS", "Fault", "FaultFiles", "Outcome", "Severity", "build"]


CHAPTERS = (trust, validity, usage, chains, keys, identity)
FAULTS = MappingProxyType({fault.name: fault for chapter in CHAPTERS for fault in in_order(chapter)})
"""The faults, by name, in the order in which it is told."""


def build(
    name: str,
    *,
    client_ca: pki.Credential,
    server: pki.Credential,
    now: datetime.datetime,
    lifetime: datetime.timedelta = LIFETIME,
    client: x509.Certificate | None = None,
    leaf_key: pki.PrivateKey | None = None,
) -> FaultFiles:
    """Issue one fault.

    Args:
        name: its id, a key of ``FAULTS``.
        client_ca: the client CA with its key; one that nobody trusts will do where ``needs_client_ca`` is false.
        server: the server's own credential.
        now: the time (aware UTC).
        lifetime: how long its certificates live at most.
        client: the certificate of the server's authorised client, which one fault imitates; without it, any client's.
        leaf_key: the key of its leaf, unless that is the fault; None makes a new one.

    Raises:
        KeyError: there is no such fault.
        MachineError: this machine's OpenSSL has no such curve or digest, by the policy of whoever built it.
    """
    try:
        made = FAULTS[name].build(Parts(client_ca, server, now, name, lifetime, client, leaf_key))
    except UnsupportedAlgorithm as error:
        raise MachineError(f"The fault {name!r} cannot be made on this machine", why=str(error)) from error
    if isinstance(made, FaultFiles):
        return made
    return FaultFiles(made.certificate_pem(), made.key_pem())

"""The zoo: client credentials that are broken, or odd but valid, on purpose. In memory only.

FAULTS                   name -> Fault, in the order in which they are told
build(name, ...)         the files of one of them
"""

from __future__ import annotations

import datetime
from types import MappingProxyType

from mtlslab import pki
from mtlslab.pki.faults import chains, identity, keys, trust, usage, validity
from mtlslab.pki.faults.model import LIFETIME, Fault, FaultFiles, Parts, in_order
from mtlslab.pki.faults.outcome import Outcome, Severity

__all__ = ["FAULTS", "Fault", "FaultFiles", "Outcome", "Severity", "build"]


CHAPTERS = (trust, validity, usage, chains, keys, identity)
FAULTS = MappingProxyType({fault.name: fault for chapter in CHAPTERS for fault in in_order(chapter)})
"""The zoo, by name, in the order in which it is told."""


def build(
    name: str,
    *,
    client_ca: pki.Credential,
    server: pki.Credential,
    now: datetime.datetime,
    lifetime: datetime.timedelta = LIFETIME,
) -> FaultFiles:
    """Issue one credential of the zoo.

    Args:
        name: its id, a key of ``FAULTS``.
        client_ca: the client CA with its key; one that nobody trusts will do where ``needs_client_ca`` is false.
        server: the server's own credential.
        now: the time (aware UTC).
        lifetime: how long its certificates live at most.

    Raises:
        KeyError: there is no such fault.
    """
    made = FAULTS[name].build(Parts(client_ca, server, now, name, lifetime))
    if isinstance(made, FaultFiles):
        return made
    return FaultFiles(made.certificate_pem(), made.key_pem())

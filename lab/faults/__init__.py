"""The zoo: client credentials that are broken, or odd but valid, on purpose. In memory only.

FAULTS                   name -> Fault, in the order in which they are told
build(name, ...)         the files of one of them
"""

from __future__ import annotations

import datetime

from lab import pki

# Importing a chapter enters its faults into the zoo, in this order.
from lab.faults import trust, validity, usage, chains, keys, identity  # noqa: I001, F401 - told in this order
from lab.faults.model import FAULTS, Fault, FaultFiles, Outcome, Parts, Severity

__all__ = ["FAULTS", "Fault", "FaultFiles", "Outcome", "Severity", "build"]


def build(name: str, *, client_ca: pki.Credential, server: pki.Credential, now: datetime.datetime) -> FaultFiles:
    """Issue one credential of the zoo.

    Args:
        name: its id, a key of ``FAULTS``.
        client_ca: the client CA with its key; one that nobody trusts will do where ``needs_client_ca`` is false.
        server: the server's own credential.
        now: the time (aware UTC).

    Raises:
        KeyError: there is no such fault.
    """
    made = FAULTS[name].build(Parts(client_ca=client_ca, server=server, now=now, name=name))
    if isinstance(made, FaultFiles):
        return made
    return FaultFiles(made.certificate_pem(), made.key_pem())

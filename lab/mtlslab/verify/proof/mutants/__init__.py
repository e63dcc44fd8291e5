"""What can go wrong with mutual TLS, and what can be changed without harm. To add a mutant, add a function."""

from mtlslab.verify.proof.mutants import (
    answers,
    certificates,
    containers,
    controls,
    crypto,
    doors,
    files,
    handshake,
    identity,
    knocks,
    revocation,
    trust,
)
from mtlslab.verify.proof.mutants.model import (
    CIPHERS,
    CLIENT_CA_FILE,
    CONTROLS,
    LOCATION,
    MUTANTS,
    PROTOCOLS,
    VERIFY_CLIENT,
    Mutant,
)

__all__ = [
    "CIPHERS",
    "CLIENT_CA_FILE",
    "CONTROLS",
    "LOCATION",
    "MUTANTS",
    "PROTOCOLS",
    "VERIFY_CLIENT",
    "Mutant",
    "answers",
    "certificates",
    "containers",
    "controls",
    "crypto",
    "doors",
    "files",
    "handshake",
    "identity",
    "knocks",
    "revocation",
    "trust",
]

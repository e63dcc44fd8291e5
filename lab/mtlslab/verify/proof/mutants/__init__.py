"""What can go wrong with mutual TLS, and what can be changed without harm. To add a mutant, add a function."""

from mtlslab.verify.proof.mutants import answers, containers, controls, crypto, doors, files, handshake, trust
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
    "containers",
    "controls",
    "crypto",
    "doors",
    "files",
    "handshake",
    "trust",
]

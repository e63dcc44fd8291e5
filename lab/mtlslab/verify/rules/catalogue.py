"""The catalogue of rules. To add one, add an entry to one of the modules by topic."""

from __future__ import annotations

from mtlslab.verify.rules import containers, crypto, edits, files, listeners, requests, trust
from mtlslab.verify.rules.model import Rule

_MODULES = (trust, listeners, requests, crypto, files, containers, edits)

CATALOGUE: dict[str, Rule] = {rule.id: rule for module in _MODULES for rule in module.RULES}
"""All rules by id, in the order in which they are told."""

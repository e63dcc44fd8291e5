"""The catalogue of rules. To add one, add an entry to one of the modules by topic."""

from __future__ import annotations

from mtlslab.verify.rules import crypto, edits, files, listeners, requests, trust
from mtlslab.verify.rules.model import Rule

CATALOGUE: dict[str, Rule] = {
    rule.id: rule
    for rule in (*trust.RULES, *listeners.RULES, *requests.RULES, *crypto.RULES, *files.RULES, *edits.RULES)
}
"""All rules by id, in the order in which they are told."""

"""The catalogue. To add a check, add an entry to one of the ``entries_*`` modules.

An entry holds its id, the fact, the attempt, what must be seen, why, and a hint; here it becomes one check per TLS
version.
"""

from __future__ import annotations

import functools

from mtlslab.verify.checks import (
    entries_crl,
    entries_doors,
    entries_faults,
    entries_files,
    entries_identity,
    entries_knocks,
    entries_procedures,
    entries_rules,
    entries_tutorial,
)
from mtlslab.verify.checks.model import Check, Entry


@functools.cache
def catalogue(*, crl: bool = False) -> tuple[Check, ...]:
    """All checks, positive controls before the checks that depend on them.

    Args:
        crl: whether the mTLS service is set up to check a revocation list.
    """
    return tuple(check for entry in entries(crl=crl) for check in entry.per_version())


@functools.cache
def entries(*, crl: bool = False) -> tuple[Entry, ...]:
    """All entries, by category; an id occurs twice where TLS versions differ in more than their number.

    Args:
        crl: as for ``catalogue``.
    """
    found = (
        *entries_tutorial.ENTRIES,
        *entries_faults.entries(crl=crl),
        *(entries_crl.ENTRIES if crl else ()),
        *entries_crl.ALWAYS,
        *entries_identity.ENTRIES,
        *entries_doors.ENTRIES,
        *entries_knocks.entries(crl=crl),
        *entries_procedures.ENTRIES,
        *entries_files.ENTRIES,
        *entries_rules.entries(),
    )
    order = list(dict.fromkeys(entry.category for entry in found))
    return tuple(sorted(found, key=lambda entry: order.index(entry.category)))


def families(*, crl: bool = False) -> dict[str, Entry]:
    """Id -> the first entry of that id, of all that there are with or without a revocation list.

    Args:
        crl: what is asked of the lab that is at hand; where the two differ, its entry is taken.
    """
    found: dict[str, Entry] = {}
    for entry in (*entries(crl=crl), *entries(crl=not crl)):
        found.setdefault(entry.id, entry)
    return found

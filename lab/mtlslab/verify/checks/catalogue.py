"""The catalogue. To add a check, add an entry to one of the ``entries_*`` modules.

An entry holds its id, the fact, the attempt, what must be seen, why, and a hint; here it becomes one check per TLS
version.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

from mtlslab.verify.checks import entries_crl, entries_doors, entries_rules, entries_tutorial
from mtlslab.verify.checks import entries_faults as entries_zoo
from mtlslab.verify.checks import entries_procedures as entries_trials
from mtlslab.verify.checks.model import Check


@functools.cache
def catalogue(*, crl: bool = False) -> tuple[Check, ...]:
    """All checks, positive controls before the checks that depend on them.

    Args:
        crl: whether the mTLS service is set up to check a revocation list.
    """
    entries = (
        *entries_tutorial.ENTRIES,
        *entries_zoo.entries(crl=crl),
        *(entries_crl.ENTRIES if crl else ()),
        *entries_doors.ENTRIES,
        *entries_trials.ENTRIES,
        *entries_rules.entries(),
    )
    order = list(dict.fromkeys(entry.category for entry in entries))
    grouped = sorted(entries, key=lambda entry: order.index(entry.category))
    return tuple(check for entry in grouped for check in _per_version(entry))


def families(*, crl: bool = False) -> dict[str, Check]:
    """One check for every id without its version that there is with or without a revocation list.

    Args:
        crl: what is asked of the lab that is at hand; where the two differ, its check is taken.
    """
    found: dict[str, Check] = {}
    for check in (*catalogue(crl=crl), *catalogue(crl=not crl)):
        found.setdefault(check.family, check)
    return found


def _per_version(entry: Check) -> Iterator[Check]:
    if not entry.versions:
        yield entry
    for version in entry.versions:
        suffix = f".tls{version.replace('.', '')}"
        depends = f"{entry.depends}{suffix}" if entry.depends else None
        yield dataclasses.replace(entry, id=f"{entry.id}{suffix}", tls_version=version, depends=depends)

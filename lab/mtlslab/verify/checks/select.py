"""Which checks are meant: ids, ids without the TLS version, beginnings of ids, and patterns."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Sequence

from mtlslab.errors import SpecError
from mtlslab.verify.checks.model import Check


def select(checks: Sequence[Check], patterns: Iterable[str]) -> tuple[Check, ...]:
    """The checks that any of ``patterns`` means, in the order of ``checks``; no pattern means all of them.

    Raises:
        SpecError: a pattern means no check, or there is none to choose from.
    """
    meant = {pattern: _meant(pattern, checks) for pattern in patterns}
    problems = tuple(_problem(checks, pattern) for pattern, ids in meant.items() if not ids)
    if problems:
        raise SpecError("There is no such check.", problems=problems, hint="mtlslab verify --list")
    ids = set().union(*meant.values())
    chosen = tuple(check for check in checks if not meant or check.id in ids)
    if not chosen:
        raise SpecError("There is no check to run.", hint="mtlslab verify --list")
    return chosen


def with_controls(checks: Sequence[Check], chosen: Iterable[Check]) -> tuple[Check, ...]:
    """``chosen`` and all the positive controls that it depends on, in the order of ``checks``."""
    by_id = {check.id: check for check in checks}
    needed: set[str] = set()
    for check in chosen:
        step: Check | None = check
        while step is not None and step.id not in needed:
            needed.add(step.id)
            step = by_id[step.depends] if step.depends else None
    return tuple(check for check in checks if check.id in needed)


def _meant(pattern: str, checks: Sequence[Check]) -> set[str]:
    # An id that is given in full means itself alone, although it may be the beginning of another.
    exactly = {check.id for check in checks if pattern in (check.id, check.family)}
    return exactly or {check.id for check in checks if _matches(pattern, check.id)}


def _matches(pattern: str, check_id: str) -> bool:
    if any(sign in pattern for sign in "*?["):
        return fnmatch.fnmatchcase(check_id, pattern)
    return bool(pattern) and check_id.startswith(pattern)


def _problem(checks: Sequence[Check], pattern: str) -> str:
    ids = dict.fromkeys([check.family for check in checks] + [check.id for check in checks])
    near = difflib.get_close_matches(pattern, ids, n=3)
    return f"{pattern!r}: did you mean {', '.join(near)}?" if near else f"{pattern!r}: no id begins like that"

"""The catalogue of checks, and the terms that `explain` knows, listed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from mtlslab.classroom.page import Page
from mtlslab.classroom.terms import Term
from mtlslab.plan.visible import json_document
from mtlslab.verify.checks import Check


def render_text_list(checks: Sequence[Check | Term]) -> str:
    """Ids and titles, by category."""
    width = max(len(check.id) for check in checks)
    lines: list[str] = []
    for category, members in groupby(checks, key=lambda check: check.category):
        lines += [*([""] if lines else []), category]
        lines += [f"  {check.id:<{width}}  {check.title}" for check in members]
    return "\n".join(lines) + "\n"


def render_page_list(title: str, pages: Sequence[Page]) -> str:
    """The ids and titles of pages that are about no check, under a heading."""
    width = max(len(page.id) for page in pages)
    return "\n".join([title, *(f"  {page.id:<{width}}  {page.title}" for page in pages)]) + "\n"


def render_json_list(checks: Sequence[Check | Term]) -> str:
    """All that stands about each check, for programs; of a term what it is called."""
    return json_document([_listed(one) if isinstance(one, Check) else _named(one) for one in checks]) + "\n"


def _named(term: Term) -> dict[str, object]:
    return {"id": term.id, "title": term.title, "category": term.category, "also": list(term.names[1:])}


def _listed(check: Check) -> dict[str, object]:
    return {
        "id": check.id,
        "title": check.title,
        "category": check.category,
        "service": check.service,
        "severity": check.severity.value,
        "tls_version": check.tls_version or "",
        "credential": check.credential or "",
        "trust": check.trust.value,
        "depends": check.depends or "",
        "expected": check.expect.to_mapping(),
        "why": check.why,
        "hint": check.hint,
        "rfc": check.rfc,
        "directive": check.directive,
        "sabotage": check.sabotage,
    }

"""Rules on whether what is judged is what runs, and is what was rendered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from mtlslab.errors import LabError
from mtlslab.lifecycle.files import plan_of
from mtlslab.pki.faults import Severity
from mtlslab.plan.paths import COMPOSE_FILE
from mtlslab.plan.render import render_compose
from mtlslab.plan.services import SERVICES, with_fingerprints
from mtlslab.verify.rules.facts import Facts
from mtlslab.verify.rules.model import Objection, Rule
from mtlslab.workspace.directory import LabRecord
from mtlslab.workspace.trust import compared, differences

_SHOWN = 3  # differing lines
_FINGERPRINT = "mtlslab.fingerprint:"  # follows from the other files


def _edits(facts: Facts) -> Iterator[Objection]:
    found: dict[str, list[str]] = {}
    record = facts.workspace.record()
    # Rendering takes its time: it is for files that are not what lab.json remembers.
    for difference in () if _all_remembered(facts, record) else differences(facts.workspace, facts.spec):
        path, _, line = difference.partition(": ")
        found.setdefault(path, []).append(line)
    compose = _compose_edits(facts, record)
    if compose:
        found[COMPOSE_FILE] = compose
    for path, lines in found.items():
        more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        shown = "; ".join(" ".join(line.split()) for line in lines[:_SHOWN])
        yield Objection(f"{path} differs from what was rendered in {len(lines)} lines: {shown}{more}", grave=False)


def _remembered(facts: Facts, record: LabRecord | None, path: str) -> bool:
    """Whether a file is as it was rendered last, by its hash in lab.json."""
    content = facts.read(path) or b""
    return record is not None and hashlib.sha256(content).hexdigest() in record.files.get(path, ())[:1]


def _all_remembered(facts: Facts, record: LabRecord | None) -> bool:
    paths = (f"{service}/{name}" for service in SERVICES for name in facts.workspace.names(service))
    return all(_remembered(facts, record, path) for path in paths)


def _unheard(facts: Facts) -> Iterator[Objection]:
    if facts.unheard:
        yield Objection(f"the rules have judged the files as they lie there: {facts.unheard.rstrip('.')}", grave=False)


def _compose_edits(facts: Facts, record: LabRecord | None) -> list[str]:
    """The differing lines of the Compose file; empty where there is none, or where it is as it was rendered."""
    if record is None or facts.read(COMPOSE_FILE) is None or _remembered(facts, record, COMPOSE_FILE):
        return []
    found = []
    for copied in (False, True):  # lab.json does not tell which of the two it was
        try:
            plan = plan_of(facts.workspace, facts.spec, record.image or facts.spec.image, copied=copied)
            expected = render_compose(with_fingerprints(plan))
        except (LabError, OSError):
            continue
        lines = compared(facts.workspace, COMPOSE_FILE, expected)
        found.append([line for line in lines if _FINGERPRINT not in line])
    return min(found, key=len, default=["it was edited"])


RULES = (
    Rule(
        id="config-is-told-by-nginx",
        title="nginx itself tells what it reads",
        why="nginx -T prints what is read where the service runs, with every include. The files on the disk are what "
        "it would read, which is another thing where they are copied, mounted elsewhere, or not there.",
        hint="Does it run? mtlslab status, and mtlslab up to start it.",
        directive="include",
        source="nginx, Command-line parameters, -T",
        sabotage="mtlslab down; the rules then judge the files.",
        objections=_unheard,
        severity=Severity.ADVISORY,
    ),
    Rule(
        id="config-is-as-rendered",
        title="the files of the lab are those that mtlslab rendered",
        why="An edit may be what you want: the lab is there for it. It is told, so that nobody takes the lab of "
        "somebody else's edit for the lab of the lecture.",
        hint="mtlslab up --overwrite renders them anew.",
        directive="include",
        source="mtlslab up --help",
        sabotage="Any edit of nginx-mtls/nginx.conf.",
        objections=_edits,
        severity=Severity.ADVISORY,
    ),
)

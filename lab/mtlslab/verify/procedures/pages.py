"""Served means: the lab's own page, byte for byte."""

from __future__ import annotations

import hashlib

from mtlslab.pki.faults import Outcome
from mtlslab.plan.paths import HELLO
from mtlslab.plan.services import SERVICES
from mtlslab.probe.model import DEFAULT_PATH
from mtlslab.verify.checks.judge import Verdict, outcome_of
from mtlslab.verify.checks.model import Check
from mtlslab.verify.context import VerifyContext
from mtlslab.verify.doors.protected import content_of
from mtlslab.verify.procedures.model import ProcedureResult, failed


def other_page(context: VerifyContext, check: Check, result: ProcedureResult) -> Verdict | None:
    """The verdict on a client that must be served, and was answered 200 with something else than the page.

    Returns None where that is not the case, or cannot be told: for a verdict of the procedure's own, and where the
    lab has no such page.
    """
    seen, attempt = result.seen, result.attempt
    if seen is None or result.verdict is not None or check.service not in SERVICES or attempt.path != DEFAULT_PATH:
        return None
    if outcome_of(seen) is not Outcome.SERVED or check.expect.outcome is not Outcome.SERVED:
        return None
    path = context.directory / check.service / HELLO
    page = content_of(path)
    if path.is_symlink():
        return failed(check, f"The server answered 200, but {check.service}/{HELLO} is a link to something else.")
    if not page or seen.body_sha256 == hashlib.sha256(page).hexdigest():
        return None
    return failed(check, f"The server answered 200, but with something else than {check.service}/{HELLO}.")

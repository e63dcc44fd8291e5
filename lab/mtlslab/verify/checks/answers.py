"""What an HTTP answer to an unauthorised client means. Both ``verify`` and ``audit`` judge by it, so they agree."""

from __future__ import annotations

import re
from enum import StrEnum

from mtlslab.probe.model import Observation
from mtlslab.verify.checks.model import PAGES

# nginx's own codes for a missing and for a bad certificate; nobody else uses them, and they say nothing else.
NGINX_CODES = (495, 496)
# Too slow, too early, too often: whoever is told so may be anybody (RFC 9110, RFC 8470, RFC 6585).
NO_DECISIONS = (408, 425, 429)
_NAMES_CERTIFICATE = re.compile(
    r"\b(client|ssl|tls)[ -]certificate|\bcertificate required|\b403\.(7|16|17)\b", re.IGNORECASE
)
_TELLING = 8  # characters; a shorter page could stand in another one by chance


class Decision(StrEnum):
    """What a server has decided about a client."""

    SERVED = "served"
    REFUSED = "refused"
    NONE = "none"  # it could not answer at all, or has not answered yet
    UNKNOWN = "unknown"  # everybody may be answered so


def decision(seen: Observation, right_status: int | None) -> Decision:
    """What an answer says about an unauthorised client.

    Args:
        seen: an HTTP answer.
        right_status: HTTP status that the authorised client got for the same page; None if nobody tried.
    """
    status = seen.status or 0
    if 200 <= status < 300:
        return Decision.SERVED
    if says_refused(seen):
        return Decision.REFUSED
    if right_status is None:
        return Decision.UNKNOWN
    if is_error(seen) or status < 200 or status in NO_DECISIONS:
        return Decision.NONE
    return Decision.UNKNOWN if status == right_status else Decision.REFUSED


def holds_page(seen: Observation, page: str) -> bool:
    """Whether an answer, whatever its status, holds the text of the protected page (as far as it was kept)."""
    wanted = page.strip()
    return len(wanted) >= _TELLING and wanted in seen.body


def is_error(seen: Observation) -> bool:
    """Whether the server answered that it could not answer."""
    return seen.status is not None and seen.status >= 500


def says_refused(seen: Observation) -> bool:
    """Whether an HTTP answer can be nothing but a refusal for want of a good client certificate."""
    if seen.certificate_requested is False:  # a front may pass on another server's page
        return False
    if seen.status in NGINX_CODES:
        return True
    if seen.status not in (400, 401, 403):
        return False
    if any(page in seen.body for page in PAGES.values()):
        return True
    return bool(seen.certificate_requested) and bool(_NAMES_CERTIFICATE.search(seen.body))

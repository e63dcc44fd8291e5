"""What follows from a survey: each TLS version tried alone."""

from __future__ import annotations

from collections.abc import Mapping

from mtlslab.audit.evidence import leaves_of
from mtlslab.audit.judge import judge_unauthorised
from mtlslab.audit.report import Offer, ServerFacts
from mtlslab.audit.words import outcome_of
from mtlslab.handshake.authorities import announced_names, usable_key_type
from mtlslab.pki import Name
from mtlslab.pki.faults import Outcome
from mtlslab.pki.mint import USUAL_KEY
from mtlslab.probe.context import OLD_VERSIONS
from mtlslab.probe.model import ALPN_HTTP_2, Observation, Side
from mtlslab.verify.checks.model import Result


def needs_less(first: Mapping[str, Observation]) -> bool:
    """Whether some version may tell more to a client that offers less: HTTP/2 leaves no room for asking later."""
    refused = any(seen.alert == "no_application_protocol" for seen in first.values())
    unasked = any(seen.alpn == ALPN_HTTP_2 and not seen.certificate_requested for seen in first.values())
    return refused or unasked or any(seen.alpn == ALPN_HTTP_2 and seen.status in (None, 421) for seen in first.values())


def other_key_type(first: Mapping[str, Observation]) -> str:
    """The type of key that the clients need; empty if the usual one will do wherever a certificate is asked for."""
    kinds = {
        usable_key_type(seen.certificate_request, tls13=version == "1.3")
        for version, seen in first.items()
        if version not in OLD_VERSIONS and seen.certificate_request
    }
    return next((kind for kind in sorted(kinds) if kind not in ("", USUAL_KEY)), "")


def asks_and_speaks_no_http(seen: Observation) -> bool:
    """Whether only the handshake can tell: then it matters, too, whether the server hangs up right after it."""
    unheard = seen.status is None and seen.alert_from is not Side.PEER
    return unheard and seen.finished and bool(seen.certificate_requested)


def tells_more(seen: Observation, before: Observation) -> bool:
    """Whether an attempt that offered less came further than the one before."""
    if seen.finished != before.finished:
        return seen.finished
    if bool(seen.certificate_requested) != bool(before.certificate_requested):
        return bool(seen.certificate_requested)
    return seen.status is not None and before.status in (None, 421)


def fares_like(again: Observation, right: Observation) -> bool:
    """Whether the authorised client fared at the end as at the beginning, as far as it matters."""
    return outcome_of(again) is outcome_of(right) and again.status == right.status


def insists(bare: Observation | None) -> bool:
    """Whether the server has refused a client for having no certificate, and not just hung up on it."""
    if bare is None or outcome_of(bare) is Outcome.CLOSED:
        return False
    return judge_unauthorised(bare, None, has_certificate=False).result is Result.PASS


def facts_of(first: Mapping[str, Observation]) -> ServerFacts:
    """What the server shows of itself; TLS version -> what an attempt with it alone showed."""
    asked = [seen.certificate_requested for seen in first.values() if seen.agreed]
    return ServerFacts(
        tls_versions={version: _offer(seen) for version, seen in first.items()},
        certificate_requested=True if True in asked else False if False in asked else None,
        ca_names=tuple(name.rfc4514_string() for name in announced(first)),
        certificates=leaves_of(seen.chain for seen in first.values()),
    )


def _offer(seen: Observation) -> Offer:
    if seen.agreed or seen.tls_version:
        return Offer.ACCEPTED
    if seen.side is Side.LOCAL and not seen.heard:
        return Offer.UNTRIED
    # A server without this version ends the handshake with an alert, or answers with another version, or hangs up.
    said_no = seen.alert_from is Side.PEER or seen.alert == "protocol_version" or (seen.heard and seen.closed)
    return Offer.REFUSED if said_no else Offer.UNKNOWN


def announced(first: Mapping[str, Observation]) -> tuple[Name, ...]:
    """The CA names that the server announces, on its newest version that does."""
    for version in sorted(first, reverse=True):
        names = announced_names(first[version].certificate_request, tls13=version == "1.3")
        if names:
            return names
    return ()

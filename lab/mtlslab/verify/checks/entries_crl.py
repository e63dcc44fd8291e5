"""The check of the revocation list itself; only where the server is set up to read one."""

from __future__ import annotations

from mtlslab.pki.faults import Outcome
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.verify.checks.model import CRL_PROCEDURE, REVOCATION, Entry, Expectation

ENTRIES = (
    Entry(
        id="mtls-crl-is-current",
        title="the revocation list of the client CA is there and does not expire soon",
        category=REVOCATION,
        service=MTLS_SERVICE,
        expect=Expectation(Outcome.SERVED),
        why="A revocation list says when the next one is due. Once that moment has passed, nginx refuses every "
        "client, the right ones too: a list that nobody renews is an outage with a date.",
        hint="Renew it and have nginx read it: mtlslab up renews a list that is about to end.",
        rfc="RFC 5280 section 5.1.2.5",
        directive="ssl_crl",
        sabotage="Ask for a list of a single day (mtlslab certs revoke NAME --crl-days 1), and wait.",
        procedure=CRL_PROCEDURE,
        versions=(),
    ),
)

"""Checks of the revocation list: those for a server that is set up to read one, and those for every lab."""

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

# Also of a lab that never asked for a list: whoever revokes a certificate wants it refused.
ALWAYS = (
    Entry(
        id="mtls-refuses-every-revoked-client",
        title="the mTLS server refuses every client on the revocation list whose key is here",
        category=REVOCATION,
        service=MTLS_SERVICE,
        expect=Expectation(Outcome.REFUSED_CERTIFICATE),
        depends="mtls-serves-client-certificate",
        why="Revoked is who is refused, not who is on a list: the server must be set up to check it (ssl_crl), and "
        "have read it since. Each of them tries a full handshake, and then the session that it was given.",
        hint="mtlslab up has the service check the list, mtlslab reload has it read the list anew.",
        rfc="RFC 5280 section 6.3",
        directive="ssl_crl",
        sabotage="mtlslab certs issue alice; mtlslab certs revoke alice; and neither mtlslab up nor reload.",
        procedure="revoked-clients",
    ),
    Entry(
        id="mtls-crl-is-the-newest",
        title="the revocation list is the last one that was issued, with every entry",
        category=REVOCATION,
        service=MTLS_SERVICE,
        expect=Expectation(Outcome.SERVED),
        why="An older list of the same CA is well signed and may still be in its time. Only its number tells, and the "
        "entries that it lacks: whoever puts it back lets in those who were revoked since.",
        hint="mtlslab certs revoke NAME writes a list with all earlier entries and a higher number.",
        rfc="RFC 5280 sections 5.2.3 and 5.3.1",
        directive="ssl_crl",
        sabotage="Copy crl/client-ca.crl, revoke a client, and put the copy back.",
        procedure="newest-list",
        versions=(),
    ),
)

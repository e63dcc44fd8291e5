"""Checks of the other doors: another name for the same server, another CA that is trusted, a key that lies open."""

from __future__ import annotations

from mtlslab.pki.faults import Outcome
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.verify.checks.model import Entry, Expectation, Trust

DOORS = "mTLS: no other door"

_CONTROL = "mtls-serves-client-certificate"
_NO_CERTIFICATE = Expectation(Outcome.REFUSED_NO_CERTIFICATE)

ENTRIES = (
    Entry(
        id="mtls-refuses-no-certificate-by-other-name",
        title="the mTLS server asks for a certificate whatever name it is called by",
        category=DOORS,
        service=MTLS_SERVICE,
        trust=Trust.ANYONE,
        expect=_NO_CERTIFICATE,
        depends=_CONTROL,
        why="The client chooses the name that it asks for (SNI and Host). nginx then takes the server block of that "
        "name, or the first one for the port: a second block without ssl_verify_client is an open door beside the "
        "locked one.",
        hint="Every server block that listens on this port needs ssl_verify_client on, the default one above all.",
        rfc="RFC 6066 section 3",
        directive="ssl_verify_client, server_name, listen",
        sabotage="Name the server block localhost, and put one without ssl_verify_client before it.",
        procedure="other-name",
    ),
    Entry(
        id="mtls-refuses-no-certificate-by-address",
        title="the mTLS server asks for a certificate when it is called by its address",
        category=DOORS,
        service=MTLS_SERVICE,
        trust=Trust.ANYONE,
        expect=_NO_CERTIFICATE,
        depends=_CONTROL,
        why="A client that asks for an IP address sends no name at all: SNI knows host names only. The default server "
        "of the port answers, and that one must be locked as well.",
        hint="Every server block that listens on this port needs ssl_verify_client on, the default one above all.",
        rfc="RFC 6066 section 3",
        directive="ssl_verify_client, listen",
        sabotage="Put a server block without ssl_verify_client before the other one.",
        procedure="by-address",
    ),
    Entry(
        id="mtls-refuses-client-of-server-ca",
        title="the mTLS server refuses a client certificate that the server CA issued",
        category=DOORS,
        service=MTLS_SERVICE,
        expect=Expectation(Outcome.REFUSED_CERTIFICATE, reason=r"unable to (get|verify)|self.signed"),
        depends=_CONTROL,
        why="The lab has two CAs, so that whoever may issue certificates for servers cannot make clients. This "
        "certificate is right in every respect, only the wrong one of the two signed it.",
        hint="ssl_client_certificate must name certs/client-ca.crt and hold no other CA; ssl_trusted_certificate must "
        "not add one.",
        rfc="RFC 5280 section 6.1.1",
        directive="ssl_client_certificate, ssl_trusted_certificate",
        sabotage="Append certs/server-ca.crt to the file that ssl_client_certificate names.",
        procedure="client-of-server-ca",
    ),
    Entry(
        id="mtls-announces-client-ca",
        title="the mTLS server announces the client CA and no other",
        category=DOORS,
        service=MTLS_SERVICE,
        expect=Expectation(Outcome.REFUSED_NO_CERTIFICATE),
        depends=_CONTROL,
        why="In its CertificateRequest the server names the CAs whose certificates it takes; browsers and Java choose "
        "by this list. A name that nobody expects there is a CA that may open the door.",
        hint="ssl_client_certificate must name certs/client-ca.crt, and that file must hold one certificate.",
        rfc="RFC 8446 section 4.2.4, RFC 5246 section 7.4.4",
        directive="ssl_client_certificate",
        sabotage="Append any CA certificate to the file that ssl_client_certificate names.",
        procedure="announced-authorities",
    ),
)

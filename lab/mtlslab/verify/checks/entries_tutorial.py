"""The tutorial's checks: what a lecture shows, in its order."""

from __future__ import annotations

from mtlslab.pki.faults import Outcome
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.verify.checks.model import (
    CLIENT,
    CLIENT_IDENTITY,
    REFUSED_CLIENTS,
    SERVER_IDENTITY,
    Entry,
    Expectation,
    Trust,
)

_SERVED = Expectation(Outcome.SERVED)
_IDENTIFIED = Expectation(Outcome.SERVED, identified=True)
_NO_CERTIFICATE = Expectation(Outcome.REFUSED_NO_CERTIFICATE)
# 18: self-signed leaf, 19: self-signed CA sent along, 20 and 21: no issuer that is trusted (X509_V_ERR numbers).
_UNTRUSTED = Expectation(Outcome.CLIENT_REFUSES_SERVER, reason=r"self.signed certificate|unable to (get|verify)")


def _refused(reason: str) -> Expectation:
    return Expectation(Outcome.REFUSED_CERTIFICATE, reason=reason)


ENTRIES = (
    Entry(
        id="tls-serves-with-ca",
        title="the TLS server serves a client that trusts its CA",
        category=SERVER_IDENTITY,
        service=TLS_SERVICE,
        expect=_SERVED,
        why="Ordinary TLS: the server shows a certificate, and the client checks that a CA which it trusts "
        "signed it, that it is valid today and that it names this host. Every other check of this server "
        "builds on this one.",
        hint="See what runs and what it says: mtlslab status, mtlslab logs nginx-tls. The certificate comes from "
        "ssl_certificate, the versions from ssl_protocols, the port from listen.",
        rfc="RFC 8446 section 4.4.2, RFC 9525",
        directive="ssl_certificate, ssl_certificate_key, listen ... ssl",
        sabotage="ssl_protocols TLSv1.2; in nginx-tls/nginx.conf, then mtlslab reload.",
    ),
    Entry(
        id="tls-untrusted-without-ca",
        title="a client that does not know the CA does not trust the TLS server",
        category=SERVER_IDENTITY,
        service=TLS_SERVICE,
        trust=Trust.NOBODY,
        expect=_UNTRUSTED,
        depends="tls-serves-with-ca",
        why="The lab's server CA is in nobody's list of trusted CAs. A client without --cacert ends the "
        "handshake itself, before a single byte of the page is asked for.",
        hint="ssl_certificate must name a certificate of the lab's own server CA, not of a public CA.",
        rfc="RFC 5280 section 6.1",
        directive="ssl_certificate",
        sabotage="Add certs/server-ca.crt to the CAs that your system trusts: every client then trusts the lab.",
    ),
    Entry(
        id="tls-insecure-works",
        title="--insecure makes a client accept the TLS server unseen",
        category=SERVER_IDENTITY,
        service=TLS_SERVICE,
        trust=Trust.ANYONE,
        expect=_SERVED,
        depends="tls-serves-with-ca",
        why="With --insecure the client skips its own check of the server. The connection is encrypted, but "
        "nobody knows to whom: an attacker in the middle would be accepted just as well.",
        hint="The same server answers a client with --cacert, so look at what differs: nginx's error log says it "
        "(mtlslab logs nginx-tls).",
        rfc="RFC 8446 appendix C.2",
        directive="none: this is the client's choice",
        sabotage="mtlslab down: --insecure skips the check of the server, not the server.",
    ),
    Entry(
        id="tls-asks-for-no-certificate",
        title="the TLS server does not ask its clients for a certificate",
        category=SERVER_IDENTITY,
        service=TLS_SERVICE,
        expect=Expectation(Outcome.SERVED, asked=False),
        depends="tls-serves-with-ca",
        why="Whether the client is asked is the server's choice: it sends a CertificateRequest in the "
        "handshake, or it does not. Without one this is ordinary TLS, and the client stays unknown.",
        hint="nginx-tls/nginx.conf must not set ssl_verify_client.",
        rfc="RFC 8446 section 4.3.2",
        directive="ssl_verify_client (off unless it is set)",
        sabotage="ssl_verify_client optional_no_ca; in nginx-tls/nginx.conf, then mtlslab reload.",
    ),
    Entry(
        id="tls-ignores-client-certificate",
        title="the TLS server serves a client with a certificate like any other",
        category=SERVER_IDENTITY,
        service=TLS_SERVICE,
        credential=CLIENT,
        expect=_SERVED,
        depends="tls-serves-with-ca",
        why="A client never sends a certificate that nobody asked for. A client set up for mutual TLS therefore "
        "works with an ordinary server as well.",
        hint="nginx-tls/nginx.conf must not set ssl_verify_client.",
        rfc="RFC 8446 section 4.4.2",
        directive="ssl_verify_client (off unless it is set)",
        sabotage="ssl_verify_client optional; ssl_client_certificate ../certs/server.crt; in nginx-tls/nginx.conf, "
        "then mtlslab reload.",
    ),
    Entry(
        id="mtls-serves-client-certificate",
        title="the mTLS server serves a client with a certificate of the client CA",
        category=CLIENT_IDENTITY,
        service=MTLS_SERVICE,
        credential=CLIENT,
        expect=_SERVED,
        why="The good case comes first: a server that is down or refuses everyone would look perfectly safe. "
        "Every refusal below counts only because this client gets in.",
        hint="ssl_client_certificate must name certs/client-ca.crt, the CA that signed certs/client.crt; "
        "ssl_protocols must allow the TLS version. Look at mtlslab logs nginx-mtls and mtlslab certs list.",
        rfc="RFC 8446 section 4.4.3, RFC 5280 section 6.1",
        directive="ssl_client_certificate, ssl_verify_client",
        sabotage="ssl_client_certificate ../certs/server.crt; in nginx-mtls/nginx.conf, then mtlslab reload.",
    ),
    Entry(
        id="mtls-asks-for-certificate",
        title="the mTLS server asks its clients for a certificate",
        category=CLIENT_IDENTITY,
        service=MTLS_SERVICE,
        credential=CLIENT,
        expect=Expectation(Outcome.SERVED, asked=True),
        depends="mtls-serves-client-certificate",
        why="In the handshake the server sends a CertificateRequest, and the client answers with its "
        "certificate and a signature that proves that it holds the private key. This one message is what "
        "makes TLS mutual.",
        hint="ssl_verify_client on; in nginx-mtls/nginx.conf, then mtlslab reload.",
        rfc="RFC 8446 section 4.3.2",
        directive="ssl_verify_client",
        sabotage="ssl_verify_client off; in nginx-mtls/nginx.conf, then mtlslab reload.",
    ),
    Entry(
        id="mtls-identifies-client",
        title="the mTLS server knows which client it serves",
        category=CLIENT_IDENTITY,
        service=MTLS_SERVICE,
        credential=CLIENT,
        expect=_IDENTIFIED,
        depends="mtls-serves-client-certificate",
        why="Being served is not being verified: a server that never asks serves this client too. The server "
        "says what it made of the certificate ($ssl_client_verify), and names the very certificate that was "
        "sent.",
        hint="ssl_verify_client on; and add_header X-SSL-Client-Verify $ssl_client_verify always; in "
        "nginx-mtls/nginx.conf, then mtlslab reload.",
        rfc="RFC 8446 section 4.4.3",
        directive="ssl_verify_client, add_header",
        sabotage="ssl_verify_client off; in nginx-mtls/nginx.conf, then mtlslab reload.",
    ),
    Entry(
        id="mtls-untrusted-without-ca",
        title="a client that does not know the CA does not trust the mTLS server",
        category=CLIENT_IDENTITY,
        service=MTLS_SERVICE,
        credential=CLIENT,
        trust=Trust.NOBODY,
        expect=_UNTRUSTED,
        depends="mtls-serves-client-certificate",
        why="Mutual means both: having a certificate of its own does not free the client from checking the "
        "server's. It ends the handshake before it sends its own certificate to a stranger.",
        hint="ssl_certificate must name a certificate of the lab's own server CA, not of a public CA.",
        rfc="RFC 5280 section 6.1",
        directive="ssl_certificate",
        sabotage="Add certs/server-ca.crt to the CAs that your system trusts.",
    ),
    Entry(
        id="mtls-insecure-with-certificate",
        title="the mTLS server serves the authorised client even if that client uses --insecure",
        category=CLIENT_IDENTITY,
        service=MTLS_SERVICE,
        credential=CLIENT,
        trust=Trust.ANYONE,
        expect=_IDENTIFIED,
        depends="mtls-serves-client-certificate",
        why="--insecure switches off the client's check of the server and nothing else. The server's check of "
        "the client is the server's own, and this client passes it.",
        hint="The same client gets in with --cacert, so look at what differs: mtlslab logs nginx-mtls.",
        rfc="RFC 8446 appendix C.2",
        directive="ssl_verify_client",
        sabotage="ssl_verify_client off; in nginx-mtls/nginx.conf, then mtlslab reload.",
    ),
    Entry(
        id="mtls-refuses-no-certificate",
        title="the mTLS server refuses a client without a certificate",
        category=REFUSED_CLIENTS,
        service=MTLS_SERVICE,
        expect=_NO_CERTIFICATE,
        depends="mtls-serves-client-certificate",
        why="The heart of mutual TLS. nginx finishes the handshake and then answers HTTP 400, so curl ends with "
        "status 0: read the page, not the exit status.",
        hint="ssl_verify_client must be on, not optional or off, in nginx-mtls/nginx.conf; then mtlslab reload.",
        rfc="RFC 8446 section 4.4.2.4",
        directive="ssl_verify_client",
        sabotage="ssl_verify_client optional; in nginx-mtls/nginx.conf, then mtlslab reload.",
    ),
    Entry(
        id="mtls-refuses-no-certificate-insecure",
        title="--insecure does not get a client without a certificate in",
        category=REFUSED_CLIENTS,
        service=MTLS_SERVICE,
        trust=Trust.ANYONE,
        expect=_NO_CERTIFICATE,
        depends="mtls-serves-client-certificate",
        why="A client can decide not to check the server. It cannot decide that the server does not check the client.",
        hint="ssl_verify_client must be on, not optional or off, in nginx-mtls/nginx.conf; then mtlslab reload.",
        rfc="RFC 8446 section 4.4.2.4",
        directive="ssl_verify_client",
        sabotage="ssl_verify_client optional; in nginx-mtls/nginx.conf, then mtlslab reload.",
    ),
    Entry(
        id="mtls-refuses-other-ca",
        title="the mTLS server refuses a certificate of another CA",
        category=REFUSED_CLIENTS,
        service=MTLS_SERVICE,
        credential="other-ca",
        expect=_refused(r"unable to (get|verify)|signature failure|self.signed certificate"),
        depends="mtls-serves-client-certificate",
        why="Anybody can found a CA and issue certificates. What counts is which CA signed: only the client "
        "CA's signature opens the door.",
        hint="ssl_client_certificate must name certs/client-ca.crt and hold no other CA; ssl_verify_client must "
        "be on, not optional_no_ca.",
        rfc="RFC 5280 section 6.1.1",
        directive="ssl_client_certificate, ssl_verify_client",
        sabotage="ssl_verify_client optional_no_ca; in nginx-mtls/nginx.conf, then mtlslab reload.",
    ),
    Entry(
        id="mtls-refuses-self-signed",
        title="the mTLS server refuses a self-signed certificate",
        category=REFUSED_CLIENTS,
        service=MTLS_SERVICE,
        credential="self-signed",
        expect=_refused(r"self.signed|unable to (get|verify)"),
        depends="mtls-serves-client-certificate",
        why="Such a certificate vouches for itself. It proves that the client holds a key, but not that anybody "
        "whom the server trusts knows this client.",
        hint="ssl_verify_client must be on, not optional_no_ca, which accepts certificates of unknown origin.",
        rfc="RFC 5280 section 6.1",
        directive="ssl_client_certificate, ssl_verify_client",
        sabotage="ssl_verify_client optional_no_ca; in nginx-mtls/nginx.conf, then mtlslab reload.",
    ),
    Entry(
        id="mtls-refuses-expired",
        title="the mTLS server refuses an expired certificate",
        category=REFUSED_CLIENTS,
        service=MTLS_SERVICE,
        credential="expired",
        expect=_refused(r"expired"),
        depends="mtls-serves-client-certificate",
        why="The client CA did sign this one, but for a time that is over (RFC 5280 section 4.1.2.5). Expiry "
        "bounds the damage of a key that was lost without anybody noticing.",
        hint="ssl_verify_client must be on. Is the clock of the machine right?",
        rfc="RFC 5280 section 4.1.2.5",
        directive="ssl_verify_client",
        sabotage="error_page 495 =200 /hello-world.txt; in nginx-mtls/nginx.conf, then mtlslab reload.",
    ),
    Entry(
        id="mtls-refuses-eku-server-auth",
        title="the mTLS server refuses a certificate that is for servers only",
        category=REFUSED_CLIENTS,
        service=MTLS_SERVICE,
        credential="eku-server-auth",
        expect=_refused(r"purpose"),
        depends="mtls-serves-client-certificate",
        why="The client CA signed it, but its extended key usage says serverAuth (RFC 5280 section 4.2.1.12). "
        "Without this check every web server's certificate could pose as a client.",
        hint="ssl_verify_client must be on. nginx leaves this check to OpenSSL, which makes it for every client chain.",
        rfc="RFC 5280 section 4.2.1.12",
        directive="ssl_verify_client",
        sabotage="error_page 495 =200 /hello-world.txt; in nginx-mtls/nginx.conf, then mtlslab reload.",
    ),
)

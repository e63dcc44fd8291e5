"""Checks of whom the mTLS server takes a client for."""

from __future__ import annotations

from mtlslab.pki.faults import Outcome
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.verify.checks.model import CLIENT, CLIENT_IDENTITY, REFUSED_CLIENTS, Entry, Expectation

_CONTROL = "mtls-serves-client-certificate"
_HINT = (
    "add_header X-SSL-Client-...: each with its own variable ($ssl_client_verify, $ssl_client_s_dn, "
    "$ssl_client_serial, $ssl_client_fingerprint); the same in log_format. No $http_... there: the client sets it."
)

ENTRIES = (
    Entry(
        id="mtls-tells-clients-apart",
        title="the mTLS server tells two authorised clients apart, in its answer and in its log",
        category=CLIENT_IDENTITY,
        service=MTLS_SERVICE,
        credential=CLIENT,
        procedure="two-clients",
        expect=Expectation(Outcome.SERVED, identified=True),
        depends=f"{_CONTROL}.tls12",
        versions=(),
        why="A server that says the same of everybody says nothing: what may be done is decided by who it is. Two "
        "clients of one CA must differ in subject, serial number and fingerprint, wherever the server names them.",
        hint=_HINT,
        rfc="RFC 5280 section 4.1.2.2, RFC 8446 section 4.4.2",
        directive="add_header and log_format, with $ssl_client_s_dn, $ssl_client_serial and $ssl_client_fingerprint",
        sabotage="add_header X-SSL-Client-Serial 01 always; in nginx-mtls/nginx.conf, then mtlslab reload.",
    ),
    Entry(
        id="mtls-knows-client-whatever-it-claims",
        title="the mTLS server knows the client by its certificate, whatever its request claims",
        category=CLIENT_IDENTITY,
        service=MTLS_SERVICE,
        credential=CLIENT,
        procedure="claimed-identity",
        expect=Expectation(Outcome.SERVED, identified=True),
        depends=f"{_CONTROL}.tls12",
        versions=(),
        why="Servers behind a proxy read the client's name from a header field. A client can send the same field "
        "itself: whoever passes it on lets every authorised client be any other.",
        hint=_HINT,
        rfc="RFC 9440 section 3, CWE-290",
        directive="add_header, proxy_set_header, map and log_format, with $ssl_client_verify",
        sabotage="add_header X-SSL-Client-Subject $http_x_ssl_client_subject always; in nginx-mtls/nginx.conf, then "
        "mtlslab reload.",
    ),
    Entry(
        id="mtls-refuses-claimed-identity",
        title="the mTLS server refuses a client that has no certificate and claims to be verified",
        category=REFUSED_CLIENTS,
        service=MTLS_SERVICE,
        procedure="claimed-identity",
        expect=Expectation(Outcome.REFUSED_NO_CERTIFICATE),
        depends=f"{_CONTROL}.tls12",
        versions=(),
        why="Header fields, cookies and parameters are the client's own words. The server's verdict comes from the "
        "handshake alone: neither the answer nor the log may repeat a claim as a fact.",
        hint=f"No rule that lets anybody in by a header field, a cookie or a parameter. {_HINT}",
        rfc="RFC 9440 section 3, CWE-290",
        directive="ssl_verify_client, map, if, add_header",
        sabotage="map $http_x_client_verify $verdict { default $ssl_client_verify; ~. $http_x_client_verify; } and "
        "add_header X-SSL-Client-Verify $verdict always;",
    ),
)

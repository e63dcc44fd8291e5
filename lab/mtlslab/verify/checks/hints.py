"""Where to look when a client that must be served is not: chosen by what the server, or the client, has said.

One table for ``verify`` and ``audit``, so that the same answer gets the same advice.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from mtlslab.plan.shell import shell_line
from mtlslab.probe.model import Observation, Side
from mtlslab.verify.checks.model import PAGES, VERIFY_HEADER


@dataclasses.dataclass(frozen=True)
class _Row:
    """One kind of answer.

    Attributes:
        said: a regular expression that finds it in the words of :func:`words_of`.
        hint: where to look, at any server.
        lab: what to type or write in a lab; ``{service}`` is the service that was asked.
        elsewhere: what to do at a server that is no lab's.
    """

    said: str
    hint: str
    lab: str = ""
    elsewhere: str = ""


_LOG = "mtlslab logs {service} tells more."
_ANEW = "mtlslab certs list shows it, mtlslab up issues it anew."

# The first row that fits counts. What the server says about the certificate tells more than the status.
_TABLE = (
    # $ssl_client_verify, with the words of OpenSSL (X509_verify_cert_error_string).
    _Row(
        r"verify: FAILED:.*revoked",
        "The client's certificate was revoked: it stands in the list that ssl_crl names. Issue another one.",
        lab="mtlslab certs crl shows the list. A new one: rm certs/client.crt, then mtlslab up",
    ),
    _Row(
        r"verify: FAILED:.*CRL (has expired|is not yet valid)",
        "The list that ssl_crl names is out of its time: until it is renewed and read, everybody is refused.",
        lab="mtlslab up renews it, mtlslab reload has nginx read it.",
    ),
    _Row(
        r"verify: FAILED:.*CRL",
        "The file that ssl_crl names must hold a list of every CA in the client's chain.",
        lab="mtlslab certs crl shows the lab's.",
    ),
    _Row(r"verify: FAILED:.*expired", "The client's certificate has expired: renew it.", lab=_ANEW),
    _Row(
        r"verify: FAILED:.*not yet valid",
        "The client's certificate is not valid yet. Is the clock right, at the server and where it was issued?",
        lab="mtlslab certs list shows its dates.",
    ),
    _Row(
        r"verify: FAILED:.*purpose",
        "The client's certificate is not for clients: its extended key usage must have clientAuth.",
        lab="mtlslab certs show certs/client.crt",
    ),
    _Row(
        r"verify: FAILED:.*(too long|path length)",
        "The client's chain is longer than the server (ssl_verify_depth) or one of its CAs allows.",
        lab="ssl_verify_depth 1; is what mtlslab renders.",
    ),
    _Row(
        r"verify: FAILED:.*too (weak|small)",
        "Key or digest of the client's chain are too weak for the security level of the server's OpenSSL.",
    ),
    _Row(
        r"verify: FAILED:.*(unable to|self.signed|signature|issuer|invalid CA)",
        "The server does not trust the CA of the client's certificate: ssl_client_certificate must name it, and the "
        "client must send the intermediate CAs, if there are any.",
        lab="Here it is certs/client-ca.crt, the CA that signed certs/client.crt; then mtlslab reload.",
    ),
    _Row(
        r"verify: FAILED",
        "The server has found fault with the client's certificate: its own words are in the reason.",
        lab=_LOG,
    ),
    # nginx's pages and codes.
    _Row(
        r"status: 496|page: No required|verify: NONE",
        "The server got no certificate: none was sent, or the server's signature algorithms leave no way to send it.",
        lab="certs/client.crt and certs/client.key must be there: mtlslab certs list.",
        elsewhere="Give it with --cert and --key.",
    ),
    _Row(
        r"status: 495|page: The SSL certificate error",
        "The server has found fault with the client's certificate and does not tell why: its error log does, from the "
        "level info on. Is it of a CA that the server trusts, valid today, for clients, and not revoked?",
        lab=_LOG,
    ),
    # HTTP: the handshake is over, and something else decides.
    _Row(
        r"status: (404|410)",
        "The client is let in, and there is no such page.",
        lab="{service}/hello-world.txt must be there, and location and root in {service}/nginx.conf must lead to it. "
        "A page that is gone comes back with: mtlslab up",
        elsewhere="Name a page that is there: --path",
    ),
    _Row(
        r"status: 403.*verify: SUCCESS",
        "The certificate is good, and something else refuses: return 403, deny or a rule (if, map) of the "
        "configuration, or a file that nginx may not read.",
        lab=_LOG,
    ),
    _Row(
        r"status: 403",
        "The server refuses the page: a rule (return 403, deny, allow by name), or a file that it may not read.",
        lab=_LOG,
        elsewhere="May this client see the page? Name another one with --path.",
    ),
    _Row(
        r"status: (401|407)",
        "The server wants a name and a password beside the certificate (auth_basic, auth_request).",
        lab="The lab's own configuration has nothing of the kind.",
        elsewhere="Name a page that the certificate alone opens: --path",
    ),
    _Row(
        r"status: 3\d\d",
        "The server sends the client elsewhere (return, rewrite), which is not followed.",
        lab="The lab's own configuration does not.",
        elsewhere="Name the page that it leads to: --path",
    ),
    _Row(r"status: 405", "The server does not take this method there (limit_except, or a handler of its own)."),
    _Row(r"status: 421", "The server serves another name by this certificate: SNI and Host must name one server."),
    _Row(r"status: (408|425|429)", "The server has a limit for requests (limit_req, limit_conn): try again later."),
    _Row(
        r"status: (502|503|504)",
        "What stands behind the server does not answer (proxy_pass), or the server has a limit for requests.",
        lab=_LOG,
    ),
    _Row(r"status: 5\d\d", "The server itself fails: its error log tells why.", lab=_LOG),
    _Row(r"status: 400", "The server does not understand the request: its error log tells why (info).", lab=_LOG),
    _Row(
        r"status:",
        "The handshake is over: what answers is decided by location, return and the like, not by the certificate.",
        lab=_LOG,
    ),
    # The server's alerts (RFC 8446 section 6.2).
    _Row(
        r"alert: certificate_required",
        "The server got no certificate: none was sent, or its signature algorithms leave no way to send it.",
        elsewhere="Give it with --cert and --key.",
    ),
    _Row(r"alert: unknown_ca", "The server does not trust the CA of the client's certificate."),
    _Row(r"alert: certificate_expired", "The client's certificate is out of its time, or a clock is wrong.", lab=_ANEW),
    _Row(r"alert: certificate_revoked", "The client's certificate was revoked: issue another one."),
    _Row(
        r"alert: (bad_certificate|unsupported_certificate|certificate_unknown|access_denied)",
        "The server does not take the client's certificate. Is it of a CA that the server trusts, valid today, for "
        "clients, and not revoked?",
    ),
    _Row(r"alert: decrypt_error", "The client's signature does not fit: certificate and key are not a pair."),
    _Row(
        r"alert: protocol_version",
        "The server does not speak this TLS version: ssl_protocols.",
        lab="ssl_protocols TLSv1.2 TLSv1.3; is what mtlslab renders.",
    ),
    _Row(
        r"alert: (handshake_failure|insufficient_security|illegal_parameter)",
        "Client and server have no cipher suite, group or signature algorithm in common: ssl_ciphers, ssl_ecdh_curve, "
        "ssl_conf_command, and the type of the server's key.",
        lab=_LOG,
    ),
    _Row(
        r"alert: unrecognized_name",
        "The server knows no such name, and ends the handshake (ssl_reject_handshake): server_name.",
        elsewhere="Use the name that the server's certificate bears.",
    ),
    _Row(r"alert: internal_error", "The server itself fails: its error log tells why.", lab=_LOG),
    _Row(r"alert:", "The server has ended the handshake with an alert: its error log tells why (info).", lab=_LOG),
    # The client's own OpenSSL, of the server.
    _Row(
        r"client: .*expired",
        "It is the server's certificate that has expired: ssl_certificate.",
        lab="mtlslab up issues it anew.",
    ),
    _Row(r"client: .*not yet valid", "It is the server's certificate that is not valid yet. Is the clock right?"),
    _Row(
        r"client: .*(mismatch|not match)",
        "The server's certificate names other hosts: its subject alternative names.",
        lab="mtlslab up --host NAME issues it for a further one.",
    ),
    _Row(
        r"client:",
        "It is the client that does not trust the server: ssl_certificate must name a certificate of a CA that the "
        "client trusts (--cacert), with its intermediate CAs.",
        lab="Here that is certs/server-ca.crt.",
    ),
    _Row(
        r"closed",
        "The server has hung up without a word: return 444, a process that ends, or something between client and "
        "server.",
        lab=_LOG,
    ),
)


def hint_for(seen: Observation, logged: str = "", *, service: str = "") -> str:
    """Where to look when this became of a client that must be served; empty where nothing was said that tells.

    Args:
        seen: what was observed.
        logged: ``$ssl_client_verify`` in the server's log, if it could be read.
        service: the lab's service that was asked; empty for a server that is no lab's.
    """
    words = words_of(seen, logged)
    row = next((row for row in _TABLE if re.search(row.said, words)), None) if words else None
    if row is None:
        return ""
    more = row.lab.format(service=service) if service else row.elsewhere
    return f"{row.hint} {more}".strip()


def nobody_there(service: str) -> str:
    """Where to look when nobody answers on the port of a service."""
    logs = shell_line(["mtlslab", "logs", service])
    return f"Does it run, and on this port? mtlslab status, {logs}, and mtlslab up to start it."


def words_of(seen: Observation, logged: str = "") -> str:
    """What was said about an attempt, on one line; empty where nobody has said anything."""
    return "; ".join(_words(seen, logged))


def _words(seen: Observation, logged: str) -> Iterator[str]:
    if seen.status is not None:
        yield f"status: {seen.status}"
        yield from (f"page: {page}" for page in PAGES.values() if page in seen.body)
        said = seen.headers.get(VERIFY_HEADER) or logged
        if said:
            yield f"verify: {said}"
    elif seen.verify_code is not None:
        yield f"client: {seen.verify_error}"
    elif seen.alert_from is Side.PEER:
        yield f"alert: {seen.alert}"
    elif seen.closed and seen.heard:
        yield "closed"

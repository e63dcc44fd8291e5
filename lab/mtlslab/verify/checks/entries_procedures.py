"""Checks that take more than one attempt of the usual kind: each names its procedure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from mtlslab.pki.faults import Outcome, Severity
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.verify.checks import entries_client
from mtlslab.verify.checks.model import CLIENT, CLIENT_SIDE, Entry, Expectation

PROTOCOL = "The protocol: what the servers speak"
RESUMPTION = "mTLS: resumed sessions"

_SERVED = Expectation(Outcome.SERVED)
_ALERT = Expectation(Outcome.REFUSED_BY_ALERT)


def _untrusted(reason: str) -> Expectation:
    return Expectation(Outcome.CLIENT_REFUSES_SERVER, reason=reason)


@dataclasses.dataclass(frozen=True)
class _Side:
    """One of the lab's services, as a check of both names it."""

    prefix: str
    name: str
    service: str
    control: str
    credential: str | None

    def edit(self, directives: str) -> str:
        """The sabotage that puts these directives into the service's configuration."""
        return f"{directives} in {self.service}/nginx.conf, then mtlslab reload."

    def replace(self, server: str) -> str:
        """The sabotage that puts another server in nginx's place."""
        if self.credential:  # it would not say whom it verified, so that the control fails and the check is skipped
            return f"Not here, but at the TLS server: {_TLS.replace(server)}"
        return f"mtlslab down, then {server} with certs/server.crt and its key on the same port."


_TLS = _Side("tls", "the TLS server", TLS_SERVICE, "tls-serves-with-ca", None)
_MTLS = _Side("mtls", "the mTLS server", MTLS_SERVICE, "mtls-serves-client-certificate", CLIENT)


def _both() -> Iterator[Entry]:
    """The checks that ask the same of both services."""
    for side in (_TLS, _MTLS):
        yield from _trust_entries(side)
        yield from _first_word_entries(side)
        yield from _version_entries(side)
        yield from _alpn_entries(side)


def _trust_entries(side: _Side) -> Iterator[Entry]:
    yield Entry(
        id=f"{side.prefix}-untrusted-with-client-ca",
        title=f"a client that takes the client CA for its trust anchor does not trust {side.name}",
        category=CLIENT_SIDE,
        service=side.service,
        credential=side.credential,
        procedure="client-ca-as-anchor",
        expect=_untrusted(r"unable to (get|verify)|self.signed"),
        depends=side.control,
        why="The usual mix-up: --cacert names the CA that signed the server, --cert what the client CA signed. Being "
        "the lab's own is not enough; the client's anchor must be the CA at the end of the server's chain (RFC 5280 "
        "section 6.1).",
        hint="ssl_certificate must name a certificate of the server CA: the two CAs of the lab are separate.",
        rfc="RFC 5280 section 6.1",
        directive="ssl_certificate",
        sabotage="Append certs/server-ca.crt to certs/client-ca.crt: the client then trusts both CAs.",
    )
    yield Entry(
        id=f"{side.prefix}-untrusted-by-other-name",
        title=f"a client that calls {side.name} by another name does not trust it",
        category=CLIENT_SIDE,
        service=side.service,
        credential=side.credential,
        procedure="other-name",
        expect=_untrusted(r"host ?name mismatch"),
        depends=side.control,
        why="The certificate is good and the CA trusted, but the name in the URL is not in the subjectAltName (RFC "
        "9525 section 6). What counts is the name that the client asked for, not the address behind it.",
        hint="The server's certificate must name its own hosts only: see mtlslab certs list.",
        rfc="RFC 9525 section 6",
        directive="ssl_certificate",
        sabotage="mtlslab up --host elsewhere.test: the certificate then holds the name that this check uses.",
    )


def _first_word_entries(side: _Side) -> Iterator[Entry]:
    """What the server refuses at the first word, before it asks for a certificate."""
    once = Entry(
        id=f"{side.prefix}-refuses-plain-http",
        title=f"{side.name} gives nothing to a client that speaks HTTP without TLS",
        category=PROTOCOL,
        service=side.service,
        procedure="plain-http",
        expect=Expectation(Outcome.OTHER_STATUS),
        depends=f"{side.control}.tls12",
        versions=(),
        why="nginx notices that these are not the bytes of a handshake, and answers 400 'The plain HTTP request was "
        "sent to HTTPS port' in clear (its internal code 497). Whatever the client sent, cookies and passwords too, "
        "has crossed the network readable all the same: hence the scheme https (RFC 9110 section 4.2.2).",
        hint="The port needs listen ... ssl; and no error_page 497 that leads to a page.",
        rfc="RFC 9110 section 4.2.2",
        directive="listen ... ssl, error_page 497",
        sabotage=side.edit("error_page 497 =200 /hello-world.txt;"),
    )
    yield once
    yield from (_old_version_entry(once, side, version) for version in ("1.0", "1.1"))
    yield dataclasses.replace(
        once,
        id=f"{side.prefix}-refuses-broken-cipher-suites",
        title=f"{side.name} refuses a client that offers only cipher suites without protection",
        procedure="broken-suites",
        expect=_ALERT,
        depends=side.control,
        versions=("1.2",),
        why="NULL suites do not encrypt, anonymous ones do not say who the server is, export suites, DES and RC4 have "
        "been broken (RFC 9325 section 4.1). The alert handshake_failure says that the two have no suite in common.",
        hint="ssl_ciphers must keep !aNULL and must not lower @SECLEVEL; nginx's default is HIGH:!aNULL:!MD5.",
        rfc="RFC 9325 section 4.1",
        directive="ssl_ciphers",
        sabotage=side.edit("ssl_ciphers HIGH:eNULL:@SECLEVEL=0;"),
    )
    yield dataclasses.replace(
        once,
        id=f"{side.prefix}-refuses-downgraded-client",
        title=f"{side.name} notices that a client was made to speak an older version",
        procedure="fallback",
        expect=_ALERT,
        depends=side.control,
        versions=("1.2",),
        why="A client that tries again with an older version says so with TLS_FALLBACK_SCSV (RFC 7507). A server that "
        "speaks a newer one knows then that somebody has torn the first attempt, and refuses: "
        "inappropriate_fallback.",
        hint="ssl_protocols must contain TLSv1.3: without a better version, there is no downgrade to notice.",
        rfc="RFC 7507",
        directive="ssl_protocols",
        sabotage=side.edit("ssl_protocols TLSv1.2;"),
    )


def _old_version_entry(like: Entry, side: _Side, version: str) -> Entry:
    return dataclasses.replace(
        like,
        id=f"{side.prefix}-refuses-tls{version.replace('.', '')}",
        title=f"{side.name} refuses TLS {version}",
        procedure=f"tls{version.replace('.', '')}",
        expect=_ALERT,
        why=f"TLS {version} rests on SHA-1 and MD5 and is forbidden since 2021 (RFC 8996). The server must answer "
        "with the alert protocol_version; a client that refuses itself proves nothing about the server, so the "
        "ClientHello is made by hand.",
        hint="ssl_protocols TLSv1.2 TLSv1.3; and no ssl_ciphers with @SECLEVEL=0.",
        rfc="RFC 8996",
        directive="ssl_protocols, ssl_ciphers",
        sabotage=side.edit("ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3; and ssl_ciphers DEFAULT:@SECLEVEL=0;"),
    )


def _version_entries(side: _Side) -> Iterator[Entry]:
    yield Entry(
        id=f"{side.prefix}-chooses-tls13",
        title=f"{side.name} chooses TLS 1.3 when the client speaks both",
        category=PROTOCOL,
        service=side.service,
        credential=side.credential,
        procedure="best-version",
        expect=_SERVED,
        depends=f"{side.control}.tls13",
        versions=(),
        why="The client offers all that it speaks, the server chooses (RFC 8446 section 4.2.1). In TLS 1.3 the "
        "client's certificate crosses the network encrypted; in TLS 1.2 everybody on the way can read it.",
        hint="ssl_protocols must contain TLSv1.3.",
        rfc="RFC 8446 section 4.2.1",
        directive="ssl_protocols",
        sabotage="Set MaxProtocol = TLSv1.2 in the OpenSSL configuration that verify reads: its clients then no longer "
        "offer TLS 1.3 by themselves.",
    )
    yield Entry(
        id=f"{side.prefix}-refuses-renegotiation",
        title=f"{side.name} refuses a second handshake within a connection",
        category=PROTOCOL,
        service=side.service,
        credential=side.credential,
        procedure="renegotiation",
        expect=_ALERT,
        depends=side.control,
        versions=("1.2",),
        why="In TLS 1.2 a client may ask to shake hands again. Attackers used that to put their own request before "
        "somebody else's (RFC 5746), and to make servers work for nothing. nginx answers no_renegotiation; TLS 1.3 has "
        "done away with it.",
        hint="nginx never renegotiates: is it nginx that listens on this port?",
        rfc="RFC 5746, RFC 8446 section 4.1.2",
        directive="none: nginx never renegotiates",
        sabotage=side.replace("openssl s_server -tls1_2 -client_renegotiation -www"),
    )


def _alpn_entries(side: _Side) -> Iterator[Entry]:
    chooses = Entry(
        id=f"{side.prefix}-chooses-http11",
        title=f"{side.name} chooses HTTP/1.1 when the client offers HTTP/2 as well",
        category=PROTOCOL,
        service=side.service,
        credential=side.credential,
        procedure="alpn-http",
        expect=_SERVED,
        depends=side.control,
        severity=Severity.ADVISORY,
        why="In the handshake the client says which protocols it can speak inside, and the server chooses one that it "
        "speaks itself (ALPN, RFC 7301). The lab leaves HTTP/2 out so that each request is one connection, easy to "
        "follow in the log.",
        hint="http2 on; (or listen ... http2) was added to nginx.conf: no harm, but not what was rendered.",
        rfc="RFC 7301",
        directive="http2",
        sabotage=side.edit("http2 on;"),
    )
    yield chooses
    yield dataclasses.replace(
        chooses,
        id=f"{side.prefix}-refuses-unknown-protocol",
        title=f"{side.name} refuses a client that speaks no HTTP at all",
        procedure="alpn-unknown",
        expect=_ALERT,
        why="A server that answers whatever the client says it speaks can be used to confuse that client's protocol "
        "with its own. RFC 7301 section 3.2 asks for the alert no_application_protocol when there is none in common.",
        hint="nginx does so from version 1.21.4 on: is it an older one, or not nginx at all?",
        rfc="RFC 7301 section 3.2",
        directive="none: nginx does so by itself",
        sabotage=side.replace("openssl s_server -www"),
    )


_RESUMPTION_ENTRIES = (
    Entry(
        id="mtls-refuses-ticket-of-tls-server",
        title="a session of the TLS server opens nothing at the mTLS server",
        category=RESUMPTION,
        service=MTLS_SERVICE,
        procedure="ticket-of-other-server",
        expect=Expectation(Outcome.REFUSED_NO_CERTIFICATE),
        depends="mtls-serves-client-certificate",
        why="A client can resume a session with a ticket instead of a certificate (RFC 8446 section 2.2). The TLS "
        "server gives tickets to everybody: if the mTLS server took one for its own, nobody would need a certificate.",
        hint="ssl_verify_client on; and no ssl_session_ticket_key or ssl_session_cache that both services share.",
        rfc="RFC 8446 section 2.2",
        directive="ssl_verify_client, ssl_session_ticket_key, ssl_session_cache",
        sabotage=_MTLS.edit("ssl_verify_client optional;"),
    ),
    Entry(
        id="mtls-resumes-client",
        title="the mTLS server still knows the client when its session is resumed",
        category=RESUMPTION,
        service=MTLS_SERVICE,
        credential=CLIENT,
        procedure="resume-here",
        expect=Expectation(Outcome.SERVED, identified=True),
        depends="mtls-serves-client-certificate",
        why="The certificate is not sent again: the server takes the client's identity from the session, which is "
        "inside the ticket (RFC 8446 section 2.2). So a client whose certificate has expired meanwhile stays in until "
        "its session ends (ssl_session_timeout).",
        hint="The same client gets in with a full handshake; look at ssl_session_tickets and ssl_session_cache.",
        rfc="RFC 8446 section 2.2",
        directive="ssl_verify_client, ssl_session_tickets, ssl_session_cache",
        sabotage=_MTLS.edit("ssl_verify_client off;"),
    ),
    Entry(
        id="mtls-refuses-resumed-without-certificate",
        title="a session that was refused for want of a certificate is refused when resumed",
        category=RESUMPTION,
        service=MTLS_SERVICE,
        procedure="resume-here",
        expect=Expectation(Outcome.REFUSED_NO_CERTIFICATE),
        depends="mtls-serves-client-certificate",
        why="nginx refuses with an HTTP answer, after a handshake that has succeeded: so even a refused client "
        "holds a ticket (RFC 8446 section 4.6.1). It must be worth nothing.",
        hint="ssl_verify_client must be on, not optional or off, in nginx-mtls/nginx.conf; then mtlslab reload.",
        rfc="RFC 8446 section 4.6.1",
        directive="ssl_verify_client",
        sabotage=_MTLS.edit("ssl_verify_client optional;"),
    ),
    Entry(
        id="mtls-refuses-resumed-expired",
        title="a session that was refused for an expired certificate is refused when resumed",
        category=RESUMPTION,
        service=MTLS_SERVICE,
        credential="expired",
        procedure="resume-here",
        expect=Expectation(Outcome.REFUSED_CERTIFICATE, reason="expired"),
        depends="mtls-serves-client-certificate",
        why="The ticket (RFC 8446 section 4.6.1) holds what the server made of the certificate, good or bad. nginx "
        "looks at that result for each request, also in a resumed session.",
        hint="ssl_verify_client must be on, in nginx-mtls/nginx.conf; then mtlslab reload.",
        rfc="RFC 8446 section 4.6.1",
        directive="ssl_verify_client",
        sabotage=_MTLS.edit("ssl_verify_client off;"),
    ),
)

ENTRIES: tuple[Entry, ...] = (*entries_client.ENTRIES, *_both(), *_RESUMPTION_ENTRIES)

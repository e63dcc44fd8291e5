"""Checks that take more than one attempt of the usual kind: each names its procedure in ``lab.trials``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from lab.checks.model import CLIENT, Check, Expectation, Outcome, Severity, Trust
from lab.plan import MTLS_SERVICE, TLS_SERVICE

CLIENT_SIDE = "The client's side: which servers a client refuses"
PROTOCOL = "The protocol: what the servers speak"
RESUMPTION = "mTLS: resumed sessions"
SMALL_SERVER = "mtlslab-serve"
"""The service of checks that ask none of the lab's: a server of verify's own, for one connection."""

_SERVED = Expectation(Outcome.SERVED)
_ALERT = Expectation(Outcome.REFUSED_BY_ALERT)
_GOOD_SERVER = "client-accepts-good-server"
_TRY_IT = "This is about the client, not about the lab's servers. Try it again: mtlslab serve"


def _untrusted(reason: str) -> Expectation:
    return Expectation(Outcome.CLIENT_REFUSES_SERVER, reason=reason)


def _client_check(what: str, title: str, server: str, expect: Expectation, why: str, hint: str = "") -> Check:
    """A check of the client with a small server; TLS versions do not differ in what they say about certificates."""
    return Check(
        id=f"client-{what}",
        title=title,
        category=CLIENT_SIDE,
        service=SMALL_SERVER,
        expect=expect,
        why=why,
        hint=hint or f"{_TRY_IT} {server}.",
        trial=f"server-{server}",
        versions=(),
        depends=None if server == "good" else _GOOD_SERVER,
    )


_CLIENT_ENTRIES = (
    _client_check(
        "accepts-good-server",
        "a client accepts a server whose certificate is in order",
        "good",
        _SERVED,
        "The good case comes first: signed by the CA that the client trusts, valid now, for servers (RFC 5280 section "
        "6.1), and for this host (RFC 9525). In each of the next checks one of these is missing, and nothing else.",
        "The certificate is made for this check and signed by certs/server-ca.key: is that key there, and is the clock "
        "right?",
    ),
    _client_check(
        "refuses-other-ca",
        "a client refuses a server whose certificate is of another CA",
        "other-ca",
        _untrusted(r"unable to (get|verify)"),
        "Everything in that certificate may be true, but nobody whom the client trusts says so (RFC 5280 section "
        "6.1). This is the server of an attacker in the middle.",
    ),
    _client_check(
        "refuses-self-signed",
        "a client refuses a server with a self-signed certificate",
        "self-signed",
        _untrusted(r"self.signed"),
        "Such a certificate vouches for itself. It can be trusted only if the client got it beforehand, on a way "
        "that nobody could meddle with (RFC 5280 section 6.1).",
    ),
    _client_check(
        "refuses-wrong-host",
        "a client refuses a server whose certificate names another host",
        "wrong-host",
        _untrusted(r"host ?name mismatch"),
        "The CA says truly who holds that key, but it is not whom the client called (RFC 9525 section 6). Without "
        "this check, everybody who has any certificate of the CA could pose as every server.",
    ),
    _client_check(
        "refuses-expired",
        "a client refuses a server whose certificate has expired",
        "expired",
        _untrusted(r"expired"),
        "What the CA said was true until yesterday (RFC 5280 section 4.1.2.5). Expiry bounds the time in which a "
        "stolen key is of use, and in which revocation must be looked up.",
    ),
    _client_check(
        "refuses-not-yet-valid",
        "a client refuses a server whose certificate is not valid yet",
        "not-yet-valid",
        _untrusted(r"not yet valid"),
        "Its time begins tomorrow (RFC 5280 section 4.1.2.5). In practice this error means that somebody's clock is "
        "wrong: often that of a small device without a battery.",
    ),
    _client_check(
        "refuses-client-certificate",
        "a client refuses a server that shows a client's certificate",
        "client-auth-only",
        _untrusted(r"purpose"),
        "Its extended key usage says clientAuth and not serverAuth (RFC 5280 section 4.2.1.12). A client of the "
        "same CA cannot pose as a server then.",
    ),
    dataclasses.replace(
        _client_check(
            "accepts-common-name",
            "OpenSSL and curl still read the host from the common name if there is no subjectAltName",
            "common-name-only",
            _SERVED,
            "RFC 9525 section 2 has done away with this; browsers and Go refuse such a certificate, and so does a "
            "Python client with hostname_checks_common_name = False. A server's names belong into the subjectAltName: "
            "whoever leaves them out has clients that differ.",
            "A client that refuses is stricter than those known to the lab, and right. See it: mtlslab serve "
            "common-name-only.",
        ),
        severity=Severity.ADVISORY,
    ),
    _client_check(
        "accepts-chain",
        "a client accepts a server that sends its intermediate CA along",
        "chain",
        _SERVED,
        "The client trusts the root only, and the root has signed the intermediate CA that signed the server. Who "
        "sends the chain lets the client follow it (RFC 8446 section 4.4.2).",
    ),
    dataclasses.replace(
        _client_check(
            "refuses-incomplete-chain",
            "a client refuses a server that does not send its intermediate CA along",
            "chain-incomplete",
            _untrusted(r"unable to (get|verify)"),
            "The most frequent fault of real servers: the certificate is good, but one link to the root is missing. "
            "Browsers often hide it, because they remember intermediates or fetch them; curl and programs rely on what "
            "the server sends (RFC 8446 section 4.4.2).",
            "In nginx, ssl_certificate names a file with the leaf first and its intermediates after it. Try it again: "
            "mtlslab serve chain-incomplete.",
        ),
        depends="client-accepts-chain",
    ),
    dataclasses.replace(
        _client_check(
            "insecure-accepts-any-server",
            "--insecure makes a client accept every one of these servers",
            "good",
            _SERVED,
            "Expired, for another host, of nobody known: with --insecure the client skips all of RFC 5280 section 6.1 "
            "and RFC 9525. It is no repair for a certificate error, but the end of all certainty about who is there.",
            "This is about the client, not about the lab's servers. Try it again with any of them: mtlslab serve "
            "self-signed.",
        ),
        trial="any-server",
        trust=Trust.ANYONE,
        depends=_GOOD_SERVER,
    ),
)


@dataclasses.dataclass(frozen=True)
class _Side:
    """One of the lab's services, as a check of both names it."""

    prefix: str
    name: str
    service: str
    control: str
    credential: str | None


_SIDES = (
    _Side("tls", "the TLS server", TLS_SERVICE, "tls-serves-with-ca", None),
    _Side("mtls", "the mTLS server", MTLS_SERVICE, "mtls-serves-client-certificate", CLIENT),
)


def _both() -> Iterator[Check]:
    """The checks that ask the same of both services."""
    for side in _SIDES:
        yield from _trust_entries(side)
        yield from _first_word_entries(side)
        yield from _version_entries(side)
        yield from _alpn_entries(side)


def _trust_entries(side: _Side) -> Iterator[Check]:
    yield Check(
        id=f"{side.prefix}-untrusted-with-client-ca",
        title=f"a client that takes the client CA for its trust anchor does not trust {side.name}",
        category=CLIENT_SIDE,
        service=side.service,
        credential=side.credential,
        trial="client-ca-as-anchor",
        expect=_untrusted(r"unable to (get|verify)|self.signed"),
        depends=side.control,
        why="The usual mix-up: --cacert names the CA that signed the server, --cert what the client CA signed. Being "
        "the lab's own is not enough; the client's anchor must be the CA at the end of the server's chain (RFC 5280 "
        "section 6.1).",
        hint="ssl_certificate must name a certificate of the server CA: the two CAs of the lab are separate.",
    )
    yield Check(
        id=f"{side.prefix}-untrusted-by-other-name",
        title=f"a client that calls {side.name} by another name does not trust it",
        category=CLIENT_SIDE,
        service=side.service,
        credential=side.credential,
        trial="other-name",
        expect=_untrusted(r"host ?name mismatch"),
        depends=side.control,
        why="The certificate is good and the CA trusted, but the name in the URL is not in the subjectAltName (RFC "
        "9525 section 6). What counts is the name that the client asked for, not the address behind it.",
        hint="The server's certificate must name its own hosts only: see mtlslab certs list.",
    )


def _first_word_entries(side: _Side) -> Iterator[Check]:
    """What the server refuses at the first word, before it asks for a certificate."""
    once = Check(
        id=f"{side.prefix}-refuses-plain-http",
        title=f"{side.name} gives nothing to a client that speaks HTTP without TLS",
        category=PROTOCOL,
        service=side.service,
        trial="plain-http",
        expect=Expectation(Outcome.OTHER_STATUS),
        depends=f"{side.control}.tls12",
        versions=(),
        why="nginx notices that these are not the bytes of a handshake, and answers 400 'The plain HTTP request was "
        "sent to HTTPS port' in clear (its internal code 497). Whatever the client sent, cookies and passwords too, "
        "has crossed the network readable all the same: hence the scheme https (RFC 9110 section 4.2.2).",
        hint="The port needs listen ... ssl; and no error_page 497 that leads to a page.",
    )
    yield once
    yield from (_old_version_entry(once, side, version) for version in ("1.0", "1.1"))
    yield dataclasses.replace(
        once,
        id=f"{side.prefix}-refuses-broken-cipher-suites",
        title=f"{side.name} refuses a client that offers only cipher suites without protection",
        trial="broken-suites",
        expect=_ALERT,
        depends=side.control,
        versions=("1.2",),
        why="NULL suites do not encrypt, anonymous ones do not say who the server is, export suites, DES and RC4 have "
        "been broken (RFC 9325 section 4.1). The alert handshake_failure says that the two have no suite in common.",
        hint="ssl_ciphers must keep !aNULL and must not lower @SECLEVEL; nginx's default is HIGH:!aNULL:!MD5.",
    )
    yield dataclasses.replace(
        once,
        id=f"{side.prefix}-refuses-downgraded-client",
        title=f"{side.name} notices that a client was made to speak an older version",
        trial="fallback",
        expect=_ALERT,
        depends=side.control,
        versions=("1.2",),
        why="A client that tries again with an older version says so with TLS_FALLBACK_SCSV (RFC 7507). A server that "
        "speaks a newer one knows then that somebody has torn the first attempt, and refuses: "
        "inappropriate_fallback.",
        hint="ssl_protocols must contain TLSv1.3: without a better version, there is no downgrade to notice.",
    )


def _old_version_entry(like: Check, side: _Side, version: str) -> Check:
    return dataclasses.replace(
        like,
        id=f"{side.prefix}-refuses-tls{version.replace('.', '')}",
        title=f"{side.name} refuses TLS {version}",
        trial=f"tls{version.replace('.', '')}",
        expect=_ALERT,
        why=f"TLS {version} rests on SHA-1 and MD5 and is forbidden since 2021 (RFC 8996). The server must answer "
        "with the alert protocol_version; a client that refuses itself proves nothing about the server, so the "
        "ClientHello is made by hand.",
        hint="ssl_protocols TLSv1.2 TLSv1.3; and no ssl_ciphers with @SECLEVEL=0.",
    )


def _version_entries(side: _Side) -> Iterator[Check]:
    yield Check(
        id=f"{side.prefix}-chooses-tls13",
        title=f"{side.name} chooses TLS 1.3 when the client speaks both",
        category=PROTOCOL,
        service=side.service,
        credential=side.credential,
        trial="best-version",
        expect=_SERVED,
        depends=f"{side.control}.tls13",
        versions=(),
        why="The client offers all that it speaks, the server chooses (RFC 8446 section 4.2.1). In TLS 1.3 the "
        "client's certificate crosses the network encrypted; in TLS 1.2 everybody on the way can read it.",
        hint="ssl_protocols must contain TLSv1.3.",
    )
    yield Check(
        id=f"{side.prefix}-refuses-renegotiation",
        title=f"{side.name} refuses a second handshake within a connection",
        category=PROTOCOL,
        service=side.service,
        credential=side.credential,
        trial="renegotiation",
        expect=_ALERT,
        depends=side.control,
        versions=("1.2",),
        why="In TLS 1.2 a client may ask to shake hands again. Attackers used that to put their own request before "
        "somebody else's (RFC 5746), and to make servers work for nothing. nginx answers no_renegotiation; TLS 1.3 has "
        "done away with it.",
        hint="nginx never renegotiates: is it nginx that listens on this port?",
    )


def _alpn_entries(side: _Side) -> Iterator[Check]:
    chooses = Check(
        id=f"{side.prefix}-chooses-http11",
        title=f"{side.name} chooses HTTP/1.1 when the client offers HTTP/2 as well",
        category=PROTOCOL,
        service=side.service,
        credential=side.credential,
        trial="alpn-http",
        expect=_SERVED,
        depends=side.control,
        severity=Severity.ADVISORY,
        why="In the handshake the client says which protocols it can speak inside, and the server chooses one that it "
        "speaks itself (ALPN, RFC 7301). The lab leaves HTTP/2 out so that each request is one connection, easy to "
        "follow in the log.",
        hint="http2 on; (or listen ... http2) was added to nginx.conf: no harm, but not what was rendered.",
    )
    yield chooses
    yield dataclasses.replace(
        chooses,
        id=f"{side.prefix}-refuses-unknown-protocol",
        title=f"{side.name} refuses a client that speaks no HTTP at all",
        trial="alpn-unknown",
        expect=_ALERT,
        why="A server that answers whatever the client says it speaks can be used to confuse that client's protocol "
        "with its own. RFC 7301 section 3.2 asks for the alert no_application_protocol when there is none in common.",
        hint="nginx does so from version 1.21.4 on: is it an older one, or not nginx at all?",
    )


_RESUMPTION_ENTRIES = (
    Check(
        id="mtls-refuses-ticket-of-tls-server",
        title="a session of the TLS server opens nothing at the mTLS server",
        category=RESUMPTION,
        service=MTLS_SERVICE,
        trial="ticket-of-other-server",
        expect=Expectation(Outcome.REFUSED_NO_CERTIFICATE),
        depends="mtls-serves-client-certificate",
        why="A client can resume a session with a ticket instead of a certificate (RFC 8446 section 2.2). The TLS "
        "server gives tickets to everybody: if the mTLS server took one for its own, nobody would need a certificate.",
        hint="ssl_verify_client on; and no ssl_session_ticket_key or ssl_session_cache that both services share.",
    ),
    Check(
        id="mtls-resumes-client",
        title="the mTLS server still knows the client when its session is resumed",
        category=RESUMPTION,
        service=MTLS_SERVICE,
        credential=CLIENT,
        trial="resume-here",
        expect=Expectation(Outcome.SERVED, identified=True),
        depends="mtls-serves-client-certificate",
        why="The certificate is not sent again: the server takes the client's identity from the session, which is "
        "inside the ticket (RFC 8446 section 2.2). So a client whose certificate has expired meanwhile stays in until "
        "its session ends (ssl_session_timeout).",
        hint="The same client gets in with a full handshake; look at ssl_session_tickets and ssl_session_cache.",
    ),
    Check(
        id="mtls-refuses-resumed-without-certificate",
        title="a session that was refused for want of a certificate is refused when resumed",
        category=RESUMPTION,
        service=MTLS_SERVICE,
        trial="resume-here",
        expect=Expectation(Outcome.REFUSED_NO_CERTIFICATE),
        depends="mtls-serves-client-certificate",
        why="nginx refuses with an HTTP answer, after a handshake that has succeeded: so even a refused client "
        "holds a ticket (RFC 8446 section 4.6.1). It must be worth nothing.",
        hint="ssl_verify_client must be on, not optional or off, in nginx-mtls/nginx.conf; then mtlslab reload.",
    ),
    Check(
        id="mtls-refuses-resumed-expired",
        title="a session that was refused for an expired certificate is refused when resumed",
        category=RESUMPTION,
        service=MTLS_SERVICE,
        credential="expired",
        trial="resume-here",
        expect=Expectation(Outcome.REFUSED_CERTIFICATE, reason="expired"),
        depends="mtls-serves-client-certificate",
        why="The ticket (RFC 8446 section 4.6.1) holds what the server made of the certificate, good or bad. nginx "
        "looks at that result for each request, also in a resumed session.",
        hint="ssl_verify_client must be on, in nginx-mtls/nginx.conf; then mtlslab reload.",
    ),
)

ENTRIES: tuple[Check, ...] = (*_CLIENT_ENTRIES, *_both(), *_RESUMPTION_ENTRIES)

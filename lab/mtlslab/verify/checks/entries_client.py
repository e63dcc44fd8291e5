"""Checks of the client: which servers it refuses. Each asks a small server of verify's own."""

from __future__ import annotations

import dataclasses

from mtlslab.pki.faults import Outcome, Severity
from mtlslab.verify.checks.model import CLIENT_SIDE, SMALL_SERVER, Entry, Expectation, Trust

_SERVED = Expectation(Outcome.SERVED)
_GOOD_SERVER = "client-accepts-good-server"
_TRY_IT = "This is about the client, not about the lab's servers. Try it again: mtlslab serve"
_BLIND = "Give the client --insecure: it then takes the page, whoever serves it."
_NO_ANCHOR = "Leave --cacert out: the client then knows nobody who vouches for this server."


def _untrusted(reason: str) -> Expectation:
    return Expectation(Outcome.CLIENT_REFUSES_SERVER, reason=reason)


def _client_check(
    what: str,
    title: str,
    server: str,
    expect: Expectation,
    why: str,
    hint: str = "",
    *,
    rfc: str = "RFC 5280 section 6.1",
    sabotage: str = "",
) -> Entry:
    """A check of the client with a small server; TLS versions do not differ in what they say about certificates."""
    return Entry(
        id=f"client-{what}",
        title=title,
        category=CLIENT_SIDE,
        service=SMALL_SERVER,
        expect=expect,
        why=why,
        hint=hint or f"{_TRY_IT} {server}.",
        rfc=rfc,
        directive="none: this is the client's choice",
        sabotage=sabotage or (_NO_ANCHOR if expect.outcome is Outcome.SERVED else _BLIND),
        procedure=f"server-{server}",
        versions=(),
        depends=None if server == "good" else _GOOD_SERVER,
    )


ENTRIES: tuple[Entry, ...] = (
    _client_check(
        "accepts-good-server",
        "a client accepts a server whose certificate is in order",
        "good",
        _SERVED,
        "The good case comes first: signed by the CA that the client trusts, valid now, for servers (RFC 5280 section "
        "6.1), and for this host (RFC 9525). In each of the next checks one of these is missing, and nothing else.",
        "The certificate is made for this check and signed by certs/server-ca.key: is that key there, and is the clock "
        "right?",
        rfc="RFC 5280 section 6.1, RFC 9525",
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
        rfc="RFC 9525 section 6",
    ),
    _client_check(
        "refuses-expired",
        "a client refuses a server whose certificate has expired",
        "expired",
        _untrusted(r"expired"),
        "What the CA said was true until yesterday (RFC 5280 section 4.1.2.5). Expiry bounds the time in which a "
        "stolen key is of use, and in which revocation must be looked up.",
        rfc="RFC 5280 section 4.1.2.5",
    ),
    _client_check(
        "refuses-not-yet-valid",
        "a client refuses a server whose certificate is not valid yet",
        "not-yet-valid",
        _untrusted(r"not yet valid"),
        "Its time begins tomorrow (RFC 5280 section 4.1.2.5). In practice this error means that somebody's clock is "
        "wrong: often that of a small device without a battery.",
        rfc="RFC 5280 section 4.1.2.5",
    ),
    _client_check(
        "refuses-client-certificate",
        "a client refuses a server that shows a client's certificate",
        "client-auth-only",
        _untrusted(r"purpose"),
        "Its extended key usage says clientAuth and not serverAuth (RFC 5280 section 4.2.1.12). A client of the "
        "same CA cannot pose as a server then.",
        rfc="RFC 5280 section 4.2.1.12",
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
            rfc="RFC 9525 section 2",
            sabotage="Ask it with a client that reads the subjectAltName only: a browser, or a program in Go.",
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
        rfc="RFC 8446 section 4.4.2",
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
            rfc="RFC 8446 section 4.4.2",
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
            rfc="RFC 8446 appendix C.2",
            sabotage="Leave --insecure out: the client then refuses all of them but the good one.",
        ),
        procedure="any-server",
        trust=Trust.ANYONE,
        depends=_GOOD_SERVER,
    ),
)

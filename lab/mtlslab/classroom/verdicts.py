"""Pages about what ``mtlslab audit`` says of a server: what was seen, what follows, what to do."""

from __future__ import annotations

from mtlslab.audit.report import CLIENT_AUTH_WORDS, ClientAuth
from mtlslab.classroom.page import Page

_AUDIT = (
    *("mtlslab", "audit", "https://localhost:8889", "--cacert", "certs/server-ca.crt"),
    *("--cert", "certs/client.crt", "--key", "certs/client.key", "--path", "/hello-world.txt"),
)
_REQUIRE = (
    "nginx: ssl_verify_client on; Apache: SSLVerifyClient require; HAProxy: verify required; Envoy: "
    "require_client_certificate; Python: CERT_REQUIRED; Go: RequireAndVerifyClientCert; Node: requestCert and "
    "rejectUnauthorized; Java: setNeedClientAuth"
)
_FAILS = "exit status 1"


def _page(
    auth: ClientAuth, status: str, *, tried: str, why: str, directive: str, hint: str, sabotage: str = "", rfc: str = ""
) -> Page:
    return Page(
        id=f"verdict-{auth.value}",
        title=CLIENT_AUTH_WORDS[auth],
        severity=status,
        tried=tried,
        happens=f"audit says {auth.value} (server.client_auth in JSON) and ends with {status}.",
        why=why,
        rfc=rfc or "RFC 8446 section 4.3.2 (CertificateRequest)",
        directive=directive,
        hint=hint,
        sabotage=sabotage,
        prepare=(),
        command=(),
        run=_AUDIT,
    )


_PAGES = (
    _page(
        ClientAuth.NONE,
        _FAILS,
        tried="On each TLS version that the server speaks, clients connect with certificates and without. "
        "Nobody is sent "
        "a CertificateRequest: not in the handshake, not by renegotiation, not after it (TLS 1.3).",
        why="Without a CertificateRequest no client can show a certificate. Whatever the server refuses "
        "then, it refuses "
        "for another reason: a limit, a password, a page that is not there. So no refusal of such a server counts.",
        directive="nginx: ssl_verify_client off (its default); Apache: SSLVerifyClient none",
        hint=f"Have the server ask, and insist. {_REQUIRE}. Perhaps only one name or one page asks: --sni, --path.",
        sabotage="mtlslab audit https://localhost:8888 (the lab's TLS server) has this verdict.",
    ),
    _page(
        ClientAuth.REQUESTED,
        _FAILS,
        tried="The server sends a CertificateRequest. A client that answers it with no certificate is served "
        "all the same.",
        why="A server that asks leaves it to somebody else to insist: to the program behind it, which often does not. "
        "TLS calls both the same, and curl shows no difference as long as one has a certificate.",
        directive="nginx: ssl_verify_client optional or optional_no_ca; Python: CERT_OPTIONAL; Go: "
        "VerifyClientCertIfGiven",
        hint=f"{_REQUIRE}. If the program behind it refuses by a page with status 200, tell the protected page apart: "
        "--expect TEXT.",
        sabotage="In nginx-mtls/nginx.conf: ssl_verify_client optional; then mtlslab reload.",
    ),
    _page(
        ClientAuth.ANY_CERTIFICATE,
        _FAILS,
        tried="A client without a certificate is refused. One with a self-signed certificate, or of a CA that nobody "
        "knows, is served.",
        why="Anybody can make a certificate within a second. A server that asks for one and does not verify who signed "
        "it knows nothing about its clients.",
        directive="Go: RequireAnyClientCert; OpenSSL: a verify callback that always says yes",
        hint=f"Have the chain verified up to the client CA. {_REQUIRE}.",
        rfc="RFC 5280 section 6 (path validation)",
        sabotage="In nginx-mtls/nginx.conf: ssl_verify_client optional_no_ca; then mtlslab reload: clients without a "
        "certificate get in as well, so that it is called requested-not-enforced.",
    ),
    _page(
        ClientAuth.ONLY_A_NAME,
        _FAILS,
        tried="Strangers are refused, except for one: a certificate that bears all names of the authorised client, "
        "signed by itself or by a CA that has the real one's name and nothing else of it. That needs --cert.",
        why="A name in a certificate is worth what its signature is worth. A rule like: subject contains "
        "CN=alice, on a "
        "server that does not verify the chain, lets in whoever writes alice into a certificate of his own.",
        directive="nginx: optional_no_ca with if ($ssl_client_s_dn ...); Node: getPeerCertificate() without authorized",
        hint="Verify first ($ssl_client_verify = SUCCESS, authorized, verify required), then compare names; or compare "
        "the fingerprint of the whole certificate.",
        rfc="RFC 5280 section 6 (path validation)",
    ),
    _page(
        ClientAuth.REQUIRED,
        "exit status 0",
        tried="Clients without a certificate, with a self-signed one, of unknown CAs, and (with --cert) with all names "
        "of the authorised client are refused, twice; the authorised client is served before, between and after.",
        why="A refusal proves something only if it is about the certificate: so the authorised client comes again, and "
        "the verdict says whether it rests on the handshake or on HTTP. Without --cert, that strangers are refused is "
        "all that was seen. If the client that was given is refused too, the exit status is 1; a minted one (6) may "
        "simply not be known. Under --strict, a warning makes it 1.",
        directive=_REQUIRE,
        hint="More can be told with the client CA's key (--client-ca-cert, --client-ca-key): expiry, purpose, chains.",
    ),
    _page(
        ClientAuth.WITH_HOLES,
        "exit status 0 (1 where a hole is no matter of taste, or under --strict)",
        tried="Strangers are refused. Some certificates that only the client CA's key can make are let in, which nginx "
        "and RFC 5280 refuse: expired ones, others' purposes, broken chains, the CA's own certificate, SHA-1.",
        why="Whoever holds the CA's key needs no trick, so that odd certificates of it are a warning. Dates, "
        "purposes and "
        "chains that nobody looks at are a failure: an old key stays good for ever, any server's certificate is a "
        "client's.",
        directive="the verify callback or the TLS library; nginx refuses all of them",
        hint="The checks named in the report tell which they are; mtlslab explain has a page about each fault.",
        rfc="RFC 5280 sections 4.2 and 6",
    ),
    _page(
        ClientAuth.NOT_THE_SAME,
        _FAILS,
        tried="Of attempts that were alike, some were asked for a certificate or refused, and others were let in.",
        why="Behind one name there may be several servers, and behind one address a balancer. If one of them is open, "
        "whoever comes often enough gets in.",
        directive="the balancer's list of back ends; each server's own configuration",
        hint="Audit each server by itself: --connect-to ADDRESS, with --sni where the name matters.",
        rfc="RFC 9110 section 7.4",
    ),
    _page(
        ClientAuth.UNKNOWN,
        "exit status 6",
        tried="What came back fits a refusal and a failure alike: no answer in time, a status that everybody may get "
        "(404, 429, 5xx, a redirect), a connection that is closed without a word, an untrusted server.",
        why="A guess would be worth nothing to whoever relies on it. The report names what would decide it.",
        directive="none: it is about what could be seen from here",
        hint="A client of one's own to compare with: --cert, --key. A page that it may see: --path. Words of "
        "that page: "
        "--expect. More time: --timeout. The CA of the server: --cacert.",
        rfc="RFC 9110 section 15",
    ),
)
VERDICT_PAGES = {page.id: page for page in _PAGES}
"""The pages by their ids, ``verdict-`` before the verdict: one of these has the name of a fault."""

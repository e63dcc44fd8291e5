"""Checks of keys and certificates as files, and of the certificates that the servers show."""

from __future__ import annotations

from mtlslab.pki.faults import Outcome
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.verify.checks.model import FILES, Entry, Expectation

_NOTHING_ASKED = Expectation(Outcome.SERVED)
_ANEW = "Issue everything anew: mtlslab up --rotate-certs. What you brought: mtlslab certs import."

ENTRIES = (
    Entry(
        id="mtls-keys-are-private",
        title="the lab's private keys are readable by their owner only, wherever they lie",
        category=FILES,
        service=MTLS_SERVICE,
        expect=_NOTHING_ASKED,
        why="Mutual TLS proves who holds a key. A key that everybody on the machine may read proves nothing: with the "
        "server's they play the server, with the client CA's they make clients. Keys are found by what a file holds: "
        "copies have other names.",
        hint="chmod 600 the file that is named. If others may have read it: mtlslab up --rotate-certs; for what you "
        "brought, mtlslab certs import.",
        rfc="RFC 5280 section 8",
        directive="ssl_certificate_key",
        sabotage="cp certs/server.key nginx-mtls/notes.txt; chmod 644 nginx-mtls/notes.txt",
        procedure="private-keys",
        versions=(),
    ),
    Entry(
        id="mtls-files-are-the-owners",
        title="nobody else may change anything in the lab's directory",
        category=FILES,
        service=MTLS_SERVICE,
        expect=_NOTHING_ASKED,
        why="Whoever may write into certs/ replaces the CA: then their clients are the authorised ones. Whoever may "
        "write nginx.conf, or a directory that holds it, decides who is asked at all.",
        hint="Look at what is in it, then close it: chmod -R go-w. and chown to yourself.",
        rfc="RFC 5280 section 8, CWE-732",
        directive="ssl_client_certificate, ssl_crl, include",
        sabotage="chmod 666 docker-compose.yml or a file that nginx includes.",
        procedure="owners",
        versions=(),
    ),
    Entry(
        id="mtls-keys-have-one-role",
        title="each key of the lab has one role: CA, server or client",
        category=FILES,
        service=MTLS_SERVICE,
        expect=_NOTHING_ASKED,
        why="With one key for server and client, the client's laptop plays the server. With a CA's key in a leaf, the "
        "host that holds it for its connections issues certificates as well.",
        hint=_ANEW,
        rfc="RFC 5280 section 8, NIST SP 800-57 part 1 section 5.2",
        directive="ssl_certificate_key",
        sabotage="Issue certs/client.crt for the key of certs/server.crt.",
        procedure="one-role",
        versions=(),
    ),
    Entry(
        id="mtls-certificates-have-one-purpose",
        title="the certificates of server and clients are no CAs, and good for their own side only",
        category=FILES,
        service=MTLS_SERVICE,
        expect=_NOTHING_ASKED,
        why="A client with CA:TRUE makes further clients, which the server then takes. A certificate for both sides "
        "turns a client that was lost into a server, or a server into a client.",
        hint=_ANEW,
        rfc="RFC 5280 sections 4.2.1.3, 4.2.1.9 and 4.2.1.12",
        directive="ssl_certificate, ssl_verify_depth",
        sabotage="Issue certs/client.crt with basicConstraints CA:TRUE.",
        procedure="purposes",
        versions=(),
    ),
    Entry(
        id="mtls-certificate-names-are-as-asked",
        title="the servers' certificates name what the lab was asked for, and nobody else",
        category=FILES,
        service=MTLS_SERVICE,
        expect=_NOTHING_ASKED,
        why="A further name in the certificate is a further server that its holder can play, to everybody who trusts "
        "the server CA. Nothing on the lab's own address shows it.",
        hint="mtlslab up issues the certificate for the lab's own names and those of --host.",
        rfc="RFC 9525 section 6",
        directive="ssl_certificate",
        sabotage="Issue certs/server.crt with bank.test in its subjectAltName.",
        procedure="names",
        versions=(),
    ),
    Entry(
        id="mtls-certificates-last",
        title="no certificate of the lab ends within a week",
        category=FILES,
        service=MTLS_SERVICE,
        expect=_NOTHING_ASKED,
        why="A certificate that ends is an outage with a date: a week before, it is time to renew it; a day before, "
        "it is late. The CAs count as well: with them all that they issued ends.",
        hint="mtlslab up renews what is about to end.",
        rfc="RFC 5280 section 4.1.2.5",
        directive="ssl_certificate, ssl_client_certificate",
        sabotage="Issue certs/server.crt for five minutes.",
        procedure="dates",
        versions=(),
    ),
    Entry(
        id="mtls-servers-show-good-certificates",
        title="every certificate that the servers can show is right, whatever the client asks for",
        category=FILES,
        service=MTLS_SERVICE,
        expect=_NOTHING_ASKED,
        why="nginx may have an RSA certificate beside one with an EC key, and others for other names. Which one is "
        "shown is the client's choice: each must be in its time, for this server, and for nothing else.",
        hint="Look at every ssl_certificate in both nginx.conf, then at the files that they name.",
        rfc="RFC 5246 section 7.4.2, RFC 8446 section 4.4.2.2",
        directive="ssl_certificate, server_name",
        sabotage="A second ssl_certificate for an RSA key, which has expired.",
        procedure="shown",
        versions=(),
    ),
)

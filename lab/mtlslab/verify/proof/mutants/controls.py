"""Twins in which nothing is wrong: as rendered, or written otherwise. A check that fails there is a false alarm."""

from __future__ import annotations

from mtlslab import pki
from mtlslab.plan.paths import CLIENT_CA, CRL_DIRECTORY, SERVER_CA, SERVER_CA_KEY, SERVER_CERT
from mtlslab.runtime.ports import free_port
from mtlslab.verify.proof.mutants.model import (
    CIPHERS,
    CLIENT_CA_FILE,
    FIRST_SERVER,
    PROTOCOLS,
    VERIFY_CLIENT,
    add_file,
    add_server,
    add_to_http,
    add_to_server,
    faithful,
    offer_http2,
)
from mtlslab.verify.proof.twins import LOOPBACK, Twin
from mtlslab.workspace.credentials import load_ca

_DAYS = 30


@faithful()
def twin(_twin: Twin) -> None:
    """A faithful twin: nothing is wrong."""


@faithful(crl=True)
def twin_crl(_twin: Twin) -> None:
    """A faithful twin that checks a revocation list."""


@faithful()
def twin_in_another_order(twin: Twin) -> None:
    """The same directives in the http block, quoted, with comments."""
    for directive in (r"ssl_verify_client on;", r"ssl_client_certificate [^;]*;", r"ssl_verify_depth 1;"):
        twin.edit(directive, "# } ssl_verify_client off;")
    trust = "ssl_verify_depth '1'; \"ssl_verify_client\" on; ssl_client_certificate '../certs/client-ca.crt';"
    add_to_http(twin, trust)


@faithful()
def twin_with_another_name(twin: Twin) -> None:
    """One more server_name, and an empty one."""
    twin.edit(r"server_name mtls-hello-world;", 'server_name mtls-hello-world lecture.test "";')


@faithful()
def twin_with_a_chain(twin: Twin) -> None:
    """The server sends the certificate of its CA along."""
    chain = (twin.workspace.read(SERVER_CERT) or b"") + (twin.workspace.read(SERVER_CA) or b"")
    add_file(twin, "chain.crt", chain)
    twin.edit(r"ssl_certificate \.\./certs/server\.crt;", "ssl_certificate chain.crt;")


@faithful()
def twin_trusts_the_same_ca_twice(twin: Twin) -> None:
    """ssl_trusted_certificate names a copy of the client CA."""
    add_file(twin, "again.crt", twin.workspace.read(CLIENT_CA) or b"")
    twin.edit(VERIFY_CLIENT, "ssl_verify_client on; ssl_trusted_certificate again.crt;")


@faithful()
def twin_with_a_bundle_of_one(twin: Twin) -> None:
    """The client CA stands twice in a bundle of its own."""
    add_file(twin, "bundle.crt", (twin.workspace.read(CLIENT_CA) or b"") * 2)
    twin.edit(CLIENT_CA_FILE, "bundle.crt")


@faithful()
def twin_with_another_log_format(twin: Twin) -> None:
    """The log has another name, and the same fields."""
    twin.edit(r"log_format lab ", "log_format theirs ")
    twin.edit(r"access_log /dev/stdout lab;", "access_log /dev/stdout theirs;")


@faithful()
def twin_with_a_second_rule(twin: Twin) -> None:
    """ssl_verify_client on, and a rule that refuses all but SUCCESS as well."""
    twin.edit(VERIFY_CLIENT, "ssl_verify_client on; if ($ssl_client_verify != SUCCESS) { return 403; }")


@faithful()
def twin_for_reading_only(twin: Twin) -> None:
    """Methods that the page does not need are refused."""
    add_to_server(twin, "if ($request_method !~ ^(GET|HEAD|POST)$) { return 405; }")


@faithful()
def twin_with_a_page_for_refusals(twin: Twin) -> None:
    """Refusals are a 403 with a text of their own."""
    add_to_server(twin, 'error_page 495 496 =403 @refused; location @refused { return 403 "No.\\n"; }')


@faithful()
def twin_with_unauthorised(twin: Twin) -> None:
    """Refusals are a 401, without a word about certificates."""
    add_to_server(twin, "error_page 495 496 =401 @refused; location @refused { return 401; }")


@faithful()
def twin_with_a_login(twin: Twin) -> None:
    """Whoever is refused is sent to a page to log in."""
    add_to_server(twin, "error_page 495 496 =302 @login; location @login { return 302 https://login.test/; }")


@faithful()
def twin_that_hangs_up_on_other_names(twin: Twin) -> None:
    """Whoever asks for another name is not answered."""
    _is_localhost(twin)
    add_server(twin, "include listen.conf; server_name ~^; return 444;")


@faithful()
def twin_that_rejects_other_names(twin: Twin) -> None:
    """Whoever asks for another name gets no handshake (ssl_reject_handshake)."""
    _is_localhost(twin)
    add_server(twin, "include listen.conf; server_name ~^; ssl_reject_handshake on;")


@faithful(only=("door-", "config-"))
def twin_with_a_strict_default(twin: Twin) -> None:
    """The server has the name that clients use, and a first one rejects all other names."""
    twin.edit(r"server_name mtls-hello-world;", "server_name mtls-hello-world localhost;")
    # The protocols of the first server count for all of them, and nginx before 1.23.4 left TLS 1.3 out by default.
    strict = "include listen.conf; server_name nobody.test; ssl_reject_handshake on; ssl_protocols TLSv1.2 TLSv1.3;"
    twin.edit(FIRST_SERVER, f"\n    server {{ {strict} }}\n    server {{")


@faithful(only=("door-",))
def twin_with_a_port_that_leads_to_tls(twin: Twin) -> None:
    """HTTP at a further port is redirected to HTTPS."""
    add_server(twin, f"listen {LOOPBACK}:{free_port(LOOPBACK)}; return 301 https://$host:{twin.spec.mtls_port}$uri;")


@faithful()
def twin_with_a_complete_rule(twin: Twin) -> None:
    """ssl_verify_client optional, and a rule by a map that refuses all but SUCCESS."""
    add_to_http(twin, "map $ssl_client_verify $refuse { default 1; SUCCESS 0; }")
    twin.edit(VERIFY_CLIENT, "ssl_verify_client optional; if ($refuse) { return 403; }")


@faithful()
def twin_with_http2(twin: Twin) -> None:
    """HTTP/2 is offered, too."""
    offer_http2(twin)


@faithful()
def twin_with_a_shared_cache(twin: Twin) -> None:
    """Sessions lie in a shared cache, and there is no revocation list that they could outlive."""
    add_to_server(twin, "ssl_session_cache shared:lab:1m;")


@faithful()
def twin_with_tls13_only(twin: Twin) -> None:
    """TLS 1.2 is switched off."""
    twin.edit(PROTOCOLS, "ssl_protocols TLSv1.3;")


@faithful()
def twin_with_chacha_only(twin: Twin) -> None:
    """ChaCha20 is the only encryption, on TLS 1.2 and 1.3."""
    suites = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    command = "ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;"
    twin.edit(CIPHERS, f"ssl_ciphers {suites}; {command}")


@faithful(crl=True)
def twin_with_two_certificates(twin: Twin) -> None:
    """The server has a certificate for an RSA key, too."""
    ca, key = load_ca(twin.lab, SERVER_CA, SERVER_CA_KEY), pki.new_key("rsa-2048")
    leaf = pki.issue_server_leaf(ca, key, twin.spec.server_names, now=twin.now, days=_DAYS)
    add_file(twin, "second.crt", leaf.certificate_pem())
    # In the directory of the list: of certs/, a container sees single files only.
    path = f"{CRL_DIRECTORY}/second.key"
    twin.workspace.write_key(path, leaf.key_pem(), owner=twin.workspace.key_owner())
    add_to_server(twin, f"ssl_certificate second.crt; ssl_certificate_key ../{path};")


def _is_localhost(twin: Twin) -> None:
    twin.edit(r"server_name mtls-hello-world;", "server_name mtls-hello-world localhost;")

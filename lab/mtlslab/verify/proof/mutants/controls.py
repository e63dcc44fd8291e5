"""Twins in which nothing is wrong: as rendered, or written otherwise. A check that fails there is a false alarm."""

from __future__ import annotations

from mtlslab import pki
from mtlslab.plan.paths import CLIENT_CA, SERVER_CA, SERVER_CA_KEY, SERVER_CERT
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.verify.proof.mutants.model import (
    CLIENT_CA_FILE,
    RULES,
    VERIFY_CLIENT,
    add_file,
    add_server,
    add_to_http,
    add_to_server,
    faithful,
)
from mtlslab.verify.proof.twins import Twin
from mtlslab.workspace.credentials import load

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


@faithful(only=RULES)
def twin_with_a_page_for_refusals(twin: Twin) -> None:
    """Refusals are a 403 with a text of their own."""
    add_to_server(twin, 'error_page 495 496 =403 @refused; location @refused { return 403 "No.\\n"; }')


@faithful(only=RULES)
def twin_that_hangs_up_on_other_names(twin: Twin) -> None:
    """Whoever asks for another name is not answered."""
    add_server(twin, "include listen.conf; server_name ~^; return 444;")


@faithful(only=RULES)
def twin_that_rejects_other_names(twin: Twin) -> None:
    """Whoever asks for another name gets no handshake (ssl_reject_handshake)."""
    add_server(twin, "include listen.conf; server_name ~^; ssl_reject_handshake on;")


@faithful(only=RULES)
def twin_with_a_complete_rule(twin: Twin) -> None:
    """ssl_verify_client optional, and a rule by a map that refuses all but SUCCESS."""
    add_to_http(twin, "map $ssl_client_verify $refuse { default 1; SUCCESS 0; }")
    twin.edit(VERIFY_CLIENT, "ssl_verify_client optional; if ($refuse) { return 403; }")


@faithful()
def twin_with_two_certificates(twin: Twin) -> None:
    """The server has a certificate for an RSA key, too."""
    ca, key = load(twin.lab, SERVER_CA, SERVER_CA_KEY), pki.new_key("rsa-2048")
    leaf = pki.issue_server_leaf(ca, key, twin.spec.server_names, now=twin.now, days=_DAYS)
    add_file(twin, "second.crt", leaf.certificate_pem())
    # In certs/, a container would not see it.
    twin.workspace.write_key(f"{MTLS_SERVICE}/keys/second.key", leaf.key_pem(), owner=twin.workspace.key_owner())
    add_to_server(twin, "ssl_certificate second.crt; ssl_certificate_key keys/second.key;")

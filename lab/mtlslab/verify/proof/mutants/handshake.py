"""Mutants that show from the outside: in the handshake, in the answer, in the server's certificate."""

from __future__ import annotations

import datetime

from mtlslab import pki
from mtlslab.pki.crl import issue_crl
from mtlslab.plan.paths import CLIENT_CA, CRL, SERVER_CA, SERVER_CA_KEY, SERVER_CERT, SERVER_KEY
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.runtime.ports import free_port
from mtlslab.verify.proof.mutants.model import (
    CIPHERS,
    CLIENT_CA_FILE,
    FIRST_SERVER,
    LOCATION,
    OPEN_SERVER,
    PROTOCOLS,
    VERIFY_CLIENT,
    mutant,
)
from mtlslab.verify.proof.twins import Twin
from mtlslab.workspace.credentials import load, load_client_ca

# --- whether the server asks, and insists


@mutant()
def verify_off(twin: Twin) -> None:
    """The server does not ask for a certificate (ssl_verify_client off)."""
    twin.edit(VERIFY_CLIENT, "ssl_verify_client off;")


@mutant()
def verify_optional(twin: Twin) -> None:
    """The server asks, but does not insist (ssl_verify_client optional)."""
    twin.edit(VERIFY_CLIENT, "ssl_verify_client optional;")


@mutant()
def verify_optional_no_ca(twin: Twin) -> None:
    """The server takes a certificate of any CA (ssl_verify_client optional_no_ca)."""
    twin.edit(VERIFY_CLIENT, "ssl_verify_client optional_no_ca;")


@mutant()
def only_presence_is_checked(twin: Twin) -> None:
    """Any certificate will do, as long as there is one (optional_no_ca and a rule that only looks for NONE)."""
    twin.edit(VERIFY_CLIENT, "ssl_verify_client optional_no_ca; if ($ssl_client_verify = NONE) { return 400; }")


@mutant()
def errors_become_success(twin: Twin) -> None:
    """Refusals are turned into a served page (error_page 495 496 =200)."""
    twin.edit(VERIFY_CLIENT, "ssl_verify_client on; error_page 495 496 =200 /hello-world.txt;")


@mutant()
def tls_service_on_the_mtls_port(twin: Twin) -> None:
    """The mTLS port serves the configuration of the TLS service."""
    content = (twin.workspace.read(f"{TLS_SERVICE}/nginx.conf") or b"").decode()
    twin.workspace.write(f"{MTLS_SERVICE}/nginx.conf", content.replace(TLS_SERVICE, MTLS_SERVICE).encode())


@mutant()
def mutual_tls_on_both_ports(twin: Twin) -> None:
    """The TLS service asks for certificates as well."""
    twin.edit(PROTOCOLS, "ssl_protocols TLSv1.2 TLSv1.3; ssl_verify_client optional_no_ca;", TLS_SERVICE)


# --- whom the server trusts


@mutant()
def wrong_client_ca(twin: Twin) -> None:
    """The server trusts the server CA in place of the client CA."""
    # Beside nginx.conf, because a container sees no other CA of the lab.
    twin.workspace.write("nginx-mtls/wrong-ca.crt", twin.workspace.read(SERVER_CA) or b"")
    twin.edit(CLIENT_CA_FILE, "wrong-ca.crt")


@mutant()
def server_ca_is_trusted_too(twin: Twin) -> None:
    """The server CA stands in the bundle of client CAs, so that its certificates open the door."""
    both = (twin.workspace.read(CLIENT_CA) or b"") + (twin.workspace.read(SERVER_CA) or b"")
    twin.workspace.write("nginx-mtls/bundle.crt", both)
    twin.edit(CLIENT_CA_FILE, "bundle.crt")


@mutant()
def server_ca_is_trusted_silently(twin: Twin) -> None:
    """The server trusts the server CA as well, and does not announce it (ssl_trusted_certificate)."""
    twin.workspace.write("nginx-mtls/more.crt", twin.workspace.read(SERVER_CA) or b"")
    twin.edit(VERIFY_CLIENT, "ssl_verify_client on; ssl_trusted_certificate more.crt;")


@mutant()
def stranger_is_trusted_too(twin: Twin) -> None:
    """A CA of somebody else stands in the bundle of client CAs."""
    stranger = pki.issue_ca("somebody else's CA", pki.new_key("ec-p256"), now=twin.now, days=30, path_length=0)
    bundle = (twin.workspace.read(CLIENT_CA) or b"") + stranger.certificate_pem()
    twin.workspace.write("nginx-mtls/bundle.crt", bundle)
    twin.edit(CLIENT_CA_FILE, "bundle.crt")


@mutant(crl=True)
def empty_crl(twin: Twin) -> None:
    """The revocation list has lost its entries."""
    ca = load_client_ca(twin.lab)
    twin.workspace.write(CRL, issue_crl(ca, {}, now=twin.now, number=99, days=30))


@mutant(crl=True)
def crl_is_not_checked(twin: Twin) -> None:
    """The server does not look at the revocation list (no ssl_crl)."""
    twin.edit(r"ssl_crl [^;]*;", "")


@mutant(crl=True)
def expired_crl(twin: Twin) -> None:
    """The revocation list has expired, so that the server refuses everyone."""
    ca = load_client_ca(twin.lab)
    long_ago = twin.now - datetime.timedelta(days=10)
    twin.workspace.write(CRL, issue_crl(ca, {}, now=long_ago, number=99, days=1))


@mutant()
def depth_0(twin: Twin) -> None:
    """No intermediate CA is allowed (ssl_verify_depth 0)."""
    twin.edit(r"ssl_verify_depth 1;", "ssl_verify_depth 0;")


@mutant()
def depth_9(twin: Twin) -> None:
    """Chains of any length are allowed (ssl_verify_depth 9)."""
    twin.edit(r"ssl_verify_depth 1;", "ssl_verify_depth 9;")


# --- which TLS the server speaks


@mutant()
def old_protocols(twin: Twin) -> None:
    """TLS 1.0 and 1.1 are allowed."""
    twin.edit(PROTOCOLS, "ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;")
    twin.edit(CIPHERS, "ssl_ciphers DEFAULT:@SECLEVEL=0;")


@mutant()
def tls12_only(twin: Twin) -> None:
    """TLS 1.3 is switched off."""
    twin.edit(PROTOCOLS, "ssl_protocols TLSv1.2;")


@mutant()
def anonymous_ciphers(twin: Twin) -> None:
    """Cipher suites without a server certificate are allowed (aNULL)."""
    twin.edit(CIPHERS, "ssl_ciphers ALL:aNULL:@SECLEVEL=0;")


@mutant()
def plain_http(twin: Twin) -> None:
    """The mTLS port serves plain HTTP."""
    for file in ("listen.conf", "listen.container.conf"):
        twin.edit_file(f"{MTLS_SERVICE}/{file}", r" ssl;", ";")


@mutant()
def proxy_to_the_tls_service(twin: Twin) -> None:
    """The mTLS port passes every connection on to a server that does not ask."""
    # To a port inside the same nginx: in a container the other service is another machine.
    port = free_port("127.0.0.1")
    inner = f"\n    server {{\n        listen 127.0.0.1:{port};\n        location / {{ root nginx-mtls; }}\n    }}\n"
    twin.edit(VERIFY_CLIENT, "ssl_verify_client off;")
    twin.edit(LOCATION, f"location = /hello-world.txt {{ proxy_pass http://127.0.0.1:{port}; }}")
    twin.edit(FIRST_SERVER, inner + "\n    server {")


@mutant()
def other_name_other_rules(twin: Twin) -> None:
    """Whoever asks for another host name reaches a server that does not ask for a certificate."""
    twin.edit(r"server_name mtls-hello-world;", "server_name localhost 127.0.0.1;")
    twin.edit(FIRST_SERVER, OPEN_SERVER)


@mutant()
def no_name_other_rules(twin: Twin) -> None:
    """Whoever asks for an address, and so for no host name, reaches a server that does not ask for a certificate."""
    twin.edit(r"server_name mtls-hello-world;", "server_name ~[a-z];")
    twin.edit(FIRST_SERVER, OPEN_SERVER)


# --- who the server is


@mutant()
def certificate_of_another_host(twin: Twin) -> None:
    """The server shows a certificate for another host name."""
    _server_certificate(twin, hosts=("elsewhere.test",))


@mutant()
def expired_server_certificate(twin: Twin) -> None:
    """The server's certificate has expired."""
    _server_certificate(twin, now=twin.now - datetime.timedelta(days=30), days=10)


@mutant()
def self_signed_server_certificate(twin: Twin) -> None:
    """The server shows a certificate that no CA signed."""
    key = pki.new_key("ec-p256")
    first, last = pki.validity(twin.now, 10)
    extensions = pki.server_extensions(key, twin.spec.server_names)
    subject = pki.distinguished_name("localhost")
    _replace_server(twin, pki.issue(subject, key, extensions, issuer=None, not_before=first, not_after=last))


@mutant()
def server_certificate_of_the_client_ca(twin: Twin) -> None:
    """The server's certificate comes from the client CA."""
    key = pki.new_key("ec-p256")
    ca = load_client_ca(twin.lab)
    _replace_server(twin, pki.issue_server_leaf(ca, key, twin.spec.server_names, now=twin.now, days=10))


@mutant()
def server_key_readable_by_all(twin: Twin) -> None:
    """Everybody on the machine may read the server's private key."""
    _server_certificate(twin, days=1)  # not the lab's own key: somebody may really read it
    (twin.workspace.directory / SERVER_KEY).chmod(0o644)


# --- what the server tells


@mutant()
def says_success_to_everyone(twin: Twin) -> None:
    """The server takes any certificate, and claims in its header that all of them are fine."""
    twin.edit(VERIFY_CLIENT, "ssl_verify_client optional_no_ca;")
    twin.edit(r"add_header X-SSL-Client-Verify [^;]*;", "add_header X-SSL-Client-Verify SUCCESS always;")


@mutant()
def wrong_page(twin: Twin) -> None:
    """The authorised client is let in and finds nothing."""
    twin.edit(LOCATION, "location = /hello-world.txt { return 404; }")


def _server_certificate(
    twin: Twin, *, hosts: tuple[str, ...] = (), now: datetime.datetime | None = None, days: int = 10
) -> None:
    ca = load(twin.lab, SERVER_CA, SERVER_CA_KEY)
    key = pki.new_key("ec-p256")
    names = hosts or twin.spec.server_names
    _replace_server(twin, pki.issue_server_leaf(ca, key, names, now=now or twin.now, days=days))


def _replace_server(twin: Twin, credential: pki.Credential) -> None:
    workspace = twin.workspace
    workspace.write_key(SERVER_KEY, credential.key_pem(), owner=workspace.key_owner())
    workspace.write(SERVER_CERT, credential.certificate_pem())

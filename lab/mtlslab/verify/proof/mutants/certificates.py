"""Mutants in keys, files, names and dates."""

from __future__ import annotations

import base64
import datetime

from mtlslab import pki
from mtlslab.pki.purposes import for_both_sides
from mtlslab.plan.paths import CLIENT_CERT, SERVER_CA, SERVER_CA_KEY, SERVER_CERT, SERVER_KEY
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.verify.proof.mutants.model import add_file, add_to_server, mutant
from mtlslab.verify.proof.twins import Twin
from mtlslab.workspace.credentials import load, load_client_ca
from mtlslab.workspace.export import export_p12

_PRIVATE, _OWNERS, _ROLES = ("mtls-keys-are-private",), ("mtls-files-are-the-owners",), ("mtls-keys-have-one-role",)
_PURPOSES, _NAMES, _DATES = (
    ("mtls-certificates-have-one-purpose",),
    ("mtls-certificate-names-are-as-asked",),
    ("mtls-certificates-last",),
)
_SHOWN = ("mtls-servers-show-good-certificates",)
_DAYS = 300
_PAGE = "location / { root nginx-mtls; }"


def _server_ca(twin: Twin) -> pki.Credential:
    return load(twin.lab, SERVER_CA, SERVER_CA_KEY)


def _put_server(twin: Twin, leaf: pki.Credential) -> None:
    twin.workspace.write_key(SERVER_KEY, leaf.key_pem(), owner=twin.workspace.key_owner())
    twin.workspace.write(SERVER_CERT, leaf.certificate_pem())


def _server_leaf(
    twin: Twin, *more: str, key_type: str = "ec-p256", days: int = _DAYS, at: datetime.datetime | None = None
) -> pki.Credential:
    names = (*twin.spec.server_names, *more)
    return pki.issue_server_leaf(_server_ca(twin), pki.new_key(key_type), names, now=at or twin.now, days=days)


def _client_leaf(twin: Twin, extensions: pki.Extensions, key: pki.PrivateKey | None = None) -> pki.Credential:
    ca, (first, last) = load_client_ca(twin.lab), pki.validity(twin.now, _DAYS)
    subject = pki.distinguished_name("client")
    key = key or pki.new_key("ec-p256")
    return pki.issue(subject, key, extensions, issuer=ca, not_before=first, not_after=last)


def _beside(twin: Twin, leaf: pki.Credential) -> str:
    """Further directives: a certificate beside the usual one, for another key type."""
    name = add_file(twin, "second.crt", leaf.certificate_pem())
    # In certs/, a container would not see it.
    twin.workspace.write_key(f"{MTLS_SERVICE}/keys/second.key", leaf.key_pem(), owner=twin.workspace.key_owner())
    return f"ssl_certificate {name}; ssl_certificate_key keys/second.key;"


def _key_of_nobody() -> bytes:
    # What lies open to everybody, even for a moment, must open nothing.
    return pki.key_pem(pki.new_key("rsa-2048"))


@mutant(only=_PRIVATE)
def copy_of_the_key(twin: Twin) -> None:
    """A key lies open beside nginx.conf, under another name."""
    add_file(twin, "nginx.conf.orig", b"# before the change\n" + _key_of_nobody())


@mutant(only=_PRIVATE)
def key_in_binary(twin: Twin) -> None:
    """A private key lies open in DER, where nothing says what it is."""
    lines = _key_of_nobody().splitlines()
    twin.workspace.write("certs/backup", base64.b64decode(b"".join(lines[1:-1])))


@mutant(only=_PRIVATE)
def key_in_a_key_store(twin: Twin) -> None:
    """The key store of a client (PKCS #12) lies open; its password may be anything."""
    ca = pki.issue_lab_ca("client", twin.spec, pki.new_key("ec-p256"), now=twin.now)  # nobody trusts it
    leaf = pki.issue_client_leaf(ca, pki.new_key("ec-p256"), "alice", now=twin.now, days=1)
    twin.workspace.write_key("certs/alice.key", leaf.key_pem())
    twin.workspace.write("certs/alice.crt", leaf.certificate_pem())
    path = twin.workspace.directory / export_p12(twin.workspace, "alice", "password")
    path.chmod(0o644)


@mutant(only=_PRIVATE)
def key_in_a_certificate_file(twin: Twin) -> None:
    """The server's certificate file holds a key as well, and is open as certificates are."""
    twin.workspace.write(SERVER_CERT, (twin.workspace.read(SERVER_CERT) or b"") + _key_of_nobody())


@mutant(only=_OWNERS)
def notes_for_everybody(twin: Twin) -> None:
    """Everybody may write a directory in which credentials are kept."""
    twin.workspace.write("certs/clients/readme.txt", b"The clients of the second group.\n")
    (twin.workspace.directory / "certs/clients").chmod(0o777)


@mutant(only=_OWNERS)
def certificate_for_everybody(twin: Twin) -> None:
    """Everybody may write the certificate of a further client."""
    twin.workspace.write("certs/alice.crt", twin.workspace.read(SERVER_CERT) or b"")
    (twin.workspace.directory / "certs/alice.crt").chmod(0o666)


@mutant(only=_ROLES)
def client_with_the_key_of_the_server(twin: Twin) -> None:
    """Server and client have one key."""
    server = load(twin.workspace, SERVER_CERT, SERVER_KEY)
    leaf = _client_leaf(twin, pki.client_extensions(["client"]), server.key)
    twin.workspace.write(CLIENT_CERT, leaf.certificate_pem())


@mutant(only=_PURPOSES)
def client_that_is_a_ca(twin: Twin) -> None:
    """The client's certificate says CA:TRUE: the client makes further clients."""
    twin.workspace.write(CLIENT_CERT, _client_leaf(twin, pki.ca_extensions(0)).certificate_pem())


@mutant(only=_PURPOSES)
def server_that_is_a_client(twin: Twin) -> None:
    """The server's certificate is good for clients, too."""
    key, (first, last) = pki.new_key("ec-p256"), pki.validity(twin.now, _DAYS)
    extensions = for_both_sides(pki.server_extensions(key, twin.spec.server_names))
    subject = pki.distinguished_name("localhost")
    leaf = pki.issue(subject, key, extensions, issuer=_server_ca(twin), not_before=first, not_after=last)
    _put_server(twin, leaf)


@mutant(only=_NAMES)
def name_of_a_bank(twin: Twin) -> None:
    """The server's certificate also names a server that is not the lab's."""
    _put_server(twin, _server_leaf(twin, "bank.test"))


@mutant(only=_NAMES)
def any_name_below_a_domain(twin: Twin) -> None:
    """The server's certificate also names every host of a domain."""
    _put_server(twin, _server_leaf(twin, "*.lecture.test"))


@mutant(only=_DATES)
def five_minutes_left(twin: Twin) -> None:
    """The server's certificate ends in five minutes."""
    begin = twin.now - datetime.timedelta(days=1) + datetime.timedelta(minutes=5)
    _put_server(twin, _server_leaf(twin, days=1, at=begin))


@mutant(only=_DATES)
def other_name_of_today(twin: Twin) -> None:
    """A server of another name has a certificate that ends within the hour."""
    begin = twin.now - datetime.timedelta(days=1) + datetime.timedelta(hours=1)
    leaf = _server_leaf(twin, days=1, at=begin)
    trust = "ssl_client_certificate ../certs/client-ca.crt; ssl_verify_client on;"
    certificate = _beside(twin, leaf)
    server = f"server {{ {certificate} {trust} include listen.conf; server_name other.test; {_PAGE} }}"
    twin.edit(r"\n\}\s*\Z", f"\n    {server}\n}}\n")


@mutant(only=_SHOWN)
def second_certificate_has_expired(twin: Twin) -> None:
    """The certificate for clients with RSA only has expired; the usual one is right."""
    begin = twin.now - datetime.timedelta(days=9)
    other = "rsa-2048" if not twin.spec.key_type.startswith("rsa") else "ec-p256"
    add_to_server(twin, _beside(twin, _server_leaf(twin, days=2, key_type=other, at=begin)))


@mutant(only=_SHOWN)
def second_certificate_for_a_bank(twin: Twin) -> None:
    """A certificate for another key type names a server that is not the lab's."""
    other = "rsa-2048" if not twin.spec.key_type.startswith("rsa") else "ec-p256"
    add_to_server(twin, _beside(twin, _server_leaf(twin, "bank.test", key_type=other)))

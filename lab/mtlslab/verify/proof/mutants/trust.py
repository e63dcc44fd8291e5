"""Mutants in whom the server trusts, and in who was taken back."""

from __future__ import annotations

from mtlslab import pki
from mtlslab.pki.crl import issue_crl
from mtlslab.plan.paths import CLIENT_CA, CRL
from mtlslab.verify.proof.mutants.model import (
    CLIENT_CA_FILE,
    RULES,
    VERIFY_CLIENT,
    add_file,
    add_server,
    add_to_http,
    mutant,
)
from mtlslab.verify.proof.twins import Twin
from mtlslab.workspace.credentials import load_client_ca

_PAGE = "location / { root nginx-mtls; }"


def _stranger(twin: Twin, name: str = "somebody else's CA", organization: str = "") -> bytes:
    """The certificate of a CA that is not the lab's."""
    key = pki.new_key("ec-p256")
    return pki.issue_ca(name, key, now=twin.now, days=30, organization=organization).certificate_pem()


@mutant(only=RULES)
def old_ca_of_the_same_name(twin: Twin) -> None:
    """An older client CA of the same name is still in the bundle: a client sees one name."""
    same_name = _stranger(twin, f"{twin.lab.directory.name} client CA", twin.lab.directory.name)
    add_file(twin, "bundle.crt", same_name + (twin.workspace.read(CLIENT_CA) or b""))
    twin.edit(CLIENT_CA_FILE, "bundle.crt")


@mutant(only=RULES)
def stranger_is_trusted_for_stapling(twin: Twin) -> None:
    """A CA of somebody else is trusted and not announced (ssl_trusted_certificate in the http block)."""
    add_file(twin, "staple.crt", _stranger(twin))
    add_to_http(twin, "ssl_trusted_certificate 'staple.crt';")


@mutant(only=RULES)
def stranger_with_another_label(twin: Twin) -> None:
    """A CA of somebody else is trusted, as OpenSSL's TRUSTED CERTIFICATE."""
    labelled = _stranger(twin).replace(b" CERTIFICATE-", b" TRUSTED CERTIFICATE-")
    add_file(twin, "bundle.crt", (twin.workspace.read(CLIENT_CA) or b"") + labelled)
    twin.edit(CLIENT_CA_FILE, "bundle.crt")


@mutant(only=RULES)
def other_ca_for_another_name(twin: Twin) -> None:
    """A server of another name insists on a certificate, of a CA of somebody else."""
    add_file(twin, "other.crt", _stranger(twin))
    trust = "ssl_client_certificate other.crt; ssl_verify_client on;"
    add_server(twin, f"include listen.conf; server_name intranet.test; {trust} {_PAGE}")


@mutant(only=RULES)
def depth_from_outside(twin: Twin) -> None:
    """Chains of any length are allowed, from the http block."""
    twin.edit(r"ssl_verify_depth 1;", "")
    add_to_http(twin, 'ssl_verify_depth "9";')


@mutant(only=RULES)
def list_without_a_reader(twin: Twin) -> None:
    """There is a revocation list, and the server was never set up to read it."""
    twin.workspace.write(CRL, issue_crl(load_client_ca(twin.lab), {}, now=twin.now, number=1, days=30))


@mutant(crl=True, only=RULES)
def older_list(twin: Twin) -> None:
    """The server reads an older list of the same CA, which is still in its time."""
    add_file(twin, "older.crl", issue_crl(load_client_ca(twin.lab), {}, now=twin.now, number=1, days=30))
    twin.edit(r"ssl_crl [^;]*;", "ssl_crl older.crl;")


@mutant(crl=True, only=RULES)
def list_for_one_name_only(twin: Twin) -> None:
    """A server of another name takes certificates of the client CA, and does not look at the list."""
    trust = "ssl_client_certificate ../certs/client-ca.crt; ssl_verify_client on;"
    add_server(twin, f"include listen.conf; server_name intranet.test; {trust} {_PAGE}")


@mutant(crl=True, only=RULES)
def sessions_outlive_the_list(twin: Twin) -> None:
    """A shared cache of sessions outlives the reload that brings a new list."""
    add_to_http(twin, "ssl_session_cache builtin:1000 shared:sessions:1m;")


@mutant(only=RULES)
def optional_in_the_http_block(twin: Twin) -> None:
    """The http block asks without insisting, and the server says nothing."""
    twin.edit(VERIFY_CLIENT, "")
    add_to_http(twin, "ssl_verify_client 'optional';")

"""The lab's certificates are what the tutorial's openssl commands make, and what strict verifiers ask for."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from mtlslab import pki
from mtlslab.plan.spec import KEY_TYPES, LabSpec

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)


@pytest.fixture(scope="module", params=KEY_TYPES)
def made(request: pytest.FixtureRequest) -> pki.Pki:
    """The PKI of one lab, once for each key type."""
    return pki.issue_pki(LabSpec(name="course", key_type=request.param, hosts=("lab.example", "192.0.2.7")), now=NOW)


@pytest.fixture(scope="module")
def quick() -> pki.Pki:
    return pki.issue_pki(LabSpec(key_type="ec-p256"), now=NOW)


def extension(credential: pki.Credential, kind: type[x509.ExtensionType]) -> x509.Extension[x509.ExtensionType]:
    return credential.certificate.extensions.get_extension_for_class(kind)


def everyone(made: pki.Pki) -> tuple[pki.Credential, ...]:
    return made.server_ca, made.client_ca, made.server, made.client


# --- what strict verifiers say


@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_accepts_each_leaf_strictly_for_its_own_purpose_only(
    made: pki.Pki, purpose: str, tmp_path: Path
) -> None:
    """Each leaf verifies against its own CA and purpose, and neither against the other's."""
    for name, one in zip(("sca", "cca", "server", "client"), everyone(made), strict=True):
        (tmp_path / name).write_bytes(one.certificate_pem())
    verdicts = {}
    for ca, leaf in (("sca", "server"), ("cca", "client"), ("sca", "client"), ("cca", "server")):
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca, leaf]
        verdicts[ca, leaf] = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    good = ("sca", "server") if purpose == "sslserver" else ("cca", "client")
    assert [pair for pair, accepted in verdicts.items() if accepted] == [good]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "lab.example", "192.0.2.7"])
def test_openssl_accepts_the_server_for_every_name_and_address(made: pki.Pki, name: str, tmp_path: Path) -> None:
    (tmp_path / "ca").write_bytes(made.server_ca.certificate_pem())
    (tmp_path / "leaf").write_bytes(made.server.certificate_pem())
    option = "-verify_hostname" if name[0].isalpha() else "-verify_ip"
    command = ["openssl", "verify", option, name, "-CAfile", "ca", "leaf"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_pycas_web_pki_verifier_accepts_both_leaves(made: pki.Pki) -> None:
    """It demands an AKI, and a SAN on clients. Ed25519, which the web PKI does not use, it refuses on principle."""
    server = PolicyBuilder().store(Store([made.server_ca.certificate])).time(NOW)
    client = PolicyBuilder().store(Store([made.client_ca.certificate])).time(NOW)
    of_the_web = made.server.certificate.signature_hash_algorithm is not None
    with contextlib.nullcontext() if of_the_web else pytest.raises(VerificationError, match="algorithm"):
        server.build_server_verifier(x509.DNSName("localhost")).verify(made.server.certificate, [])
    with contextlib.nullcontext() if of_the_web else pytest.raises(VerificationError, match="algorithm"):
        client.build_client_verifier().verify(made.client.certificate, [])


def test_python_finishes_a_strict_mutual_handshake(made: pki.Pki, tmp_path: Path) -> None:
    """VERIFY_X509_STRICT is the default of Python >= 3.13; both sides use it here."""
    for name, one in zip(("sca", "cca", "server", "client"), everyone(made), strict=True):
        (tmp_path / name).write_bytes(one.certificate_pem() + (one.key_pem() if name in ("server", "client") else b""))
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "cca")
    listening.load_cert_chain(tmp_path / "server")
    listening.verify_mode = ssl.CERT_REQUIRED
    calling = ssl.create_default_context(cafile=tmp_path / "sca")
    calling.load_cert_chain(tmp_path / "client")
    for context in (listening, calling):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    left, right = socket.socketpair()
    seen: list[object] = []

    def serve() -> None:
        with listening.wrap_socket(left, server_side=True) as tls:
            seen.append(tls.getpeercert())
            tls.sendall(b"in")

    thread = threading.Thread(target=serve)
    thread.start()
    with calling.wrap_socket(right, server_hostname="localhost") as tls:
        assert tls.recv(2) == b"in"
    thread.join()
    assert "client" in str(seen[0])


@pytest.mark.clients
def test_java_reads_the_certificates(quick: pki.Pki, tmp_path: Path) -> None:
    if not shutil.which("keytool") and os.environ.get("MTLSLAB_REQUIRE_CLIENTS") != "1":
        pytest.skip("no Java on this machine")
    (tmp_path / "server.crt").write_bytes(quick.server.certificate_pem())
    command = ["keytool", "-printcert", "-file", "server.crt"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert "DNSName: localhost" in said


# --- what the certificates say


def test_the_server_leaf_says_what_the_tutorials_localhost_ext_says(made: pki.Pki) -> None:
    constraints = extension(made.server, x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=False, path_length=None)
    usage = extension(made.server, x509.KeyUsage).value
    assert isinstance(usage, x509.KeyUsage)
    assert usage.digital_signature
    assert usage.content_commitment
    enciphers = pki.key_type_of(made.server.key).startswith("rsa-")
    assert usage.key_encipherment == usage.data_encipherment == enciphers
    assert extension(made.server, x509.ExtendedKeyUsage).value == x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.SERVER_AUTH]
    )


def test_the_client_leaf_is_for_clients_and_names_itself(made: pki.Pki) -> None:
    assert made.client.certificate.subject.rfc4514_string() == "CN=client,O=course"
    assert extension(made.client, x509.ExtendedKeyUsage).value == x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    assert extension(made.client, x509.SubjectAlternativeName).value == pki.alternative_names(["client"])


def test_cas_may_sign_certificates_and_crls_and_nothing_else(made: pki.Pki) -> None:
    for ca, path_length in ((made.server_ca, 0), (made.client_ca, 1)):
        constraints, usage = extension(ca, x509.BasicConstraints), extension(ca, x509.KeyUsage)
        assert constraints.critical
        assert usage.critical
        assert constraints.value == x509.BasicConstraints(ca=True, path_length=path_length)
        assert usage.value == pki.key_usage("key_cert_sign", "crl_sign")


def test_every_certificate_has_key_identifiers_that_lead_to_its_issuer(made: pki.Pki) -> None:
    issuers = (made.server_ca, made.client_ca, made.server_ca, made.client_ca)
    for one, issuer in zip(everyone(made), issuers, strict=True):
        authority = extension(one, x509.AuthorityKeyIdentifier).value
        subject = extension(issuer, x509.SubjectKeyIdentifier).value
        assert isinstance(authority, x509.AuthorityKeyIdentifier)
        assert isinstance(subject, x509.SubjectKeyIdentifier)
        assert authority.key_identifier == subject.digest


def test_serial_numbers_are_random_and_differ(made: pki.Pki) -> None:
    serials = {one.certificate.serial_number for one in everyone(made)}
    assert len(serials) == 4
    assert min(serials).bit_length() > 64, "RFC 5280 section 4.1.2.2, and 64 bits of randomness as browsers ask"


def test_the_two_cas_are_two_and_carry_the_labs_name(made: pki.Pki) -> None:
    assert made.server_ca.certificate.subject.rfc4514_string() == "CN=course server CA,O=course"
    assert made.client_ca.certificate.subject.rfc4514_string() == "CN=course client CA,O=course"
    assert made.server_ca.key.public_key() != made.client_ca.key.public_key()


def test_keys_are_of_the_type_asked_for(made: pki.Pki, request: pytest.FixtureRequest) -> None:
    assert {pki.key_type_of(one.key) for one in everyone(made)} == {request.node.callspec.params["made"]}


def test_validity_begins_five_minutes_ago_and_lasts_the_days_asked_for(quick: pki.Pki) -> None:
    for one, days in zip(everyone(quick), (1000, 1000, 397, 397), strict=True):
        assert one.certificate.not_valid_before_utc == NOW - datetime.timedelta(minutes=5)
        assert one.certificate.not_valid_after_utc == NOW + datetime.timedelta(days=days)


def test_a_leaf_never_outlives_its_ca() -> None:
    made = pki.issue_pki(LabSpec(key_type="ec-p256", days=397, ca_days=30), now=NOW)
    assert made.server.certificate.not_valid_after_utc == made.server_ca.certificate.not_valid_after_utc
    assert made.client.certificate.not_valid_after_utc == made.client_ca.certificate.not_valid_after_utc


def test_the_longest_validity_and_the_longest_names_can_be_issued() -> None:
    host = ".".join(["a" * 60] * 4)
    spec = LabSpec(name="n" * 40, key_type="ec-p256", days=36500, ca_days=36500, hosts=(host, "*.example.com"))
    made = pki.issue_pki(spec, now=NOW)
    assert x509.DNSName(host) in list(extension(made.server, x509.SubjectAlternativeName).value)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("anna", x509.DNSName), ("10.1.2.3", x509.IPAddress), ("fe80::1", x509.IPAddress),
        ("anna@example.org", x509.RFC822Name), ("Anna Müller", x509.DirectoryName),
    ],
)  # fmt: skip
def test_a_name_is_typed_by_its_shape(quick: pki.Pki, name: str, kind: type[x509.GeneralName]) -> None:
    leaf = pki.issue_client_leaf(quick.client_ca, pki.new_key("ec-p256"), name, now=NOW, days=1)
    names = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [type(one) for one in names] == [kind]
    assert leaf.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == name


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_common_name_that_x509_cannot_hold_is_refused(quick: pki.Pki, name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        pki.issue_client_leaf(quick.client_ca, pki.new_key("ec-p256"), name, now=NOW, days=1)


# --- files


@pytest.mark.parametrize("key_type", [*KEY_TYPES, "rsa-1024", "ec-p521"])
def test_a_credential_survives_being_written_and_read(key_type: str) -> None:
    key = pki.new_key(key_type)
    assert pki.key_type_of(key) == pki.key_type_of(key.public_key()) == key_type
    ca = pki.issue_ca("a CA", key, now=NOW, days=1)
    again = pki.load_credential(ca.certificate_pem(), ca.key_pem())
    assert again.certificate == ca.certificate
    assert again.key_pem() == ca.key_pem()


def test_the_chain_is_written_after_the_leaf_and_read_back(quick: pki.Pki) -> None:
    leaf = pki.Credential(quick.client.certificate, quick.client.key, (quick.client_ca.certificate,))
    assert pki.load_certificates(leaf.certificate_pem()) == [quick.client.certificate, quick.client_ca.certificate]
    assert pki.load_credential(leaf.certificate_pem(), leaf.key_pem()).chain == (quick.client_ca.certificate,)


def test_a_key_with_a_password_is_refused_in_words(quick: pki.Pki) -> None:
    locked = quick.client.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    with pytest.raises(ValueError, match="protected by a password"):
        pki.load_credential(quick.client.certificate_pem(), locked)


def test_a_key_of_another_certificate_is_refused_in_words(quick: pki.Pki) -> None:
    with pytest.raises(ValueError, match="does not belong"):
        pki.load_credential(quick.client.certificate_pem(), quick.server.key_pem())


def test_damaged_files_are_refused_in_words(quick: pki.Pki) -> None:
    certificate, key = quick.client.certificate_pem(), quick.client.key_pem()
    for damaged in (b"", certificate[:300], certificate.replace(b"M", b"N", 1), key):
        with pytest.raises(ValueError, match="no readable certificate"):
            pki.load_credential(damaged, key)
    for damaged in (b"", key[:60], certificate):
        with pytest.raises(ValueError, match="no readable private key"):
            pki.load_credential(certificate, damaged)


@pytest.mark.parametrize("key_type", ["", "dsa", "rsa", "rsa-512", "rsa-02048", "ec-p192", "ED25519"])
def test_an_unknown_key_type_is_refused(key_type: str) -> None:
    with pytest.raises(ValueError, match=r"key"):
        pki.new_key(key_type)


def test_a_private_key_does_not_show_when_a_credential_is_printed(quick: pki.Pki) -> None:
    assert "PrivateKey" not in repr(quick.client)
    assert "key" not in repr(quick)

"""What a certificate says, and which certificate files an `up` writes again."""

from __future__ import annotations

import dataclasses
import datetime
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from mtlslab import pki
from mtlslab.errors import SpecError
from mtlslab.pki import describe as certs
from mtlslab.plan.paths import (
    CLIENT_CA,
    CLIENT_CA_KEY,
    CLIENT_CERT,
    CLIENT_KEY,
    SERVER_CA,
    SERVER_CA_KEY,
    SERVER_CERT,
    SERVER_KEY,
)
from mtlslab.plan.spec import LabSpec
from mtlslab.workspace.renewal import PKI_FILES, renew_pki

NOW = datetime.datetime(2030, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
SPEC = LabSpec(key_type="ec-p256")


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """A lab's certificate files as the first `up` writes them."""
    return dict(renew_pki(SPEC, {}, NOW).files)


def credential(files: dict[str, bytes], certificate: str) -> pki.Credential:
    return pki.load_credential(files[certificate], files[certificate.replace(".crt", ".key")])


def assert_complete(files: dict[str, bytes], spec: LabSpec = SPEC) -> None:
    """All eight files are there, belong together, and a further renewal leaves them alone."""
    assert set(files) == set(PKI_FILES)
    for ca, leaf in ((SERVER_CA, SERVER_CERT), (CLIENT_CA, CLIENT_CERT)):
        assert pki.issued_by(credential(files, leaf).certificate, credential(files, ca).certificate)
    assert renew_pki(spec, files, NOW).files == {}


def test_nothing_there_issues_everything_and_says_nothing() -> None:
    update = renew_pki(SPEC, {}, NOW)
    assert update.messages == ()
    assert tuple(update.files) == PKI_FILES
    assert_complete(dict(update.files))


def test_a_good_lab_is_left_alone(files: dict[str, bytes]) -> None:
    update = renew_pki(SPEC, files, NOW + 300 * DAY)
    assert update.files == {}
    assert update.messages == ()


@pytest.mark.parametrize("written", range(len(PKI_FILES)))
def test_a_run_cut_short_after_any_file_is_completed_by_the_next(files: dict[str, bytes], written: int) -> None:
    half = {path: files[path] for path in PKI_FILES[:written]}
    update = renew_pki(SPEC, half, NOW)
    assert not set(update.files) & set(half), "what was written stays"
    assert_complete(half | dict(update.files))


@pytest.mark.parametrize("renewed", [("days", 1), ("key_type", "ec-p384")])
def test_a_renewal_cut_short_between_key_and_certificate_is_completed(
    files: dict[str, bytes], renewed: tuple[str, object]
) -> None:
    """The new key lies beside the old certificate: the certificate is issued for the key that is there."""
    spec = dataclasses.replace(SPEC, **dict([renewed]))  # type: ignore[arg-type]
    first = renew_pki(spec, files, NOW + 397 * DAY)
    path, content = next(iter(first.files.items()))
    after = files | {path: content}
    second = renew_pki(spec, after, NOW + 397 * DAY)
    assert path not in second.files
    assert_leaves_good(after | dict(second.files))


def assert_leaves_good(files: dict[str, bytes]) -> None:
    assert credential(files, SERVER_CERT)
    assert credential(files, CLIENT_CERT)


def test_an_expired_leaf_is_issued_again_for_the_same_key_and_says_so(files: dict[str, bytes]) -> None:
    later = NOW + 400 * DAY
    update = renew_pki(SPEC, files, later)
    assert set(update.files) == {SERVER_CERT, CLIENT_CERT}
    assert update.messages == (
        "Issued a new certs/server.crt: the old one expired at 2031-06-07 07:08 UTC.",
        "Issued a new certs/client.crt: the old one expired at 2031-06-07 07:08 UTC.",
    )
    renewed = credential(files | dict(update.files), SERVER_CERT)
    assert renewed.certificate.not_valid_after_utc > later + 300 * DAY


def test_a_leaf_is_issued_again_a_day_before_it_expires(files: dict[str, bytes]) -> None:
    end = credential(files, CLIENT_CERT).certificate.not_valid_after_utc
    assert renew_pki(SPEC, files, end - 1.01 * DAY).files == {}
    update = renew_pki(SPEC, files, end - 0.99 * DAY)
    assert set(update.files) == {SERVER_CERT, CLIENT_CERT}
    assert ["would expire at" in message for message in update.messages] == [True, True]


def test_a_leaf_made_for_one_day_is_not_about_to_expire_at_once() -> None:
    spec = dataclasses.replace(SPEC, days=1)
    files = renew_pki(spec, {}, NOW).files
    assert renew_pki(spec, files, NOW + 0.6 * DAY).files == {}
    assert set(renew_pki(spec, files, NOW + 0.7 * DAY).files) == {SERVER_CERT, CLIENT_CERT}


def test_a_leaf_that_ends_with_its_ca_is_not_issued_again_and_the_person_is_told() -> None:
    spec = dataclasses.replace(SPEC, ca_days=10)
    files = renew_pki(spec, {}, NOW).files
    update = renew_pki(spec, files, NOW + 9.5 * DAY)
    assert update.files == {}
    assert len(update.messages) == 2
    assert all("--rotate-certs" in message for message in update.messages)


def test_a_further_host_issues_the_server_certificate_again(files: dict[str, bytes]) -> None:
    spec = dataclasses.replace(SPEC, hosts=("lab.example", "192.0.2.7"))
    update = renew_pki(spec, files, NOW)
    assert set(update.files) == {SERVER_CERT}
    assert update.messages == ("Issued a new certs/server.crt: the old one was not valid for lab.example, 192.0.2.7.",)
    assert_complete(files | dict(update.files), spec)


def test_a_host_taken_back_keeps_the_certificate(files: dict[str, bytes]) -> None:
    wide = renew_pki(dataclasses.replace(SPEC, hosts=("lab.example",)), {}, NOW).files
    assert renew_pki(SPEC, wide, NOW).files == {}


def test_another_key_type_makes_new_leaves_with_new_keys_under_the_same_cas(files: dict[str, bytes]) -> None:
    spec = dataclasses.replace(SPEC, key_type="ed25519")
    update = renew_pki(spec, files, NOW)
    assert set(update.files) == {SERVER_KEY, SERVER_CERT, CLIENT_KEY, CLIENT_CERT}
    assert "its key was ec-p256, now it is ed25519" in update.messages[0]
    assert_complete(files | dict(update.files), spec)


@pytest.mark.parametrize(
    ("missing", "written", "reason"),
    [
        ({CLIENT_CERT}, {CLIENT_CERT}, "there was none"),
        ({CLIENT_KEY}, {CLIENT_KEY, CLIENT_CERT}, "certs/client.key was missing"),
        ({SERVER_CERT, SERVER_KEY}, {SERVER_KEY, SERVER_CERT}, "there was none"),
    ],
)
def test_a_missing_leaf_file_is_made_again(
    files: dict[str, bytes], missing: set[str], written: set[str], reason: str
) -> None:
    rest = {path: content for path, content in files.items() if path not in missing}
    update = renew_pki(SPEC, rest, NOW)
    assert set(update.files) == written
    assert reason in update.messages[0]
    assert_complete(rest | dict(update.files))


def test_a_damaged_leaf_certificate_is_made_again_for_the_same_key(files: dict[str, bytes]) -> None:
    update = renew_pki(SPEC, {**files, CLIENT_CERT: files[CLIENT_CERT][:200]}, NOW)
    aside = f"{CLIENT_CERT}.old-20300506-070809"
    assert set(update.files) == {CLIENT_CERT, aside}
    assert update.files[aside] == files[CLIENT_CERT][:200]
    assert update.messages[0] == f"Kept what was there as {aside}."
    assert "was damaged" in update.messages[1]
    assert_complete(files | {CLIENT_CERT: update.files[CLIENT_CERT]})


def test_a_leaf_that_the_lab_did_not_issue_is_never_replaced(files: dict[str, bytes]) -> None:
    """It has expired, though the CA's key is there to issue another: it is told about, and stays."""
    ca, own = credential(files, CLIENT_CA), credential(files, CLIENT_CERT)
    alice = pki.issue_client_leaf(ca, own.key, "alice", now=NOW, days=1)
    brought = {**files, CLIENT_CERT: alice.certificate_pem()}
    update = renew_pki(SPEC, brought, NOW + 2 * DAY)
    assert CLIENT_CERT not in update.files
    assert "was not issued by this lab and stays, but it expired at" in update.messages[0]


def test_a_lone_ca_key_gets_its_certificate_and_says_so(files: dict[str, bytes]) -> None:
    update = renew_pki(SPEC, {CLIENT_CA_KEY: files[CLIENT_CA_KEY]}, NOW)
    assert CLIENT_CA_KEY not in update.files
    assert update.messages == ("Issued a new certs/client-ca.crt: certs/client-ca.key was there without it.",)
    assert_complete({CLIENT_CA_KEY: files[CLIENT_CA_KEY]} | dict(update.files))


def test_a_ca_whose_key_is_kept_elsewhere_is_fine_as_long_as_nothing_is_issued(files: dict[str, bytes]) -> None:
    without = {path: content for path, content in files.items() if path not in (SERVER_CA_KEY, CLIENT_CA_KEY)}
    assert renew_pki(SPEC, without, NOW).files == {}
    with pytest.raises(SpecError, match=r"certs/server.crt must be issued, but certs/server-ca.key is missing"):
        renew_pki(SPEC, without, NOW + 500 * DAY)


def encrypted(pem: bytes) -> bytes:
    command = ["openssl", "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:secret"]
    return subprocess.run(command, input=pem, capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("path", "damage", "words"),
    [
        (CLIENT_CA, lambda pem: pem[:100], "client-ca.crt cannot be used"),
        (CLIENT_CA, lambda _: b"", "client-ca.crt cannot be used"),
        (CLIENT_CA_KEY, lambda pem: pem[:100], "client-ca.key cannot be used"),
        (CLIENT_CA_KEY, encrypted, "client-ca.key cannot be used"),
        (CLIENT_KEY, encrypted, "client.key cannot be used"),
        (SERVER_KEY, lambda pem: pem[:100], "server.key cannot be used"),
    ],
)
def test_a_damaged_ca_or_an_unreadable_key_is_never_replaced(
    files: dict[str, bytes], path: str, damage: object, words: str
) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        renew_pki(SPEC, {**files, path: damage(files[path])}, NOW)  # type: ignore[operator]
    assert "mtlslab up --rotate-certs" in caught.value.hint
    assert caught.value.why


@pytest.mark.parametrize(
    ("swap", "words"),
    [
        ({CLIENT_CA: SERVER_CA}, "client-ca.key is not the private key of certs/client-ca.crt"),
        ({CLIENT_CA: SERVER_CA, CLIENT_CA_KEY: SERVER_CA_KEY}, "client.crt was not issued by the CA"),
        ({CLIENT_CERT: SERVER_CERT, CLIENT_KEY: SERVER_KEY}, "client.crt was not issued by the CA"),
        ({CLIENT_CA: CLIENT_CERT, CLIENT_CA_KEY: CLIENT_KEY}, "client-ca.crt is no CA certificate"),
    ],
)
def test_files_in_the_wrong_place_are_named_and_left(
    files: dict[str, bytes], swap: Mapping[str, str], words: str
) -> None:
    swapped = {**files, **{path: files[source] for path, source in swap.items()}}
    with pytest.raises(SpecError, match=words) as caught:
        renew_pki(SPEC, swapped, NOW)
    assert "--rotate-certs" in caught.value.hint


def test_an_expired_ca_and_one_from_the_future_are_named(files: dict[str, bytes]) -> None:
    with pytest.raises(SpecError, match=r"server-ca\.crt has expired"):
        renew_pki(SPEC, files, NOW + 1001 * DAY)
    with pytest.raises(SpecError, match=r"server-ca\.crt is not valid yet"):
        renew_pki(SPEC, files, NOW - DAY)


def test_a_ca_certificate_that_vanished_is_not_replaced_under_its_leaf(files: dict[str, bytes]) -> None:
    rest = {path: content for path, content in files.items() if path not in (CLIENT_CA, CLIENT_CA_KEY)}
    with pytest.raises(SpecError, match=r"client-ca\.crt is missing"):
        renew_pki(SPEC, rest, NOW)


def test_a_leaf_that_a_person_put_there_with_its_chain_stays(files: dict[str, bytes]) -> None:
    """Its key type and subject are theirs; it only has to be valid and to lead to the CA."""
    key = pki.new_key("ec-p384")
    middle = pki.issue_ca("team CA", key, now=NOW, days=100, issuer=credential(files, CLIENT_CA))
    leaf_key = pki.new_key("ed25519")
    leaf = pki.issue_client_leaf(middle, leaf_key, "anna@example.org", now=NOW, days=50)
    placed = dataclasses.replace(leaf, chain=(middle.certificate,))
    files = {**files, CLIENT_CERT: placed.certificate_pem(), CLIENT_KEY: placed.key_pem()}
    assert renew_pki(SPEC, files, NOW).files == {}
    without_chain = {**files, CLIENT_CERT: leaf.certificate_pem()}
    with pytest.raises(SpecError, match="was not issued by the CA"):
        renew_pki(SPEC, without_chain, NOW)


def test_certificates_made_by_the_tutorials_openssl_commands_stay(tmp_path: Path) -> None:
    """Its client certificate has no extension at all, its server certificate names localhost only."""
    script = """
    set -e
    printf 'authorityKeyIdentifier=keyid,issuer\\nbasicConstraints=CA:FALSE\\nsubjectAltName=DNS:localhost\\n' > ext
    for side in server client; do
        openssl genrsa -out $side-ca.key 2048
        openssl req -new -x509 -nodes -days 1000 -subj "/CN=$side ca" -key $side-ca.key -out $side-ca.crt
        openssl req -newkey rsa:2048 -nodes -subj /CN=$side -keyout $side.key -out $side.req
        ext=$(test $side = server && echo -extfile ext || true)
        openssl x509 -req -in $side.req -days 1000 -CA $side-ca.crt -CAkey $side-ca.key -set_serial 01 \\
            -out $side.crt $ext
    done
    """
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    files = {path: (tmp_path / Path(path).name).read_bytes() for path in PKI_FILES}
    update = renew_pki(SPEC, files, datetime.datetime.now(datetime.UTC))
    assert (update.files, update.messages) == ({}, ())


# --- describe


def test_a_certificate_is_described_as_openssl_describes_it(files: dict[str, bytes], tmp_path: Path) -> None:
    info = certs.describe(files[SERVER_CERT], now=NOW)
    (tmp_path / "crt").write_bytes(files[SERVER_CERT])
    command = ["openssl", "x509", "-in", "crt", "-noout", "-serial", "-fingerprint", "-subject", "-nameopt", "RFC2253"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True).stdout
    assert f"serial={info.serial}\n" in said
    assert info.sha1 in said.replace(":", "").lower()
    assert f"subject={info.subject}\n" in said
    assert info.sans == ("DNS:localhost", "IP:127.0.0.1", "IP:::1")
    assert info.purposes == ("server",)
    assert info.key_type == "ec-p256"
    assert info.days_left == 397


@pytest.mark.parametrize(("path", "purposes"), [(SERVER_CA, ("CA",)), (CLIENT_CA, ("CA",)), (CLIENT_CERT, ("client",))])
def test_purposes_say_what_a_certificate_is_for(files: dict[str, bytes], path: str, purposes: tuple[str, ...]) -> None:
    assert certs.describe(files[path], now=NOW).purposes == purposes


def test_a_description_is_json_ready_and_reads_as_a_block(files: dict[str, bytes]) -> None:
    info = certs.describe(files[CLIENT_CERT], now=NOW)
    assert json.loads(json.dumps(info.to_mapping()))["not_before"] == "2030-05-06T07:03:09+00:00"
    text = info.to_text()
    assert "subject    CN=client,O=mtls-lab\n" in text
    assert "days left  397\n" in text


def test_an_expired_certificate_has_negative_days_left(files: dict[str, bytes]) -> None:
    assert certs.describe(files[CLIENT_CERT], now=NOW + 398 * DAY).days_left == -1


@pytest.mark.parametrize("pem", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused_in_words(pem: bytes) -> None:
    with pytest.raises(ValueError, match="no readable certificate"):
        certs.describe(pem, now=NOW)


def test_serials_are_printed_in_whole_bytes() -> None:
    assert [certs.serial_hex(serial) for serial in (1, 0xABC, 0xFF)] == ["01", "0ABC", "FF"]

"""Every credential of the zoo meets a real nginx, and nginx does what the zoo says it does."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import select
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mtlslab import pki
from mtlslab.pki import faults
from mtlslab.pki.crl import issue_crl
from mtlslab.pki.describe import describe
from mtlslab.pki.faults import FAULTS, Fault, FaultFiles, Outcome, Severity
from mtlslab.plan.spec import KEY_TYPES, LabSpec

VERSIONS = ("TLSv1.2", "TLSv1.3")
SPEC = LabSpec(key_type="ec-p256")
CONF = """
daemon off; user root root; worker_processes 1; pid nginx.pid; error_log error.log info;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    access_log off;
    ssl_certificate server.crt; ssl_certificate_key server.key; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_client_certificate client-ca.crt; ssl_verify_client on; ssl_verify_depth 1;
    add_header X-Verify $ssl_client_verify always; add_header X-Serial $ssl_client_serial always;
    add_header X-Fingerprint $ssl_client_fingerprint always; add_header X-Subject $ssl_client_s_dn always;
    server {{ listen 127.0.0.1:{plain} ssl; return 200 "hello"; }}
    server {{ listen 127.0.0.1:{crl} ssl; ssl_crl client-ca.crl; return 200 "hello"; }}
    server {{ listen 127.0.0.1:{all_crls} ssl; ssl_crl all.crl; return 200 "hello"; }}
}}
"""
WEAK_OPENSSL = """
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = system
[system]
CipherString = DEFAULT@SECLEVEL=0
"""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a client saw: how it ended, the server's reason, the alert or the local error, the response headers."""

    outcome: Outcome
    reason: str = ""
    error: str = ""
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Zoo:
    """A running nginx, and the files of every fault."""

    directory: Path
    plain_port: int
    crl_port: int
    all_crls_port: int
    files: dict[str, FaultFiles]

    def ask(self, name: str, tls_version: str, *, crl: bool = False) -> Answer:
        return attempt(
            self.directory, self.files[name], self.crl_port if crl else self.plain_port, tls_version, FAULTS[name].weak
        )


def attempt(directory: Path, files: FaultFiles, port: int, tls_version: str, weak: bool) -> Answer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(directory / "server-ca.crt")
    context.minimum_version = context.maximum_version = ssl.TLSVersion[tls_version.replace(".", "_")]
    if weak:
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    if files.certificate and files.key:
        (directory / "leaf.pem").write_bytes(files.certificate + files.key)
        try:
            context.load_cert_chain(directory / "leaf.pem")
        except ssl.SSLError as error:
            return Answer(Outcome.LOCAL, error=str(error.reason))
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
            return _request(context, raw)
    except (ssl.SSLError, ConnectionError) as error:
        return Answer(Outcome.REFUSED_BY_ALERT, error=str(getattr(error, "reason", error)))


def _request(context: ssl.SSLContext, raw: socket.socket) -> Answer:
    with context.wrap_socket(raw, server_hostname="localhost") as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: tls.recv(65536), b"")).decode()
    found = re.search(r"X-Verify: (.*)\r", text)
    if text.startswith("HTTP/1.1 200"):
        outcome = Outcome.SERVED
    elif "No required SSL certificate was sent" in text:
        outcome = Outcome.REFUSED_NO_CERTIFICATE
    else:
        assert "The SSL certificate error" in text, text
        outcome = Outcome.REFUSED_CERTIFICATE
    return Answer(outcome, found[1] if found else "", text=text)


@pytest.fixture(scope="session")
def zoo(nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    """The whole zoo under one client CA, and an nginx with that CA on two ports: without and with a CRL."""
    yield from run_zoo(nginx_binary, tmp_path_factory.mktemp("zoo"))


def run_zoo(nginx: Path, directory: Path, spec: LabSpec = SPEC, names: Iterable[str] = FAULTS) -> Iterator[Zoo]:
    now = datetime.datetime.now(datetime.UTC)
    made = pki.issue_pki(spec, now=now)
    files = {name: faults.build(name, client_ca=made.client_ca, server=made.server, now=now) for name in names}
    revoked = {one.revoke: now for one in files.values() if one.revoke is not None}
    contents = {
        "server-ca.crt": made.server_ca.certificate_pem(),
        "client-ca.crt": made.client_ca.certificate_pem(),
        "client-ca.crl": issue_crl(made.client_ca, revoked, now=now, number=1),
        "server.crt": made.server.certificate_pem(),
        "server.key": made.server.key_pem(),
    }
    contents["all.crl"] = contents["client-ca.crl"] + b"".join(one.crl or b"" for one in files.values())
    good = FaultFiles(made.client.certificate_pem(), made.client.key_pem())
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        for free in (first, second, third):
            free.bind(("127.0.0.1", 0))
        ports = first.getsockname()[1], second.getsockname()[1], third.getsockname()[1]
    contents["nginx.conf"] = CONF.format(plain=ports[0], crl=ports[1], all_crls=ports[2]).encode()
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    with subprocess.Popen([nginx, "-p", f"{directory}/", "-c", "nginx.conf"], stderr=subprocess.PIPE) as process:
        try:
            wait_until_listening(ports, process)
            running = Zoo(directory, *ports, files)
            # Positive controls: without them a server that is broken "refuses" everything.
            for port in ports:
                for version in VERSIONS:
                    assert attempt(directory, good, port, version, weak=False).outcome is Outcome.SERVED
            yield running
        finally:
            process.terminate()


def wait_until_listening(ports: tuple[int, ...], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    for port in ports:
        while True:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < deadline, "nginx does not listen"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                select.select([], [], [], 0.02)


@pytest.mark.parametrize("crl", [False, True], ids=["no-crl", "crl"])
@pytest.mark.parametrize("tls_version", VERSIONS)
@pytest.mark.parametrize("name", FAULTS)
def test_nginx_does_what_the_zoo_predicts(zoo: Zoo, name: str, tls_version: str, crl: bool) -> None:
    """Outcome and reason of each credential, on both TLS versions, without and with a CRL."""
    fault = FAULTS[name]
    answer = zoo.ask(name, tls_version, crl=crl)
    assert answer.outcome in fault.expected(tls_version, crl=crl), answer
    if answer.outcome not in (Outcome.REFUSED_BY_ALERT, Outcome.LOCAL):
        assert re.search(fault.expected_reason(crl=crl), answer.reason), answer
    if answer.outcome is Outcome.REFUSED_BY_ALERT and "alert" in answer.error.lower():
        assert fault.alert.replace("_", " ") in answer.error.lower().replace("_", " "), answer


# Those whose outcome may depend on the type of the client CA's key: its impostors, and signatures with another digest.
OF_THE_KEY_TYPE = [
    "other-ca",
    "other-ca-with-root",
    "other-ca-same-name",
    "other-ca-same-name-without-aki",
    "forged-authority-key-identifier",
    "look-alike",
    "corrupt-signature",
    "sha1-signature",
    "md5-signature",
]


@pytest.fixture(scope="session", params=KEY_TYPES)
def zoo_of_key_type(
    nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Zoo]:
    """Those faults under a client CA with each type of key that a lab may have."""
    directory = tmp_path_factory.mktemp("key-type")
    yield from run_zoo(nginx_binary, directory, LabSpec(key_type=request.param), OF_THE_KEY_TYPE)


@pytest.mark.parametrize("crl", [False, True], ids=["no-crl", "crl"])
@pytest.mark.parametrize("name", OF_THE_KEY_TYPE)
def test_the_prediction_holds_for_a_client_ca_of_every_key_type(zoo_of_key_type: Zoo, name: str, crl: bool) -> None:
    """Outcome and reason are the same whatever key the lab's CA has."""
    fault = FAULTS[name]
    for version in VERSIONS:
        answer = zoo_of_key_type.ask(name, version, crl=crl)
        assert answer.outcome in fault.expected(version, crl=crl), answer
        assert re.search(fault.expected_reason(crl=crl), answer.reason), answer


@pytest.mark.parametrize("crl", [False, True], ids=["no-crl", "crl"])
@pytest.mark.parametrize("name", ["forged-authority-key-identifier", "other-ca-same-name-without-aki"])
def test_a_forger_fails_by_the_signature_and_by_nothing_else(zoo_of_key_type: Zoo, name: str, crl: bool) -> None:
    """The first error that OpenSSL meets, and the last one, which nginx tells."""
    told = {zoo_of_key_type.ask(name, version, crl=crl).reason for version in VERSIONS}
    assert told == {"FAILED:certificate signature failure"}
    assert first_error(zoo_of_key_type, name).endswith("certificate signature failure")


def first_error(zoo: Zoo, name: str) -> str:
    """What OpenSSL says at once about a leaf that the client CA is claimed to have issued."""
    certificate = zoo.files[name].certificate
    assert certificate
    (zoo.directory / "forged.crt").write_bytes(certificate)
    command = ["openssl", "verify", "-purpose", "sslclient", "-CAfile", "client-ca.crt", "forged.crt"]
    told = subprocess.run(command, cwd=zoo.directory, capture_output=True, text=True, check=False).stderr
    return next(line for line in told.splitlines() if line.startswith("error "))


@pytest.mark.parametrize("name", FAULTS)
def test_curl_meets_the_same_end(zoo: Zoo, name: str, tmp_path: Path) -> None:
    """A client that is not ours, on the version it prefers, gets the same HTTP status, or none at all."""
    fault, files = FAULTS[name], zoo.files[name]
    command = ["curl", "-sS", "--cacert", str(zoo.directory / "server-ca.crt"), "-o", str(tmp_path / "page")]
    command += ["-w", "%{http_code}", f"https://localhost:{zoo.plain_port}/"]
    # curl loads the certificate before it reads --ciphers: only OpenSSL's own configuration lowers the level in time.
    (tmp_path / "openssl.cnf").write_text(WEAK_OPENSSL)
    environment = {**os.environ, **({"OPENSSL_CONF": str(tmp_path / "openssl.cnf")} if fault.weak else {})}
    if files.certificate and files.key:
        (tmp_path / "crt").write_bytes(files.certificate)
        (tmp_path / "key").write_bytes(files.key)
        command += ["--cert", str(tmp_path / "crt"), "--key", str(tmp_path / "key")]
    status = subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout
    without_answer = {"alert", "local"}
    assert status in {"000" if one in without_answer else one[:3] for one in fault.answers("TLSv1.3")}


@pytest.mark.parametrize("name", [name for name in FAULTS if FAULTS[name].outcome is Outcome.SERVED])
def test_the_server_saw_the_certificate_that_was_sent(zoo: Zoo, name: str) -> None:
    """Serial number and fingerprint in nginx's answer are those of the file."""
    certificate = zoo.files[name].certificate
    assert certificate
    info = describe(certificate, now=datetime.datetime.now(datetime.UTC))
    answer = zoo.ask(name, "TLSv1.3")
    assert f"X-Serial: {info.serial}\r" in answer.text
    assert f"X-Fingerprint: {info.sha1}\r" in answer.text


# --- what the zoo holds

ASKED_FOR = [
    "none",
    "self-signed",
    "other-ca",
    "other-ca-same-name",
    "forged-authority-key-identifier",
    "corrupt-signature",
    "expired",
    "expired-a-second-ago",
    "not-yet-valid",
    "eku-server-auth",
    "eku-code-signing",
    "eku-any",
    "eku-none",
    "key-usage-without-digital-signature",
    "unknown-critical-extension",
    "server-certificate",
    "client-ca-certificate",
    "leaf-as-ca",
    "path-length-exceeded",
    "intermediate-sent",
    "intermediate-missing",
    "intermediate-expired",
    "intermediate-not-a-ca",
    "name-constraints-kept",
    "name-constraints-violated",
    "rsa-1024",
    "sha1-signature",
    "ec-p384",
    "ed25519",
    "rsa-4096",
    "revoked",
    "stolen-certificate",
    "mismatched-key",
    "another-client",
    "empty-subject",
    "two-common-names",
    "thousand-alternative-names",
    "other-ca-with-root",
    "other-ca-same-name-without-aki",
    "look-alike",
    "revoked-by-intermediate",
    "key-usage-none",
    "basic-constraints-none",
    "intermediates-in-wrong-order",
    "intermediate-without-basic-constraints",
    "intermediate-eku-server-auth",
    "chain-of-64-kib",
    "name-constraints-violated-by-common-name",
    "md5-signature",
    "ec-brainpool",
    "subject-with-control-characters",
]


def test_the_zoo_holds_what_a_teacher_asks_for() -> None:
    assert set(ASKED_FOR) <= set(FAULTS)
    assert next(iter(FAULTS)) == "none"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_every_fault_says_what_is_wrong_and_what_to_learn(fault: Fault) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", fault.name)
    assert fault.title
    assert fault.wrong.endswith(".")
    assert fault.lesson.endswith(".")
    assert re.search(r"(RFC \d{4}|NIST SP 800-57)", fault.rfc)
    assert bool(fault.alert) == (Outcome.REFUSED_BY_ALERT in fault.expected("TLSv1.2"))


def test_what_nginx_accepts_by_design_is_advisory() -> None:
    surprising = {"eku-none", "another-client", "empty-subject", "revoked", "ca-with-digital-signature"}
    assert all(FAULTS[name].severity is Severity.ADVISORY and FAULTS[name].verdict == "served" for name in surprising)


@pytest.fixture(scope="module")
def made() -> pki.Pki:
    return pki.issue_pki(SPEC, now=datetime.datetime.now(datetime.UTC))


def issue(made: pki.Pki, name: str) -> FaultFiles:
    now = datetime.datetime.now(datetime.UTC)
    return faults.build(name, client_ca=made.client_ca, server=made.server, now=now)


@pytest.mark.parametrize(
    "name", [name for name in FAULTS if name not in ("none", "mismatched-key", "stolen-certificate")]
)
def test_a_certificate_and_its_key_belong_together(zoo: Zoo, name: str) -> None:
    files = zoo.files[name]
    assert files.certificate
    assert files.key
    assert pki.load_credential(files.certificate, files.key)


def test_the_mismatched_key_is_a_good_key_of_something_else(zoo: Zoo) -> None:
    files = zoo.files["mismatched-key"]
    assert files.certificate
    assert files.key
    assert pki.load_key(files.key)
    with pytest.raises(ValueError, match="does not belong"):
        pki.load_credential(files.certificate, files.key)


def test_a_stolen_certificate_comes_with_a_key_that_openssl_loads_and_that_signs_wrongly(
    made: pki.Pki, tmp_path: Path
) -> None:
    """The key file states the certificate's own public point."""
    files = issue(made, "stolen-certificate")
    assert files.certificate
    assert files.key
    (tmp_path / "key").write_bytes(files.key)
    command = ["openssl", "ec", "-in", "key", "-pubout"]
    stated = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    certificate = pki.load_certificates(files.certificate)[0]
    assert stated == certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    checked = subprocess.run(["openssl", "pkey", "-in", "key", "-check", "-noout"], cwd=tmp_path, check=False)
    assert checked.returncode != 0


@pytest.mark.parametrize("key_type", ["rsa-2048", "ec-p384", "ed25519"])
def test_sha1_is_really_sha1_and_its_signature_is_good(key_type: str, tmp_path: Path) -> None:
    """Only the weak digest is wrong: OpenSSL verifies the chain once that is allowed."""
    now = datetime.datetime.now(datetime.UTC)
    ca = pki.issue_ca("ca", pki.new_key(key_type), now=now, days=9, path_length=1)
    files = faults.build("sha1-signature", client_ca=ca, server=ca, now=now)
    assert files.certificate
    (tmp_path / "ca").write_bytes(ca.certificate_pem())
    (tmp_path / "leaf").write_bytes(files.certificate)
    text = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "leaf", "-noout", "-text"], capture_output=True, check=True
    )
    assert text.stdout.lower().count(b"signature algorithm: ecdsa-with-sha1") + text.stdout.lower().count(
        b"signature algorithm: sha1withrsa"
    ) == len(re.findall(b"(?i)signature algorithm:", text.stdout))
    command = ["openssl", "verify", "-CAfile", "ca", "-untrusted", "leaf"]
    subprocess.run([*command, "-auth_level", "0", "leaf"], cwd=tmp_path, check=True, capture_output=True)
    refused = subprocess.run([*command, "-auth_level", "1", "leaf"], cwd=tmp_path, check=False, capture_output=True)
    assert b"too weak" in refused.stderr


@pytest.mark.parametrize("key_type", ["rsa-2048", "ec-p256", "ed25519"])
def test_md5_is_really_md5_and_its_signature_is_good(key_type: str, tmp_path: Path) -> None:
    """Only the weak digest is wrong: OpenSSL verifies the chain once that is allowed."""
    now = datetime.datetime.now(datetime.UTC)
    ca = pki.issue_ca("ca", pki.new_key(key_type), now=now, days=9, path_length=1)
    files = faults.build("md5-signature", client_ca=ca, server=ca, now=now)
    assert files.certificate
    assert pki.load_certificates(files.certificate)[0].signature_algorithm_oid.dotted_string == "1.2.840.113549.1.1.4"
    (tmp_path / "ca").write_bytes(ca.certificate_pem())
    (tmp_path / "leaf").write_bytes(files.certificate)
    command = ["openssl", "verify", "-CAfile", "ca", "-untrusted", "leaf"]
    subprocess.run([*command, "-auth_level", "0", "leaf"], cwd=tmp_path, check=True, capture_output=True)
    refused = subprocess.run([*command, "-auth_level", "1", "leaf"], cwd=tmp_path, check=False, capture_output=True)
    assert b"too weak" in refused.stderr


def test_a_chain_of_64_kib_is_larger_than_that_and_below_the_limit_of_openssl(made: pki.Pki) -> None:
    certificate = issue(made, "chain-of-64-kib").certificate
    assert certificate
    sent = [one.public_bytes(Encoding.DER) for one in pki.load_certificates(certificate)]
    assert 64 * 1024 < sum(map(len, sent)) < 100 * 1024
    assert max(map(len, sent)) < 64 * 1024


def test_intermediates_in_the_wrong_order_do_not_certify_the_one_before(made: pki.Pki) -> None:
    """Sorted, the same certificates are a chain."""
    certificate = issue(made, "intermediates-in-wrong-order").certificate
    assert certificate
    leaf, root, middle = pki.load_certificates(certificate)
    assert not pki.issued_by(leaf, root)
    assert pki.issued_by(leaf, middle)
    assert pki.issued_by(middle, root)


def test_a_look_alike_has_subject_and_serial_of_the_client_and_nothing_else(made: pki.Pki) -> None:
    now = datetime.datetime.now(datetime.UTC)
    client = made.client.certificate
    files = faults.build("look-alike", client_ca=made.client_ca, server=made.server, now=now, client=client)
    assert files.certificate
    [alike] = pki.load_certificates(files.certificate)
    assert (alike.subject, alike.serial_number) == (client.subject, client.serial_number)
    assert alike.public_key() != client.public_key()
    assert alike.issuer != client.issuer


@pytest.mark.parametrize("tls_version", VERSIONS)
def test_with_the_list_of_the_intermediate_the_leaf_is_refused_as_revoked(zoo: Zoo, tls_version: str) -> None:
    """The server cannot know of the list until it stands in the file that ssl_crl names."""
    files = zoo.files["revoked-by-intermediate"]
    assert files.crl
    without = attempt(zoo.directory, files, zoo.crl_port, tls_version, weak=False)
    assert without.reason == "FAILED:unable to get certificate CRL"
    answer = attempt(zoo.directory, files, zoo.all_crls_port, tls_version, weak=False)
    assert answer.reason == "FAILED:certificate revoked"


def test_control_characters_of_a_subject_reach_a_header_escaped(zoo: Zoo) -> None:
    """The name adds no line to the answer."""
    answer = zoo.ask("subject-with-control-characters", "TLSv1.3")
    found = re.search(r"X-Subject: (.*)\r\n", answer.text)
    assert found
    assert found[1].startswith(r"CN=client\0D\0AX-Role: admin\00\,CN=admin")
    assert not re.search("^X-Role:", answer.text, re.MULTILINE)


@pytest.mark.parametrize("key_type", [*KEY_TYPES, "rsa-1024", "rsa-4096", "ec-p521"])
def test_an_impostor_signs_with_the_algorithm_of_the_client_ca(key_type: str) -> None:
    """A signature of another algorithm would not be looked at. Of the size, nothing depends on it."""
    now = datetime.datetime.now(datetime.UTC)
    ca = pki.issue_ca("ca", pki.new_key(key_type), now=now, days=9)
    good = pki.issue_client_leaf(ca, pki.new_key("ec-p256"), "good", now=now, days=9).certificate
    for name in OF_THE_KEY_TYPE[:6]:
        files = faults.build(name, client_ca=ca, server=ca, now=now)
        assert files.certificate
        forged = pki.load_certificates(files.certificate)[0]
        assert not pki.issued_by(forged, ca.certificate)
        family = re.compile("ecdsa|RSA|ed25519")
        assert family.findall(forged.signature_algorithm_oid._name) == family.findall(
            good.signature_algorithm_oid._name
        )


@pytest.mark.parametrize(("depth", "verdict"), [("1", 2), ("2", 0)])
def test_the_long_chain_is_right_but_for_its_length(made: pki.Pki, tmp_path: Path, depth: str, verdict: int) -> None:
    """One step more of verify depth and it is accepted: no other fault hides behind it."""
    files = issue(made, "chain-too-long")
    assert files.certificate
    (tmp_path / "ca").write_bytes(made.client_ca.certificate_pem())
    (tmp_path / "leaf").write_bytes(files.certificate)
    command = ["openssl", "verify", "-verify_depth", depth, "-CAfile", "ca", "-untrusted", "leaf", "leaf"]
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == verdict


@pytest.mark.parametrize("name", [name for name in FAULTS if not FAULTS[name].needs_client_ca])
def test_a_fault_that_needs_no_client_ca_can_be_made_without_it(made: pki.Pki, name: str) -> None:
    """Nothing in it comes from the CA that is given, so any will do."""
    files = issue(made, name)
    certificates = pki.load_certificates(files.certificate) if files.certificate else []
    assert not any(pki.issued_by(one, made.client_ca.certificate) for one in certificates)


def test_only_the_revoked_one_belongs_on_the_list(made: pki.Pki) -> None:
    assert [name for name in ASKED_FOR if name != "rsa-4096" and issue(made, name).revoke] == ["revoked"]


def test_no_private_key_shows_when_files_are_printed(made: pki.Pki) -> None:
    assert "PRIVATE KEY" not in repr(issue(made, "expired"))


def test_an_unknown_fault_is_a_key_error(made: pki.Pki) -> None:
    with pytest.raises(KeyError):
        issue(made, "no-such-fault")

"""The lab's own TLS is what Mozilla's intermediate profile asks for, seen from outside by a scanner and by clients."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from mtlslab.plan.services import MTLS_SERVICE, SERVICES, TLS_SERVICE
from mtlslab.probe.context import VERSIONS

from tests.support.cli import ROOT, mtlslab

SCANNER = ROOT / "build/scanners/bin/python"  # .ci/scanners
REQUIRED = os.environ.get("MTLSLAB_REQUIRE_CLIENTS") == "1"
SUITES = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
}
# Where the lab differs from the profile, and why.
DIFFERENCES = {
    "certificate_path_validation": "the lab makes its own CA, which no trust store of the world knows",
    "maximum_certificate_lifespan": "397 days, what browsers took at most for long: a lab outlives a course (--days)",
}
# Ed25519 is an option, never the default: no browser and no public CA has it. RFC 8410 does.
ED25519 = {"certificate_types", "certificate_signatures"}
PAGE = "GET /hello-world.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

pytestmark = pytest.mark.nginx


class Lab:
    """A running lab with plain processes, and clients of it that use no more than the library's TLS."""

    def __init__(self, directory: Path, ports: dict[str, int]) -> None:
        self.directory = directory
        self.ports = ports

    def context(self, version: str | None = None) -> ssl.SSLContext:
        certs = self.directory / "certs"
        context = ssl.create_default_context(cafile=str(certs / "server-ca.crt"))
        context.load_cert_chain(certs / "client.crt", certs / "client.key")
        if version:
            context.minimum_version = context.maximum_version = VERSIONS[version]
        return context

    def ask(
        self, service: str, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> tuple[ssl.SSLSocket, str]:
        """The connection, closed, and the answer."""
        plain = socket.create_connection(("127.0.0.1", self.ports[service]), timeout=10)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as connection:
            connection.sendall(PAGE.encode())
            answer = b""
            while more := connection.recv(65536):
                answer += more
            # Both are gone once it is closed.
            self.session, self.reused, self.suite = connection.session, connection.session_reused, connection.cipher()
        return connection, answer.decode()

    def accepts(self, service: str, context: ssl.SSLContext) -> bool:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            self.ask(service, context)
            return True
        return False


@contextlib.contextmanager
def running(place: Path, name: str, key_type: str, nginx: Path) -> Iterator[Lab]:
    up = ("up", "--runtime", "embedded", "--nginx", nginx, "--tls-port", "0", "--mtls-port", "0")
    run = mtlslab(*up, "--key-type", key_type, "--name", name, cwd=place)
    try:
        assert run.code == 0, run.err
        spec = json.loads((place / name / "lab.json").read_text())["spec"]
        yield Lab(place / name, dict(zip(SERVICES, (spec["tls_port"], spec["mtls_port"]), strict=True)))
    finally:
        mtlslab("down", "--name", name, "--dir", place / name, cwd=place)


@pytest.fixture(scope="module", params=["rsa-2048", "ec-p256", "ec-p384", "ed25519"])
def key_type(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture(scope="module")
def lab(key_type: str, nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("tls")
    with running(place, f"t-{os.getpid()}-{key_type}", key_type, nginx_binary) as lab:
        yield lab


# --- the scanner


def scan(port: int) -> set[str]:
    """What the server does not comply with, in the scanner's words for it."""
    if not SCANNER.is_file():
        problem = f"no scanner in {SCANNER.parent.parent.relative_to(ROOT)}: .ci/scanners installs it"
        if REQUIRED:
            pytest.fail(problem)
        pytest.skip(problem)
    words = [str(SCANNER), "-m", "sslyze", "--mozilla_config", "intermediate", f"localhost:{port}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    compliance = done.stdout.partition("COMPLIANCE AGAINST TLS CONFIGURATION")[2]
    assert "Not compliant" in compliance, done.stdout + done.stderr  # it always is, for the reasons above
    return set(re.findall(r"^ +\* (\w+): ", compliance, re.MULTILINE))


@pytest.mark.clients
@pytest.mark.parametrize("service", SERVICES)
def test_the_scanner_finds_no_difference_but_those_that_are_meant(lab: Lab, key_type: str, service: str) -> None:
    assert scan(lab.ports[service]) == DIFFERENCES.keys() | (ED25519 if key_type == "ed25519" else set())


@pytest.mark.clients
def test_the_scanner_finds_what_differs(tmp_path: Path, lab_name: str, nginx_binary: Path) -> None:
    with running(tmp_path, lab_name, "rsa-2048", nginx_binary) as lab:
        # The TLS service: with the RSA key exchange there is one probe of the scanner that needs to be served.
        conf = lab.directory / TLS_SERVICE / "nginx.conf"
        conf.write_text(re.sub("ssl_ciphers [^;]*;", "ssl_ciphers DEFAULT;", conf.read_text()))
        assert mtlslab("reload", "--dir", lab.directory, cwd=tmp_path).code == 0
        assert scan(lab.ports[TLS_SERVICE]) == DIFFERENCES.keys() | {"ciphers"}


# --- clients


def known_suites() -> Sequence[str]:
    """All suites of TLS 1.2 that this machine's OpenSSL can offer, weak ones too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return [suite["name"] for suite in context.get_ciphers() if suite["protocol"] != "TLSv1.3"]


def test_no_suite_but_those_with_forward_secrecy_and_authenticated_encryption(lab: Lab, key_type: str) -> None:
    accepted = set()
    for suite in known_suites():
        context = lab.context("1.2")
        context.set_ciphers(f"{suite}:@SECLEVEL=0")
        if lab.accepts(MTLS_SERVICE, context):
            accepted.add(suite)
    own = "RSA" if key_type.startswith("rsa") else "ECDSA"
    assert accepted == {suite for suite in SUITES if f"-{own}-" in suite}


def test_the_client_chooses_the_suite(lab: Lab) -> None:
    """A phone without AES in its processor wants ChaCha20, and gets it."""
    for first in ("CHACHA20", "AESGCM"):
        context = lab.context("1.2")
        context.set_ciphers(f"{first}:AESGCM:CHACHA20")
        lab.ask(MTLS_SERVICE, context)
        assert lab.suite is not None
        assert ("CHACHA20" in lab.suite[0]) is (first == "CHACHA20")


@pytest.mark.parametrize(
    ("curve", "good"), [("X25519", True), ("prime256v1", True), ("secp384r1", True), ("secp521r1", False)]
)
def test_the_curves_are_those_of_the_profile(lab: Lab, curve: str, good: bool) -> None:
    # By OpenSSL itself: not every Python can offer X25519 alone. With TLS 1.2 it must be the certificate's curve, too.
    where = f"127.0.0.1:{lab.ports[MTLS_SERVICE]}"
    words = ["openssl", "s_client", "-connect", where, "-servername", "localhost", "-tls1_3", "-groups", curve]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert ("Server Temp Key:" in done.stdout) is good, done.stdout + done.stderr
    assert ("handshake failure" in done.stderr) is not good, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_reload_forgets_the_sessions(lab: Lab, version: str) -> None:
    """Or who was revoked would come in with the session that they still have."""
    context = lab.context(version)
    lab.ask(MTLS_SERVICE, context)
    lab.ask(MTLS_SERVICE, context, lab.session)
    assert lab.reused
    assert mtlslab("reload", "--dir", lab.directory, cwd=lab.directory).code == 0
    lab.ask(MTLS_SERVICE, context, lab.session)
    assert not lab.reused


def test_no_answer_tells_the_version_of_nginx(lab: Lab) -> None:
    for service in SERVICES:
        context = ssl.create_default_context(cafile=str(lab.directory / "certs/server-ca.crt"))
        answer = lab.ask(service, context)[1]
        assert "Server: nginx\r\n" in answer
        assert not re.search(r"nginx/\d", answer)

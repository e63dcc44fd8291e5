"""What people give to an audit, and what they get of it: keys with passwords, many targets, evidence for an auditor."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import select
import shutil
import socket
import ssl
import subprocess
import time
import warnings
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import referencing
from junitparser import JUnitXml
from mtlslab import __version__

from tests.support.cli import Run, command, environment, finished
from tests.support.foreign_servers import (
    PAGE,
    Answer,
    crowd_server,
    make_certificates,
    nginx_server,
    python_server,
    require_program,
    server_context,
)
from tests.support.in_process import invoke
from tests.support.key_formats import PASSWORD, write_formats
from tests.support.report_readers import Page
from tests.support.terminal import everything_from


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_certificates(tmp_path_factory.mktemp("certs"))
    write_formats(made, made)
    return made


@pytest.fixture(scope="module")
def port(certs: Path) -> Iterator[int]:
    """A server that requires a certificate."""
    with python_server(server_context(certs)) as number:
        yield number


def fingerprint(file: Path) -> str:
    """SHA-256 as another program than ours tells it."""
    done = subprocess.run(
        ["openssl", "x509", "-in", file, "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().partition("=")[2]


def audit(port: int, certs: Path, *options: str | Path, **more: str) -> Run:
    return invoke("audit", f"https://localhost:{port}", "--cacert", certs / "server-ca.crt", *options, **more)


# --- keys

FORMATS = {
    "PKCS #12": ("locked.p12", None),
    "PKCS #12 without a password": ("open.p12", None),
    "PEM with a password": ("client.pem", "locked.key"),
    "PEM of OpenSSL's old kind": ("client.pem", "traditional.key"),
    "both in one file, the key first": ("both.pem", None),
    "DER": ("client.der", "key.der"),
    "DER with a password": ("client.der", "locked.der"),
    "PKCS #7 in PEM, the CA first": ("chain.p7b", "plain.key"),
    "PKCS #7 in DER": ("chain.p7c", "locked.key"),
    "the key of a PKCS #12 file": ("client.pem", "locked.p12"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_client_may_come_in_any_format(name: str, port: int, certs: Path) -> None:
    """It is the same client whatever it lies in, and its password is told nowhere."""
    cert, key = FORMATS[name]
    files: list[str | Path] = ["--cert", certs / cert, "--password-file", certs / "pw"]
    files += ["--key", certs / key] if key else []
    done = audit(port, certs, *files, "-o", "json")
    value = json.loads(done.out)
    assert (done.code, value["verdict"]["client_auth"]) == (0, "required")
    assert value["client"]["certificate"]["sha256"] == fingerprint(certs / "client.crt").replace(":", "").lower()
    assert PASSWORD not in done.out + done.err


BAD_KEYS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "no password": (("--cert", "locked.p12"), "a password is needed", "--password-file FILE"),
    "no password for a key": (("--cert", "client.pem", "--key", "locked.key"), "a password is needed", "locked.key"),
    "wrong": (("--cert", "locked.p12", "--password-file", "bad"), "the password is wrong", "openssl pkcs12 -in"),
    "wrong for a key": (
        ("--cert", "client.pem", "--key", "locked.key", "--password-file", "bad"),
        "the password is wrong",
        "openssl pkey -in",
    ),
    "no such password": (("--cert", "locked.p12", "--password-file", "none"), "Cannot read", "--password-file"),
    "no key in it": (("--cert", "keyless.p12", "--password-file", "pw"), "no private key", "--key"),
    "a certificate in DER alone": (("--cert", "client.der"), "no private key", "--key"),
    "another's key": (("--cert", "client.der", "--key", "server.key"), "does not belong", "client.der"),
    "the wrong CA key's password": (
        ("--client-ca-cert", "client-ca.crt", "--client-ca-key", "locked.key", "--password-file", "bad"),
        "the password is wrong",
        "--client-ca-key",
    ),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_what_does_not_open_is_told_with_what_to_type(name: str, certs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 2, before anything is sent."""
    options, words, hint = BAD_KEYS[name]
    monkeypatch.chdir(certs)
    done = invoke("audit", "https://localhost:1", *options)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert hint in done.err


def test_the_password_may_come_from_the_environment(port: int, certs: Path) -> None:
    done = audit(port, certs, "--cert", certs / "locked.p12", "-o", "json", MTLSLAB_KEY_PASSWORD=PASSWORD)
    assert done.code == 0
    assert PASSWORD not in done.out + done.err


@pytest.mark.parametrize(
    "options", [("https://u:geheim@localhost",), ("https://localhost", "--connect-to", "u:geheim@a")]
)
def test_a_password_in_a_url_is_refused_and_not_repeated(options: tuple[str, ...]) -> None:
    done = invoke("audit", *options)
    assert (done.code, "user name or password" in done.err) == (2, True)
    assert "geheim" not in done.out + done.err


def test_a_renewed_certificate_of_the_same_key_is_not_guessed(certs: Path, tmp_path: Path) -> None:
    """Two certificates of one key in a PKCS #7 file: which one is meant, nobody knows."""
    for number in (1, 2):
        words: list[str | Path] = [
            "-key",
            certs / "client.key",
            "-subj",
            f"/CN={number}",
            "-out",
            tmp_path / f"{number}.crt",
        ]
        subprocess.run(["openssl", "req", "-x509", *words], check=True, capture_output=True)
    both: list[str | Path] = [
        "-certfile",
        tmp_path / "1.crt",
        "-certfile",
        tmp_path / "2.crt",
        "-out",
        tmp_path / "two.p7b",
    ]
    subprocess.run(["openssl", "crl2pkcs7", "-nocrl", *both], check=True, capture_output=True)
    done = invoke("audit", "https://localhost:1", "--cert", tmp_path / "two.p7b", "--key", certs / "client.key")
    assert (done.code, "2 certificates belong to the private key" in done.err) == (2, True)


@pytest.mark.clients
def test_the_printed_command_is_for_the_file_that_the_user_has(port: int, certs: Path) -> None:
    """Curl takes the PKCS #12 file once its password stands where the command says so."""
    require_program("curl")
    done = audit(port, certs, "--cert", certs / "locked.p12", "--password-file", certs / "pw", "-o", "json")
    printed = next(one["command"] for one in json.loads(done.out)["checks"] if one["id"].startswith("serves-auth"))
    typed = [PASSWORD if word == "PASSWORD" else word for word in printed]
    assert typed != printed
    assert subprocess.run([*typed, "--silent"], capture_output=True, timeout=30, check=True).stdout == PAGE


def test_a_terminal_is_asked_for_the_password_and_shows_how_far_it_is(port: int, certs: Path) -> None:
    """What is typed is not shown, and the report on stdout has nothing of either."""
    options: list[str | Path] = ["--cacert", certs / "server-ca.crt", "--cert", certs / "locked.p12", "-o", "json"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command("audit", f"https://localhost:{port}", *options),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment(),
        start_new_session=True,
    ) as process:
        os.close(theirs)
        assert process.stdout
        shown = _until(ours, b"Password of")
        os.write(ours, f"{PASSWORD}\n".encode())
        shown += _until(ours, b"attempts: ")
        out = process.stdout.read()
        shown += everything_from(ours)
        code = process.wait(30)
    os.close(ours)
    assert (code, json.loads(out)["exit_code"]) == (0, 0)
    assert PASSWORD.encode() not in shown + out


def _until(terminal: int, words: bytes) -> bytes:
    shown, end = b"", time.monotonic() + 30
    while words not in shown and time.monotonic() < end:
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 4096)
    assert words in shown, shown
    return shown


# --- evidence


def test_the_evidence_holds_what_an_auditor_asks_for(port: int, certs: Path, tmp_path: Path) -> None:
    file = tmp_path / "evidence.html"
    files = ("--cert", certs / "locked.p12", "--password-file", certs / "pw", "-o", "html", "--output-file", file)
    done = audit(port, certs, *files, MTLSLAB_STRICT="1")
    assert done.code == 0
    beside = tmp_path / "evidence.html.json"
    text, value = file.read_text(), json.loads(beside.read_bytes())
    page = Page(text).words
    assert value["command"][:3] == ["mtlslab", "audit", f"https://localhost:{port}"]
    assert "--strict" in value["command"], "what the environment set belongs to the command line"
    for fact in (
        f"https://localhost:{port}/",
        "127.0.0.1 (required)",
        fingerprint(certs / "server.crt"),
        fingerprint(certs / "client.crt"),
        "TLS 1.2 accepted; TLS 1.3 accepted",
        "+00:00",
        "--password-file",
        f"mtlslab {__version__}",
        "the handshake",
        value["verdict"]["sentence"],
        "refuses a self-signed certificate",
        hashlib.sha256(beside.read_bytes()).hexdigest(),
        "sha256sum evidence.html.json",
    ):
        assert fact in page, fact
    assert PASSWORD not in text + beside.read_text() + done.out + done.err
    assert not {"script", "img", "link"} & {name for name, _ in Page(text).elements}


def test_the_json_beside_the_page_is_of_the_published_schema(port: int, certs: Path, tmp_path: Path) -> None:
    """With one target and with many; what lies there from an earlier run is written anew."""
    targets = tmp_path / "targets"
    targets.write_text(f"https://localhost:{port}\nhttps://localhost:{port}/other\n")
    folder = resources.files("mtlslab.output") / "schemas"
    one, many = (json.loads((folder / name).read_text()) for name in ("audit-3.json", "audits-1.json"))
    registry: Any = referencing.Registry().with_resource(one["$id"], referencing.Resource.from_contents(one))
    file = tmp_path / "r.html"
    options = ("--cacert", certs / "server-ca.crt", "-o", "html", "--output-file", file)
    for schema, what in ((one, [f"https://localhost:{port}"]), (many, ["--targets", targets])):
        assert invoke("audit", *what, *options).code == 0
        value = json.loads((tmp_path / "r.html.json").read_text())
        jsonschema.Draft202012Validator(schema, registry=registry).validate(value)
    assert [report["url"] for report in value["reports"]] == targets.read_text().replace(
        f"{port}\n", f"{port}/\n"
    ).split()
    assert len([tag for tag, _ in Page(file.read_text()).elements if tag == "article"]) == 2


def test_a_file_of_the_users_is_not_overwritten_by_the_json(tmp_path: Path) -> None:
    own = tmp_path / "r.html.json"
    own.write_text('{"mine": true}')
    done = invoke("audit", "https://localhost:1", "-o", "html", "--output-file", tmp_path / "r.html")
    assert (done.code, own.read_text()) == (2, '{"mine": true}')
    assert "r.html.json" in done.err
    assert not (tmp_path / "r.html").exists()


def test_a_page_that_goes_to_stdout_says_that_no_json_lies_beside_it(
    certs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = audit(1, certs, "-o", "html")
    assert (done.code, "No JSON lies beside this page" in Page(done.out).words) == (6, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.clients
def test_the_evidence_is_about_two_pages_on_paper(certs: Path, nginx_binary: Path, tmp_path: Path) -> None:
    require_program("chromium")
    file = tmp_path / "evidence.html"
    client = ("--cert", certs / "client.crt", "--key", certs / "client.key")
    with nginx_server(
        nginx_binary, certs, tmp_path / "n", "ssl_verify_client on; location / { return 200 yes; }"
    ) as port:
        assert audit(port, certs, *client, "-o", "html", "--output-file", file).code == 0
    printed = tmp_path / "evidence.pdf"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'p'}"]
    subprocess.run(
        [str(shutil.which("chromium")), *options, f"--print-to-pdf={printed}", file.as_uri()],
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) <= 2


def test_a_ci_is_shown_the_facts_and_the_warnings(certs: Path, tmp_path: Path) -> None:
    """Junitparser reads the properties of each suite, and what a case with a warning says on stderr."""
    context = server_context(certs)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    file = tmp_path / "r.xml"
    client = ("--cert", certs / "client.crt", "--key", certs / "client.key")
    with python_server(context) as port:
        done = audit(port, certs, *client, "-o", "junit", "--output-file", file)
    suites = list(JUnitXml.fromfile(str(file)))
    facts = {one.name: one.value for one in suites[0].properties()}  # type: ignore[no-untyped-call]
    assert done.code == 0
    assert facts["server certificate SHA-256"] == fingerprint(certs / "server.crt")
    assert facts["client certificate SHA-256"] == fingerprint(certs / "client.crt")
    assert facts["program"] == f"mtlslab {__version__}"
    assert "TLS 1.1: accepted" in facts["warning refuses-old-tls"]
    warned = [case for suite in suites for case in suite if "WARNING" in (case.system_err or "")]
    assert [case.name for case in warned] == ["refuses-old-tls"]


def _say_nothing(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def test_who_is_too_slow_is_told_the_option_that_gives_more_time() -> None:
    """In the last sentence of every format: nobody looks for it among the checks."""
    with crowd_server(_say_nothing) as port:
        done = invoke("audit", f"https://localhost:{port}", "--insecure", "--timeout", "0.3", "-o", "short")
    assert done.code == 6
    assert "no answer within 0.3 s. Give it more time: --timeout 1.2" in done.out.splitlines()[-1]


# --- many targets


def test_each_target_has_its_options(port: int, certs: Path, tmp_path: Path) -> None:
    """A key, a page, a name, a place, a text to expect; those of the command line hold where a target has none."""
    login = Answer(200, b"Please log in")
    with python_server(server_context(certs, ssl.CERT_OPTIONAL), lambda who: Answer() if who else login) as page:
        targets: list[Any] = [
            f"https://localhost:{port}",
            {"url": f"https://localhost:{port}/x", "cert": "c/locked.p12", "password-file": "c/pw"},
            {"url": "https://localhost", "connect-to": f"127.0.0.1:{port}", "sni": "a.test"},
            {"url": f"https://localhost:{page}"},
            {"url": f"https://localhost:{page}", "expect": "hello from afar", "path": "/y"},
            {"url": f"https://localhost:{port}", "cacert": "c/client-ca.crt"},
        ]
        (tmp_path / "c").symlink_to(certs)
        file = tmp_path / "targets.json"
        file.write_text(json.dumps(targets))
        client = ("--cert", certs / "client.crt", "--key", certs / "client.key", "--path", "/z")
        done = invoke("audit", "--targets", file, "--cacert", certs / "server-ca.crt", *client, "-o", "json")
    value = json.loads(done.out)
    told = [(urlsplit(one["url"]).path, one["verdict"]["client_auth"], one["exit_code"]) for one in value["reports"]]
    assert told == [
        ("/z", "required", 0),
        ("/x", "required", 0),
        ("/z", "required", 0),
        ("/z", "could-not-tell", 6),  # a page for strangers that says 200, too
        ("/y", "required", 0),
        ("/z", "could-not-tell", 6),  # not the server's CA
    ]
    ours = [one["client"]["certificate"]["sha256"] for one in value["reports"]]
    assert len(set(ours)) == 1
    assert value["reports"][2]["settings"]["connect-to"] == f"127.0.0.1:{port}"
    assert value["reports"][2]["settings"]["sni"] == "a.test"
    assert done.code == value["exit_code"] == 6


def test_yaml_on_stdin_makes_one_table_and_one_report_for_a_ci(port: int, certs: Path, tmp_path: Path) -> None:
    """The worst exit status counts; a server that is not there takes nothing from the others."""
    text = f"# ours\n- https://localhost:{port}\n- url: https://localhost:1\n  timeout: 1\n"
    common = ("audit", "--targets", "-", "--cacert", certs / "server-ca.crt")
    table = finished(command(*common), cwd=tmp_path, env=environment(), text=text)
    assert table.code == 6
    assert [(row.split()[0], row.split()[1], row.split()[-1]) for row in table.out.splitlines()[1:]] == [
        (f"https://localhost:{port}/", "required", "0"),
        ("https://localhost:1/", "could-not-tell", "6"),
    ]
    file = tmp_path / "targets"
    file.write_text(text)
    xml = JUnitXml.fromstring(invoke("audit", "--targets", file, *common[3:], "-o", "junit").out.encode())
    places = {case.classname for suite in xml for case in suite}
    assert places == {f"https://localhost:{port}/", "https://localhost:1/"}
    assert xml.errors == 1

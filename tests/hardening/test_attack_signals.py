"""What a thief finds after a command was interrupted or killed: no key, no credential of any worth, no twin."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from cryptography import x509
from mtlslab import pki
from mtlslab.audit import audit as run_audit
from mtlslab.audit import make_request
from mtlslab.errors import MachineError
from mtlslab.pki import faults
from mtlslab.pki.faults import FAULTS
from mtlslab.plan.spec import make_spec

from tests.support.cli import environment, mtlslab
from tests.support.foreign_servers import Answer, make_certificates, nginx_server, python_server, server_context
from tests.support.leavings import ended, secrets_in, start

HOUR = datetime.timedelta(hours=1)
SKEW = datetime.timedelta(minutes=1)
IN_MEMORY = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no files in memory")
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
KILLED = pytest.param(signal.SIGKILL, marks=IN_MEMORY, id="SIGKILL")
ANY_END = [*(pytest.param(number, id=number.name) for number in ENDING), KILLED]
NOW = datetime.datetime.now(datetime.UTC)


def status_after(number: signal.Signals) -> int:
    return -number if number == signal.SIGKILL else 130


# --- before anything is begun

# Takes the place of `sitecustomize`: as soon as Python is about to read a module, the process gets a signal.
AT_IMPORT = """
import os, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "MODULE":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), NUMBER)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("module", ["mtlslab.cli.main", "typer", "mtlslab.cli.border"])
def test_a_command_that_is_ended_while_it_starts_says_nothing(
    number: signal.Signals, module: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(AT_IMPORT.replace("MODULE", module).replace("NUMBER", str(int(number))))
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    run = mtlslab("status", cwd=tmp_path, PYTHONPATH=path)
    assert (run.code, run.out, run.err) == (-number, "", "")


# --- the audit, which mints credentials with the user's own CA key


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certs"))


def audit_words(port: int, certs: Path) -> tuple[str | Path, ...]:
    """An audit with the whole zoo, signed by the real client CA."""
    ca = ("--client-ca-cert", certs / "client-ca.crt", "--client-ca-key", certs / "client-ca.key")
    return ("audit", f"https://localhost:{port}", "--cacert", certs / "server-ca.crt", *ca)


class Pause:
    """Lets a server answer a few requests, and none after that until it is over."""

    def __init__(self, answers: int) -> None:
        self._left = answers
        self._lock = threading.Lock()
        self.reached, self.over = threading.Event(), threading.Event()

    def decide(self, _certificate: object) -> Answer:
        with self._lock:
            self._left -= 1
            pause = self._left < 0
        if pause:
            self.reached.set()
            self.over.wait(60)
        return Answer()


@pytest.mark.parametrize("number", ANY_END)
def test_an_audit_that_is_ended_in_the_middle_leaves_no_credential(
    number: signal.Signals, certs: Path, tmp_path: Path
) -> None:
    """The server has served the authorised client and is being shown the zoo when the signal comes."""
    pause = Pause(answers=4)
    with python_server(server_context(certs), pause.decide) as port:
        process = start(*audit_words(port, certs), cwd=certs, TMPDIR=str(tmp_path))
        try:
            assert pause.reached.wait(60)
            process.send_signal(number)
        finally:
            pause.over.set()
        run = ended(process)
    assert run.code == status_after(number)
    assert list(tmp_path.iterdir()) == []


@IN_MEMORY
def test_no_credential_of_an_audit_ever_lies_on_a_disk(certs: Path, tmp_path: Path) -> None:
    pause = Pause(answers=4)
    with python_server(server_context(certs), pause.decide) as port:
        process = start(*audit_words(port, certs), cwd=certs, TMPDIR=str(tmp_path))
        try:
            assert pause.reached.wait(60)
            found = secrets_in(tmp_path)
        finally:
            pause.over.set()
        run = ended(process)
    assert found == []
    assert run.code in (0, 1), run.err


LOG_CLIENTS = """log_format clients '"$ssl_client_escaped_cert"';"""
TAKE_ANYBODY = """
    ssl_verify_client optional_no_ca; ssl_verify_depth 9; access_log clients.log clients;
    location / { return 200 yes; }
"""


def recorded(directory: Path) -> Iterator[x509.Certificate]:
    """The client certificates that a server was shown, as it logged them."""
    for line in (directory / "clients.log").read_text().splitlines():
        if "BEGIN" in line:
            yield x509.load_pem_x509_certificate(unquote(line.strip('"')).encode())


def test_what_an_audit_shows_a_server_is_worth_nothing_after_an_hour(
    certs: Path, nginx_binary: Path, tmp_path: Path
) -> None:
    """Whoever kept the credentials, a server or a thief: their time is over in an hour, whatever their fault is."""
    site = tmp_path / "site"
    with nginx_server(nginx_binary, certs, site, TAKE_ANYBODY, LOG_CLIENTS) as port:
        mtlslab(*audit_words(port, certs), cwd=certs)
    ca = x509.load_pem_x509_certificate((certs / "client-ca.crt").read_bytes())
    shown = {one.serial_number: one for one in recorded(site)}
    assert len(shown) >= 30
    latest = datetime.datetime.now(datetime.UTC) + HOUR + SKEW
    assert [one.subject for one in shown.values() if one.not_valid_after_utc > latest and one != ca] == []


def test_a_credential_of_the_zoo_and_its_chain_live_no_longer_than_asked() -> None:
    spec = make_spec({"key_type": "ec-p256"})
    own = pki.issue_pki(spec, now=NOW)
    known = {own.client_ca.certificate, own.server.certificate}
    for name in FAULTS:
        files = faults.build(name, client_ca=own.client_ca, server=own.server, now=NOW, lifetime=HOUR)
        chain = set(pki.load_certificates(files.certificate)) - known if files.certificate else set()
        assert all(one.not_valid_after_utc <= NOW + HOUR for one in chain), name


def test_an_audit_that_outlives_its_credentials_gives_no_verdict(certs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server refuses them all then, because their time is over: that says nothing."""
    monkeypatch.setattr("mtlslab.audit.run.LIFETIME", datetime.timedelta(0))
    with python_server(server_context(certs)) as port, pytest.raises(MachineError, match="too long"):
        run_audit(make_request(f"https://localhost:{port}", cacert=certs / "server-ca.crt"))


# --- checks that need a key for a moment

# Runs a command and kills itself at the first use of a function, named as MODULE:NAME in the first argument.
KILLED_AT = """
import importlib, os, signal, sys
module, _, name = sys.argv.pop(1).partition(":")
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
setattr(owner, last, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
from mtlslab.cli.main import main
main()
"""
MOMENTS = {
    "a small server has its key": "mtlslab.verify.procedures.client_side:SmallServer.__enter__",
    # By the one engine, for whatever needs them: a renegotiation, a recorded handshake.
    "the keys of a session are logged": "mtlslab.probe.attempt:read_key_log",
    "a client of the server CA has its key": "mtlslab.verify.procedures.doors:_with_certificate",
}


@pytest.fixture
def running_lab(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    """The directory of a lab that runs."""
    settings = ("--key-type", "ec-p256", "--tls-port", "0", "--mtls-port", "0")
    up = mtlslab("up", "--name", lab_name, "--runtime", "embedded", *settings, cwd=tmp_path)
    assert up.code == 0, up.err
    yield tmp_path / lab_name
    mtlslab("down", "--purge", "--name", lab_name, cwd=tmp_path)


@IN_MEMORY
@pytest.mark.parametrize("moment", MOMENTS)
def test_verify_that_is_killed_while_it_uses_a_key_leaves_none_outside_of_the_lab(
    moment: str, running_lab: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words = [
        sys.executable,
        "-c",
        KILLED_AT,
        MOMENTS[moment],
        "verify",
        "-o",
        "html",
        "--output-file",
        str(tmp_path / "r"),
    ]
    done = subprocess.run(words, cwd=running_lab, env=environment(TMPDIR=str(temporary)), check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert list(temporary.iterdir()) == []

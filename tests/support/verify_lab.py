"""What the tests of probing and judging share: a workspace with two real nginx, faulty credentials, other servers."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from mtlslab.pki import issue_pki
from mtlslab.pki.faults import build
from mtlslab.plan.paths import WEAK_CLIENT
from mtlslab.plan.render import render
from mtlslab.plan.services import LabPlan, Service, make_plan
from mtlslab.plan.spec import LabSpec
from mtlslab.probe.attempt import attempt
from mtlslab.probe.model import Attempt
from mtlslab.runtime.base import Dump, LogLine
from mtlslab.runtime.ports import pick_ports
from mtlslab.verify.checks import catalogue
from mtlslab.verify.checks.entries_tutorial import ENTRIES
from mtlslab.verify.checks.model import CLIENT
from mtlslab.verify.context import VerifyContext
from mtlslab.verify.rules.load import Reading
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.issue import _WEAK_CLIENT_CONF as WEAK_CLIENT_CONF

NOW = datetime.datetime.now(datetime.UTC)
FAULTS = sorted({check.credential for check in catalogue() if check.credential} - {CLIENT})
TUTORIAL = {entry.id for entry in ENTRIES}


@dataclasses.dataclass
class RunningLab:
    """A workspace and the nginx processes that serve it."""

    plan: LabPlan
    nginx: Path
    processes: list[subprocess.Popen[bytes]] = dataclasses.field(default_factory=list)

    @property
    def directory(self) -> Path:
        return self.plan.directory

    def read_log(self, tail: int) -> list[LogLine]:
        """The last lines of both services, as a runtime gives them."""
        return [
            LogLine(service.name, line)
            for service in self.plan.services
            for line in (self.directory / f"{service.name}.log").read_text(errors="replace").splitlines()[-tail:]
        ]

    @property
    def context(self) -> VerifyContext:
        tls, mtls = self.plan.services
        spec = LabSpec(name=self.plan.lab, tls_port=tls.port, mtls_port=mtls.port)
        return VerifyContext(
            directory=self.directory,
            lab=self.plan.lab,
            runtime="embedded",
            tls_port=tls.port,
            mtls_port=mtls.port,
            configuration=Reading(Workspace(self.directory), spec, self.dump),
        )

    def dump(self, plan: LabPlan) -> list[Dump]:
        """What nginx -T says, as a runtime gives it."""
        return [Dump(self._said(service), str(self.directory)) for service in plan.services]

    def _said(self, service: Service) -> str:
        command = [str(self.nginx), *service.dump_command(str(self.directory))]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=self.directory).stdout

    def start(self) -> None:
        (self.directory / "run").mkdir(exist_ok=True)
        for service in self.plan.services:
            self._start(service)
        for service in self.plan.services:
            wait_until(functools.partial(_answers, service.port))

    def _start(self, service: Service) -> None:
        user = " user root root;" if os.getuid() == 0 else ""
        command = [str(self.nginx), *service.command(str(self.directory), f"daemon off;{user}")]
        log = (self.directory / f"{service.name}.log").open("ab")
        self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory))
        log.close()

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(10)
        self.processes.clear()

    @contextlib.contextmanager
    def sabotaged(self, change: Callable[[str], str], service: str = "nginx-mtls") -> Iterator[None]:
        """Serve with a changed nginx.conf; put everything back at the end."""
        conf = self.directory / service / "nginx.conf"
        good = conf.read_text()
        bad = change(good)
        assert bad != good, "the sabotage changes nothing"
        try:
            self._restart(conf, bad)
            yield
        finally:
            self._restart(conf, good)

    def _restart(self, conf: Path, text: str) -> None:
        self.stop()
        conf.write_text(text)
        self.start()


def _answers(port: int) -> bool:
    return attempt(Attempt(port=port, insecure=True)).heard


def wait_until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    pause = threading.Event()
    while not true():
        assert datetime.datetime.now(datetime.UTC) < end, "not in time"
        pause.wait(0.02)


def make_lab(directory: Path, nginx: Path, ports: tuple[int, int]) -> RunningLab:
    """A workspace with real certificates, faulty ones and rendered files; nothing runs yet."""
    spec = LabSpec(name="lecture", tls_port=ports[0], mtls_port=ports[1], key_type="ec-p256")
    pki = issue_pki(spec, now=NOW)
    certs = directory / "certs"
    for name in ("server_ca", "client_ca", "server", "client"):
        credential = getattr(pki, name)
        write(certs / name.replace("_", "-"), credential.certificate_pem(), credential.key_pem())
    for name in FAULTS:
        files = build(name, client_ca=pki.client_ca, server=pki.server, now=NOW)
        assert files.certificate
        assert files.key
        write(certs / "faults" / name, files.certificate, files.key)
    (directory / WEAK_CLIENT).write_bytes(WEAK_CLIENT_CONF)
    plan = make_plan(spec, directory, image="nginx", user="0:0")
    for path, text in render(plan, spec).items():
        (directory / path).parent.mkdir(exist_ok=True)
        (directory / path).write_text(text)
    return RunningLab(plan, nginx)


def write(base: Path, certificate: bytes, key: bytes) -> None:
    base.parent.mkdir(parents=True, exist_ok=True)
    base.with_suffix(".crt").write_bytes(certificate)
    descriptor = os.open(base.with_suffix(".key"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)


@contextlib.contextmanager
def tcp_server(answer: Callable[[socket.socket], None], address: str = "127.0.0.1") -> Iterator[int]:
    """A server on a free port that hands every connection to ``answer``; yields the port."""
    with socket.create_server((address, 0)) as listener:
        ending = threading.Event()

        def serve() -> None:
            while not ending.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(10)
                        answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ending.set()
            with contextlib.suppress(OSError), socket.create_connection(listener.getsockname(), 1):
                pass
            thread.join(15)


@contextlib.contextmanager
def alerting_server(
    directory: Path, verify: ssl.VerifyMode = ssl.CERT_REQUIRED, tickets: int = 2, body: bytes = b"hello"
) -> Iterator[int]:
    """A Python TLS server: unlike nginx it ends the handshake with an alert when it does not like the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "certs/server.crt", directory / "certs/server.key")
    context.load_verify_locations(directory / "certs/client-ca.crt")
    context.verify_mode = verify
    context.num_tickets = tickets

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(4096)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with tcp_server(answer) as port:
        yield port


@contextlib.contextmanager
def serving_lab(directory: Path, nginx: Path) -> Iterator[RunningLab]:
    """A lab that serves on free ports."""
    # Not among those of outgoing connections: a printed command wants the port next to the lab's.
    spec = pick_ports(LabSpec(name="lecture", tls_port=0, mtls_port=0))
    lab = make_lab(directory, nginx, (spec.tls_port, spec.mtls_port))
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()

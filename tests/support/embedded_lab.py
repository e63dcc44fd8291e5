"""What the tests of the embedded runtime share: a real workspace, real requests, a look at processes from outside."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from mtlslab.pki import issue_pki
from mtlslab.plan.render import render
from mtlslab.plan.services import LabPlan, Service, make_plan, with_fingerprints
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.embedded import processes

PATIENCE = 20


def make_lab(directory: Path, name: str, ports: tuple[int, int], listen: str = "127.0.0.1") -> LabPlan:
    """Write the workspace of a lab, with real certificates and rendered files, and return its plan."""
    spec = LabSpec(name=name, tls_port=ports[0], mtls_port=ports[1], listen=listen, key_type="ec-p256")
    pki = issue_pki(spec, now=datetime.datetime.now(datetime.UTC))
    (directory / "certs").mkdir(parents=True)
    for role in ("server_ca", "client_ca", "server", "client"):
        credential = getattr(pki, role)
        path = directory / "certs" / role.replace("_", "-")
        path.with_suffix(".crt").write_bytes(credential.certificate_pem())
        path.with_suffix(".key").write_bytes(credential.key_pem())
        path.with_suffix(".key").chmod(0o600)
    plan = make_plan(spec, directory, image=spec.image, user=f"{os.geteuid()}:{os.getegid()}")
    for file, text in render(plan, spec).items():
        (directory / file).parent.mkdir(exist_ok=True)
        (directory / file).write_text(text)
    return with_fingerprints(plan)


def edit(plan: LabPlan, path: str, old: str, new: str) -> LabPlan:
    """Change a file of the workspace and return the plan that goes with it."""
    file = plan.directory / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return with_fingerprints(plan)


def get(plan: LabPlan, service: Service, path: str = "/hello-world.txt", *, client: bool = True) -> str:
    """The raw HTTP response of a service to one request; with the lab's client certificate unless told otherwise."""
    context = ssl.create_default_context(cafile=str(plan.directory / "certs/server-ca.crt"))
    if client:
        context.load_cert_chain(plan.directory / "certs/client.crt", plan.directory / "certs/client.key")
    with socket.create_connection((plan.listen, service.port), timeout=PATIENCE) as plain:
        stream = context.wrap_socket(plain, server_hostname="localhost")
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        with stream.makefile("rb") as answer:
            return answer.read().decode()


def is_served(plan: LabPlan, service: Service) -> bool:
    """Whether a service answers with its file."""
    return get(plan, service).startswith("HTTP/1.1 200 ")


def listens(plan: LabPlan, service: Service) -> bool:
    """Whether anybody takes connections on a service's port."""
    with socket.socket(socket.AF_INET6 if ":" in plan.listen else socket.AF_INET) as probe:
        return probe.connect_ex((plan.listen, service.port)) == 0


def master_of(plan: LabPlan, service: Service) -> psutil.Process:
    """The one master process of a service."""
    (master,) = processes.scan(plan.lab).of([service.name]).masters
    return master.process


def kill_master(plan: LabPlan, service: Service) -> list[psutil.Process]:
    """Kill a master with SIGKILL and return the workers that it leaves behind."""
    master = master_of(plan, service)
    eventually(lambda: master.children() != [])
    workers = master.children()
    master.send_signal(signal.SIGKILL)
    eventually(lambda: not processes.is_alive(master))
    assert all(processes.is_alive(worker) for worker in workers)
    return workers


def eventually(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; fail after a long while."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)


def nginx_processes(directory: Path) -> list[psutil.Process]:
    """All nginx processes whose working directory is a workspace, found without the code under test."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "nginx" and process.cwd().removesuffix(" (deleted)") == str(directory):
                found.append(process)
    return [process for process in found if processes.is_alive(process)]

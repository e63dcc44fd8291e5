"""What the tests of the Docker runtime share: a real workspace, the local image, a relay in front of the engine."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtlslab.pki import issue_pki
from mtlslab.plan.paths import COMPOSE_FILE
from mtlslab.plan.render import render, render_compose
from mtlslab.plan.services import LabPlan, make_plan, with_fingerprints
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.docker.image import build_fallback, find_fallback
from mtlslab.runtime.engine.connection import Engine, connect
from mtlslab.runtime.engine.endpoint import Endpoint

UNPRIVILEGED = 65532
# Read once: tests change DOCKER_HOST.
ENGINE_SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


def local_engine() -> Engine:
    """The engine that the tests run on, whatever a test has made of the settings."""
    return connect(Endpoint(f"unix://{ENGINE_SOCKET}"))


def local_image() -> str:
    """An image with nginx that needs no registry."""
    engine = local_engine()
    return (find_fallback(engine) or build_fallback(engine)).name


def make_lab(directory: Path, name: str, ports: tuple[int, int]) -> LabPlan:
    """Write the workspace of a lab, with real certificates and rendered files, and return its plan."""
    spec = LabSpec(name=name, tls_port=ports[0], mtls_port=ports[1], key_type="ec-p256")
    pki = issue_pki(spec, now=datetime.datetime.now(datetime.UTC))
    owner = os.getuid() or UNPRIVILEGED
    (directory / "certs").mkdir(parents=True)
    for role in ("server_ca", "client_ca", "server", "client"):
        credential = getattr(pki, role)
        path = directory / "certs" / role.replace("_", "-")
        path.with_suffix(".crt").write_bytes(credential.certificate_pem())
        path.with_suffix(".key").write_bytes(credential.key_pem())
        path.with_suffix(".key").chmod(0o600)
    if os.getuid() == 0:
        os.chown(directory / "certs/server.key", owner, owner)
    plan = make_plan(spec, directory, image=local_image(), user=f"{owner}:{owner}")
    for name_of_file, text in render(plan, spec).items():
        (directory / name_of_file).parent.mkdir(exist_ok=True)
        (directory / name_of_file).write_text(text)
    plan = with_fingerprints(plan)
    (directory / COMPOSE_FILE).write_text(render_compose(plan))
    return plan


def wait_for_answers(plan: LabPlan) -> None:
    """Return when both services finish a TLS handshake and answer HTTP; fail after 20 seconds."""
    context = ssl.create_default_context(cafile=str(plan.directory / "certs/server-ca.crt"))
    deadline = time.monotonic() + 20
    for service in plan.services:
        while not _answers(service.port, context):
            assert time.monotonic() < deadline, f"{service.name} does not answer"
            time.sleep(0.02)


def _answers(port: int, context: ssl.SSLContext) -> bool:
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=5)
    try:
        connection.request("GET", "/hello-world.txt")
        return connection.getresponse().status in (200, 400)
    except OSError:
        return False
    finally:
        connection.close()


def change(plan: LabPlan, path: str, old: str, new: str) -> LabPlan:
    """Edit a file of the workspace in place and return the plan that goes with it."""
    file = plan.directory / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return with_fingerprints(plan)


@contextlib.contextmanager
def relay_to_engine(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A TCP port of this machine behind which the real engine answers; with a context, over TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server, context), daemon=True).start()
        yield server.getsockname()[1]


def _accept(server: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:  # the test is over
            return
        threading.Thread(target=_relay, args=(client, context), daemon=True).start()


def _relay(client: socket.socket, context: ssl.SSLContext | None) -> None:
    engine = socket.socket(socket.AF_UNIX)
    engine.connect(ENGINE_SOCKET)
    with contextlib.suppress(OSError):
        stream: Any = context.wrap_socket(client, server_side=True) if context else client
        threading.Thread(target=_copy, args=(engine, stream), daemon=True).start()
        _copy(stream, engine)


def _copy(source: Any, target: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

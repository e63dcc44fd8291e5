"""Reaching an engine: where it is looked for, and the causes of "cannot reach Docker" told apart on real sockets."""

from __future__ import annotations

import datetime
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab.errors import MachineError
from mtlslab.pki import issue_pki
from mtlslab.plan.services import LabPlan
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.choose import Runtimes
from mtlslab.runtime.docker.runtime import DockerRuntime
from mtlslab.runtime.engine import endpoint as docker_endpoint
from mtlslab.runtime.engine.connection import connect
from mtlslab.runtime.engine.endpoint import Endpoint, find_endpoint, knock

from tests.support.docker_lab import make_lab, relay_to_engine, wait_for_answers


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In place of pytest's own, wherever that lies: the path of a Unix socket may have some 100 characters at most."""
    with tempfile.TemporaryDirectory(prefix="mtlslab-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine: no DOCKER_*, an empty home, no command found, no default socket."""
    for key in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setattr(docker_endpoint, "DEFAULT_URL", f"unix://{tmp_path}/docker.sock")


@pytest.fixture
def no_commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH without any command; returns the directory on it."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    return directory


@pytest.fixture
def web_server() -> Iterator[int]:
    """A plain web server that is no engine; yields its port."""

    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def the_error() -> MachineError:
    with pytest.raises(MachineError) as caught:
        connect(find_endpoint())
    assert caught.value.what.startswith("Cannot reach Docker")
    assert caught.value.why
    assert caught.value.hint
    assert getattr(Runtimes(None).problem("docker"), "what", "") == caught.value.what
    return caught.value


def test_neither_command_nor_socket_means_not_installed(no_commands: Path) -> None:
    assert "it is not installed" in the_error().what


def test_a_command_without_a_socket_means_not_running(no_commands: Path) -> None:
    command = no_commands / "docker"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    assert "its engine does not run" in the_error().what


def test_a_socket_without_a_listener_means_not_running(tmp_path: Path, no_commands: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "docker.sock"))
    error = the_error()
    assert "its engine does not run" in error.what
    assert "refused" in error.why


@pytest.mark.skipif(not hasattr(os, "fork") or os.getuid() != 0, reason="only root can become somebody else")
def test_a_socket_of_others_means_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0o600)
        said = said_as_nobody(Endpoint(f"unix://{path}"))
    assert "you may not use the socket" in said
    assert "usermod -aG docker" in said


def said_as_nobody(endpoint: Endpoint) -> str:
    """What knocking says to the user "nobody", tried in a child process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            knock(endpoint)
        except MachineError as error:
            os.write(writer, f"{error.what} {error.hint}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as stream:
        return stream.read()


def test_a_rootless_socket_is_pointed_at_but_not_taken(tmp_path: Path, no_commands: Path) -> None:
    path = tmp_path / "runtime/podman/podman.sock"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert the_error().hint == f"export DOCKER_HOST=unix://{path}"


def test_a_missing_socket_that_docker_host_names_is_blamed_on_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere.sock")
    error = the_error()
    assert "(from DOCKER_HOST)" in error.what
    assert "point DOCKER_HOST elsewhere" in error.hint


def test_a_closed_tcp_port_is_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
    error = the_error()
    assert f"nothing answers at tcp://127.0.0.1:{port} (from DOCKER_HOST)" in error.what
    assert "refused" in error.why


@pytest.mark.parametrize(
    "host",
    ["rubbish.invalid", "ftp://example.org", "ssh://user@example.org", "tcp://host.invalid", "tcp://host:x", "://"],
)
def test_an_address_that_is_none_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    error = the_error()
    assert "DOCKER_HOST" in error.what


def test_a_web_server_is_no_engine(monkeypatch: pytest.MonkeyPatch, web_server: int) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{web_server}")
    assert "is not an engine" in the_error().what


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = Endpoint(f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(MachineError, match="is not an engine"):
            connect(endpoint, timeout=0.2)


def test_without_any_setting_the_default_socket_is_taken() -> None:
    assert find_endpoint() == Endpoint(docker_endpoint.DEFAULT_URL)


def test_a_context_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "atlantis")
    error = the_error()
    assert "the Docker context 'atlantis'" in error.what
    assert error.why == "there is no such context"


def test_a_corrupt_context_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    create_context(monkeypatch, tmp_path, "broken", "tcp://127.0.0.1:1")
    next(tmp_path.glob("config/contexts/meta/*/meta.json")).write_text("{")
    assert "the Docker context 'broken'" in the_error().what


def test_the_current_context_is_followed_and_docker_host_wins_over_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    create_context(monkeypatch, tmp_path, "far", "tcp://127.0.0.1:1")
    assert find_endpoint() == Endpoint("tcp://127.0.0.1:1", "the Docker context 'far'")
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert find_endpoint() == Endpoint(docker_endpoint.DEFAULT_URL)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2")
    assert find_endpoint() == Endpoint("tcp://127.0.0.1:2", "DOCKER_HOST")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("127.0.0.1:2377", "tcp://127.0.0.1:2377"),
        ("tcp://127.0.0.1", "tcp://127.0.0.1:2375"),
        ("tcp://", "tcp://localhost:2375"),
        (":2377", "tcp://localhost:2377"),
        ("engine", "tcp://engine:2375"),
        ("tcp://[::1]", "tcp://[::1]:2375"),
        ("tcp://engine/path", "tcp://engine:2375/path"),
        ("unix://", ""),
        ("unix:///run/x.sock", "unix:///run/x.sock"),
    ],
)
def test_what_docker_host_leaves_out_is_completed_as_the_docker_command_does(
    monkeypatch: pytest.MonkeyPatch, given: str, read: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", given)
    assert find_endpoint().url == (read or docker_endpoint.DEFAULT_URL)


def create_context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, host: str) -> None:
    """Make a context with the real docker command and choose it."""
    command = shutil.which("docker")
    if command is None:
        pytest.skip("no docker command to make a context with")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    subprocess.run([command, "context", "create", name, "--docker", f"host={host}"], check=True, capture_output=True)
    subprocess.run([command, "context", "use", name], check=True, capture_output=True)
    assert json.loads((tmp_path / "config/config.json").read_text())["currentContext"] == name


def test_an_engine_behind_tcp_is_used(
    engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lab_name: str, free_ports: tuple[int, int]
) -> None:
    plan = make_lab(tmp_path / "lab", lab_name, free_ports)
    with relay_to_engine() as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        assert DockerRuntime().describe().endswith(f"at tcp://127.0.0.1:{port}")
        use(plan)


def use(plan: LabPlan) -> None:
    """Start a lab, have a server re-read its configuration, read its log to the end and remove it."""
    runtime = DockerRuntime(pull="never")
    try:
        runtime.prepare(plan.lab, plan.image)
        runtime.start(plan)
        wait_for_answers(plan)
        runtime.reload(plan, plan.services[0])
        lines = runtime.logs(plan.lab, follow=True)
        next(lines)
        assert len(runtime.stop(plan.lab)) == 5  # containers, the volumes with their files, network
        assert any("exit" in line.text for line in lines)
    finally:
        runtime.stop(plan.lab)


def test_an_engine_behind_a_context_is_used(engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with relay_to_engine() as port:
        create_context(monkeypatch, tmp_path, "relay", f"tcp://127.0.0.1:{port}")
        assert DockerRuntime().describe().endswith(f"at tcp://127.0.0.1:{port}")


def test_an_engine_that_wants_mutual_tls_is_used(
    engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lab_name: str, free_ports: tuple[int, int]
) -> None:
    plan = make_lab(tmp_path / "lab", lab_name, free_ports)
    pki = issue_pki(LabSpec(key_type="ec-p256"), now=datetime.datetime.now(datetime.UTC))
    for name, credential in (("server", pki.server), ("cert", pki.client)):
        (tmp_path / f"{name}.pem").write_bytes(credential.certificate_pem())
        (tmp_path / f"{name}-key.pem").write_bytes(credential.key_pem())
    (tmp_path / "cert-key.pem").rename(tmp_path / "key.pem")
    (tmp_path / "ca.pem").write_bytes(pki.server_ca.certificate_pem())
    (tmp_path / "client-ca.pem").write_bytes(pki.client_ca.certificate_pem())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "client-ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server-key.pem")
    with relay_to_engine(context) as port:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://localhost:{port}")
        assert "is not an engine" in the_error().what  # spoken to without TLS
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "nowhere"))
        assert "DOCKER_CERT_PATH" in the_error().hint
        monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
        # Settings that are meant for the web must not get between us and the engine.
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "client-ca.pem"))
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        assert DockerRuntime().describe().endswith(f"at tcp://localhost:{port}")
        use(plan)


def test_a_machine_without_an_engine_does_not_pay_for_the_sdk(tmp_path: Path) -> None:
    program = (
        "import sys; from mtlslab.runtime.choose import Runtimes\n"
        "from mtlslab.runtime.engine import endpoint\n"
        f"endpoint.DEFAULT_URL = 'unix://{tmp_path}/nowhere.sock'\n"
        "assert Runtimes(None).problem('docker'); assert 'docker' not in sys.modules and 'requests' not in sys.modules"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr

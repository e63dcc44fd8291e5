"""Ports are picked free, tested the way nginx takes them, and a taken one names its holder."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mtlslab.errors import ExitCode, MachineError
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime.ports import check_ports_free, free_port, pick_ports, port_holder

PRIVILEGED_BELOW = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
LISTEN = (
    "import socket, sys; server = socket.create_server(('127.0.0.1', 0));"
    "print(server.getsockname()[1], flush=True); sys.stdin.read()"
)


def test_zero_becomes_two_different_free_ports() -> None:
    spec = pick_ports(LabSpec(tls_port=0, mtls_port=0))
    assert 0 < spec.tls_port != spec.mtls_port > 0
    check_ports_free(spec.listen, (spec.tls_port, spec.mtls_port))


def test_named_ports_stay_as_they_are() -> None:
    spec = LabSpec(tls_port=8443, mtls_port=9443)
    assert pick_ports(spec) == spec


def test_a_picked_port_differs_from_a_named_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for tls, mtls, expected in ((5000, 0, (5000, 5001)), (0, 5000, (5001, 5000)), (0, 0, (5000, 5001))):
        offers = iter((5000, 5000, 5001))
        monkeypatch.setattr("mtlslab.runtime.ports.free_port", lambda _, offers=offers: next(offers))
        spec = pick_ports(LabSpec(tls_port=tls, mtls_port=mtls))
        assert (spec.tls_port, spec.mtls_port) == expected


@pytest.mark.parametrize("listen", ["127.0.0.1", "::1", "0.0.0.0", "::"])  # noqa: S104  the test closes at once
def test_a_free_port_is_free_on_every_kind_of_address(listen: str) -> None:
    port = free_port(listen)
    check_ports_free(listen, [port])
    assert port_holder(listen, port) is None


def test_a_taken_port_names_the_process_its_pid_and_user() -> None:
    import psutil

    with subprocess.Popen([sys.executable, "-c", LISTEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        with pytest.raises(MachineError) as taken:
            check_ports_free("127.0.0.1", [port], mtls_port=port)
        holder = psutil.Process(child.pid)
        assert taken.value.what == (
            f"Port {port} on 127.0.0.1 is taken by {holder.name()} (pid {child.pid}, user {holder.username()})."
        )
        assert taken.value.hint == "Pick a free one: mtlslab up --mtls-port 0"
        assert taken.value.exit_code is ExitCode.ENVIRONMENT
        child.communicate()
    check_ports_free("127.0.0.1", [port])


def test_all_taken_ports_are_named_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = one.getsockname()[1], two.getsockname()[1]
        with pytest.raises(MachineError) as taken:
            check_ports_free("127.0.0.1", ports, mtls_port=ports[1])
    assert all(f"Port {port} " in taken.value.what for port in ports)
    assert taken.value.hint.endswith("--tls-port 0 --mtls-port 0")


@pytest.mark.parametrize(
    ("held", "asked"),
    [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("::", "::1"), ("::1", "::")],  # noqa: S104  the fact under test
)
def test_all_addresses_and_one_address_hinder_each_other(held: str, asked: str) -> None:
    family = socket.AF_INET6 if ":" in held else socket.AF_INET
    with socket.create_server((held, 0), family=family) as server:
        port = server.getsockname()[1]
        with pytest.raises(MachineError, match=rf"\(pid {os.getpid()}, "):
            check_ports_free(asked, [port])


def test_another_address_of_this_machine_is_no_hindrance() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
        check_ports_free("127.0.0.1", [port])
        assert port_holder("127.0.0.1", port) is None


def test_a_connection_in_time_wait_is_no_hindrance() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first keeps the port in TIME_WAIT
            assert client.recv(1) == b""
    check_ports_free("127.0.0.1", [port])


def test_an_address_of_another_machine_is_told_apart_from_a_taken_port() -> None:
    for call in (lambda: free_port("192.0.2.1"), lambda: check_ports_free("192.0.2.1", [8888])):
        with pytest.raises(MachineError, match=r"192\.0\.2\.1 is not an address of this machine") as refused:
            call()
        assert "--listen" in refused.value.hint


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """The rights of an ordinary user, for a while."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(
    not PRIVILEGED_BELOW.exists() or int(PRIVILEGED_BELOW.read_text()) <= 443, reason="no port is privileged here"
)
def test_a_privileged_port_says_so_to_who_is_not_root() -> None:
    with as_nobody(), pytest.raises(MachineError) as refused:
        check_ports_free("127.0.0.1", [443])
    assert refused.value.what == "Port 443 on 127.0.0.1 needs the rights of root, as ports below 1024 do."


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_holder_that_is_hidden_from_us_is_another_users_process() -> None:
    with subprocess.Popen([sys.executable, "-c", LISTEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        with as_nobody():
            assert port_holder("127.0.0.1", port) == "a process of another user"
        child.communicate()


@pytest.mark.engine
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_port_of_a_container_is_named_as_such_also_to_who_may_not_see_its_sockets(
    engine: object, tmp_path: Path, lab_name: str, free_ports: tuple[int, int]
) -> None:
    from mtlslab.runtime.docker.runtime import DockerRuntime

    from tests.support.docker_lab import make_lab

    runtime = DockerRuntime()
    plan = make_lab(tmp_path / "lab", lab_name, free_ports)
    try:
        runtime.start(plan)
        holder = port_holder("127.0.0.1", free_ports[0]) or ""
        assert re.fullmatch(r"docker-proxy \(pid \d+, user root\), for a Docker container", holder)
        with as_nobody():
            assert port_holder("127.0.0.1", free_ports[0]) == holder
    finally:
        runtime.stop(lab_name)


def test_a_port_of_an_embedded_lab_names_the_lab(
    tmp_path: Path, lab_name: str, free_ports: tuple[int, int], nginx_binary: Path
) -> None:
    from mtlslab.runtime.embedded.runtime import EmbeddedRuntime

    from tests.support.embedded_lab import make_lab, master_of

    runtime = EmbeddedRuntime(nginx_binary)
    plan = make_lab(tmp_path / "lab", lab_name, free_ports)
    try:
        runtime.start(plan)
        pid = master_of(plan, plan.services[0]).pid
        holder = port_holder("127.0.0.1", free_ports[0]) or ""
        assert holder.startswith(f"nginx of the lab {lab_name!r} (pid {pid}, user ")
    finally:
        runtime.stop(lab_name)

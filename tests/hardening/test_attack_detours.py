"""Between a client and the lab: proxies, a foreign server under the name localhost, and what other systems hide."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mtlslab.errors import MachineError
from mtlslab.lifecycle.detours import detours
from mtlslab.plan import addresses
from mtlslab.plan.spec import LabSpec
from mtlslab.runtime import ports
from mtlslab.runtime.embedded.nginx import _how_to_install

from tests.support.brought import rendered, served
from tests.support.cli import mtlslab
from tests.support.other_user import mtlslab_as

WITHOUT_HOME = "import os; del os.environ['HOME']; from mtlslab.__main__ import main; main()"


@contextlib.contextmanager
def holding(address: str, port: int = 0) -> Iterator[int]:
    """A server of somebody else on one address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        held = socket.create_server((address, port), family=family)
    except OSError:
        pytest.skip(f"no {address} here")
    with held:
        yield held.getsockname()[1]


@pytest.mark.parametrize(("listen", "other"), [("127.0.0.1", "::1"), ("::1", "127.0.0.1"), ("0.0.0.0", "::1")])  # noqa: S104
def test_whoever_answers_for_localhost_at_the_other_address_is_named(
    monkeypatch: pytest.MonkeyPatch, listen: str, other: str
) -> None:
    monkeypatch.setattr(addresses, "leads_to", lambda _: True)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with holding(other) as port:
        (said,) = detours(LabSpec(listen=listen, mtls_port=port, tls_port=port - 1))
    assert f"pid {os.getpid()}" in said
    assert str(port) in said
    assert detours(LabSpec(listen=listen, mtls_port=port, tls_port=port - 1)) == ()


@pytest.mark.nginx
def test_up_verify_and_doctor_tell_of_it_and_of_a_proxy(tmp_path: Path, nginx_binary: Path) -> None:
    directory = rendered(tmp_path)
    with served(directory, "--nginx", str(nginx_binary)) as up:
        assert "WARNING" not in up.err
        port = mtlslab("status", "-o", "json", cwd=directory).out.split("localhost:")[2].split("/")[0]
        proxy = {"https_proxy": "http://127.0.0.1:1", "no_proxy": ""}
        with holding("::1", int(port)):
            again = mtlslab("up", "--nginx", nginx_binary, cwd=directory, **proxy)
            verify = mtlslab("verify", "--only", "mtls-refuses-no-certificate", cwd=directory, **proxy)
        for said in (again.err, verify.err):
            assert f"[::1]:{port} is" in said
            assert "https_proxy is set, and NO_PROXY does not exempt localhost" in said
    doctor = mtlslab("doctor", cwd=tmp_path, **proxy)
    assert "--  proxy " in doctor.out
    assert "export NO_PROXY=localhost,127.0.0.1,::1" in doctor.out


def test_a_port_that_somebody_holds_on_all_addresses_is_taken_although_bind_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on BSD and macOS, where SO_REUSEADDR lets a second socket have one address of it; played with SO_REUSEPORT."""
    with socket.socket() as theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        theirs.bind(("127.0.0.1", 0))
        theirs.listen()
        port = theirs.getsockname()[1]
        monkeypatch.setattr(socket, "SO_REUSEADDR", socket.SO_REUSEPORT)
        with ports.listening("127.0.0.1", port):
            pass  # so bind alone does not see them
        with pytest.raises(MachineError, match=f"Port {port} on 127.0.0.1 is taken by"):
            ports.check_ports_free("127.0.0.1", [port])


def test_the_holder_of_a_port_is_named_where_its_ancestors_may_not_be_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MacOS denies a user every look at launchd, the ancestor of all."""

    def denied(_process: psutil.Process) -> list[psutil.Process]:
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil.Process, "parents", denied)
    with holding("127.0.0.1") as port:
        said = ports.port_holder("127.0.0.1", port)
    assert said == f"{psutil.Process().name()} (pid {os.getpid()}, user {psutil.Process().username()})"


@pytest.mark.skipif(os.geteuid() != 0, reason="plays a user without a name")
@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_completion_without_a_home_directory_is_no_crash(option: str) -> None:
    run = mtlslab_as(12345, option, "bash", cwd="/", script=WITHOUT_HOME)
    assert "Traceback" not in run.err
    assert run.code in (0, 3)
    assert run.out if run.code == 0 else "The completion could not be installed" in run.err


def test_on_a_machine_without_ipv4_hints_name_the_address_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Played: here a socket of that family cannot be made."""
    real = socket.socket

    def without_ipv4(family: int = socket.AF_INET, *more: int, **options: int) -> socket.socket:
        if family == socket.AF_INET:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return real(family, *more, **options)

    with holding("::1"):
        pass
    addresses.loopback_here.cache_clear()
    monkeypatch.setattr(socket, "socket", without_ipv4)
    with pytest.raises(MachineError) as caught:
        ports.check_ports_free("127.0.0.1", [20001])
    monkeypatch.undo()
    addresses.loopback_here.cache_clear()
    assert "--listen ::1" in caught.value.hint
    assert addresses.loopback_here() == "127.0.0.1"


@pytest.mark.parametrize(
    ("system", "machine", "libc", "command"),
    [
        ("linux", "x86_64", "glibc", "pip install 'mtlslab[embedded]'"),
        ("linux", "x86_64", "", "apk add nginx"),
        ("darwin", "x86_64", "", "brew install nginx"),
        ("darwin", "arm64", "", "pip install 'mtlslab[embedded]'"),
    ],
)
def test_the_hint_names_what_installs_nginx_on_this_kind_of_machine(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, libc: str, command: str
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: (libc, ""))
    assert _how_to_install() == command

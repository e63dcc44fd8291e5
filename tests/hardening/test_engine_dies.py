"""An engine that dies and comes back, and containers, networks and images that somebody changed by hand.

All on an engine of this test alone, on its own socket: the machine's engine and its images are left as they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest

from tests.conftest import REQUIRE_ENGINE
from tests.support.bridge import own_bridge
from tests.support.cli import Run, mtlslab
from tests.support.other_user import MALLORY, mtlslab_as

pytestmark = pytest.mark.engine
PATIENCE = 60
UP = ("up", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")


@dataclasses.dataclass
class Engine:
    """A Docker Engine of our own: all its files below one directory."""

    directory: Path
    bridge: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"unix://{self.directory}/docker.sock"

    def client(self) -> Any:
        return docker.DockerClient(base_url=self.host, timeout=60)

    def start(self) -> None:
        for left in ("docker.pid", "exec/containerd/containerd.pid"):  # by an engine that was killed
            (self.directory / left).unlink(missing_ok=True)
        words = ["--host", self.host, "--bridge", self.bridge, "--iptables=false", "--ip6tables=false"]
        words += ["--default-address-pool", "base=10.213.0.0/16,size=24"]
        for option, name in (("data-root", "data"), ("exec-root", "exec"), ("pidfile", "docker.pid")):
            words += [f"--{option}", f"{self.directory}/{name}"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(["dockerd", *words], stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self.process.poll() is None, (self.directory / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, (self.directory / "log").read_text()[-2000:]
            time.sleep(0.05)

    def die(self) -> None:
        """As a crash: the engine and its containerd are killed, containers go with it."""
        assert self.process is not None
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.process.wait()
        psutil.wait_procs(family, timeout=PATIENCE)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    def _answers(self) -> bool:
        try:
            client = docker.DockerClient(base_url=self.host, timeout=5)
            client.ping()
            client.close()
        except docker.errors.DockerException:
            return False
        return True


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine of our own; where none can be run, a named skip, or a failure where an engine is required."""
    problem = "" if os.geteuid() == 0 and shutil.which("dockerd") else "an engine of our own needs root and dockerd"
    if problem and REQUIRE_ENGINE:
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)
    # Not below pytest's directory: the path of a socket holds 107 bytes at most.
    directory = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    bridge = contextlib.ExitStack()
    engine = Engine(directory, bridge.enter_context(own_bridge()))
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
        bridge.close()
        for mounted in sorted((Path(item.mountpoint) for item in psutil.disk_partitions(all=True)), reverse=True):
            if mounted.is_relative_to(directory):
                subprocess.run(["umount", "--lazy", mounted], check=False)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def run(own: Engine, tmp_path: Path, lab_name: str) -> Iterator[Callable[..., Run]]:
    """Runs a command on the lab of this test, on our own engine."""

    def command(*words: str, **more: str) -> Run:
        return mtlslab(words[0], "--name", lab_name, *words[1:], cwd=tmp_path, DOCKER_HOST=own.host, **more)

    yield command
    if own.process is None or own.process.poll() is not None:
        own.start()
    assert command("down").code == 0
    label = {"label": f"mtlslab.lab={lab_name}"}
    assert own.client().containers.list(all=True, filters=label) == []
    assert own.client().networks.list(filters=label) == []


def masters(lab: str) -> list[psutil.Process]:
    """The nginx processes on this machine that serve a lab."""
    return [item for item in psutil.process_iter(["cmdline"]) if f"LAB={lab};" in str(item.info["cmdline"])]


def verified(run: Callable[..., Run]) -> bool:
    return run("verify", "--only", "tls-serves-with-ca", "--only", "mtls-refuses-expired").code == 0


def test_a_dead_engine_is_named_by_every_command_and_up_converges_when_it_is_back(
    own: Engine, run: Callable[..., Run], lab_name: str, tmp_path: Path
) -> None:
    assert run(*UP, "--runtime", "docker").code == 0
    own.die()
    for words in (("status",), ("verify",), ("up",), ("reload",), ("logs",), ("down",)):
        dead = run(*words)
        assert dead.code == 3, (words, dead)
        assert "Cannot reach Docker" in dead.err
        assert own.host in dead.err
    assert masters(lab_name) == []
    own.start()
    assert "exited" in run("status").out
    again = run("up")
    assert again.code == 0, again.err
    assert verified(run)
    # What was taken down leaves nothing that could come back: without an engine, the lab may run elsewhere.
    assert run("down").code == 0
    own.die()
    assert run("status").code == 4
    assert run("up", "--runtime", "embedded").code == 0
    assert len(masters(lab_name)) == 2
    assert run("down").code == 0


DEEDS: dict[str, Callable[[Any, Any, str], object]] = {
    "container killed": lambda _client, container, _lab: container.kill(),
    "container removed": lambda _client, container, _lab: container.remove(force=True),
    "container paused": lambda _client, container, _lab: container.pause(),
    "container renamed": lambda _client, container, lab: container.rename(f"{lab}-other"),
    "network removed": lambda client, _container, lab: remove_network(client, lab),
    "image removed": lambda client, container, _lab: remove_image(client, container),
}


def remove_network(client: Any, lab: str) -> None:
    network = client.networks.get(f"{lab}_default")
    for container in client.containers.list(filters={"label": f"mtlslab.lab={lab}"}):
        network.disconnect(container, force=True)
    network.remove()


def remove_image(client: Any, container: Any) -> None:
    image = container.image.id
    container.remove(force=True)
    for other in client.containers.list(all=True, filters={"ancestor": image}):
        other.remove(force=True)
    client.images.remove(image, force=True)


def test_what_somebody_did_by_hand_is_shown_and_mended_by_the_next_up(
    own: Engine, run: Callable[..., Run], lab_name: str
) -> None:
    assert run(*UP, "--runtime", "docker").code == 0
    client = own.client()
    for deed, do in DEEDS.items():
        do(client, client.containers.get(f"{lab_name}-nginx-mtls-1"), lab_name)
        assert run("status").code in (0, 4), deed
        mended = run("up")
        assert mended.code == 0, (deed, mended.err)
        names = sorted(item.name for item in client.containers.list(filters={"label": f"mtlslab.lab={lab_name}"}))
        assert names == [f"{lab_name}-nginx-mtls-1", f"{lab_name}-nginx-tls-1"], deed
        assert {item.status for item in client.containers.list(all=True)} == {"running"}, deed
    assert verified(run)


def test_a_killed_worker_is_replaced_and_a_truncated_log_hinders_nothing(
    own: Engine, run: Callable[..., Run], lab_name: str
) -> None:
    assert run(*UP, "--runtime", "docker").code == 0
    container = own.client().containers.get(f"{lab_name}-nginx-mtls-1")
    table = container.top()
    pid = table["Titles"].index("PID")
    (worker,) = [int(row[pid]) for row in table["Processes"] if "worker process" in row[-1]]
    os.kill(worker, signal.SIGKILL)
    Path(container.attrs["LogPath"]).write_text("")
    assert verified(run)
    assert run("logs", "--tail", "3").code == 0
    assert "it already ran as asked" in run("up").out


def test_a_workspace_that_moved_is_taken_over(
    own: Engine, run: Callable[..., Run], lab_name: str, tmp_path: Path
) -> None:
    assert run(*UP, "--runtime", "docker").code == 0
    (tmp_path / lab_name).rename(tmp_path / "moved")
    assert run("up", "--dir", "moved").code == 0
    assert run("verify", "--dir", "moved", "--only", "tls-serves-with-ca").code == 0
    assert run("down", "--dir", "moved").code == 0


def test_an_engine_that_dies_under_a_running_up_leaves_a_lab_that_the_next_up_mends(
    own: Engine, run: Callable[..., Run], lab_name: str, tmp_path: Path
) -> None:
    seen = tmp_path / lab_name / "certs/client.crt"
    with ThreadPoolExecutor(1) as pool:
        up = pool.submit(run, *UP, "--runtime", "docker", "--wait", "5s")
        while not seen.exists() and not up.done():
            time.sleep(0.005)
        own.die()
    assert up.result().code in (0, 3, 5), up.result()
    own.start()
    assert run("up").code == 0
    assert verified(run)


def test_a_user_without_rights_to_the_socket_is_told_what_would_help(own: Engine, tmp_path: Path) -> None:
    socket = own.directory / "docker.sock"
    own.directory.chmod(0o711)
    socket.chmod(0o660)
    for words in (("up", "--runtime", "docker"), ("up", "--runtime", "docker", "--pull", "never")):
        refused = mtlslab_as(MALLORY, *words, "--dir", "/mtlslab-nobody", cwd="/", DOCKER_HOST=own.host)
        assert refused.code == 3, refused
        assert "you may not use the socket" in refused.err
        assert "--runtime embedded" in refused.err

"""The two sides of a lab's life: mtlslab, and the tutorial's shell way. Each function is what one would type."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.measure import environment, mtlslab, run
from benchmarks.places import TUTORIAL, Places, free_ports, wait_for_answers

HELLO = "hello-world.txt"


@dataclasses.dataclass(frozen=True)
class Lab:
    """A lab of ours in a fresh directory.

    Attributes:
        directory: its workspace; its last part is the lab's name.
    """

    directory: Path

    @classmethod
    def fresh(cls, places: Places) -> Lab:
        """One that is not there yet."""
        parent = places.fresh()
        return cls(parent / parent.name)

    def up(self, *options: str) -> None:
        """``mtlslab up`` on free ports."""
        place = ("--dir", self.directory, "--name", self.directory.name)
        run(mtlslab("up", *place, "--tls-port", "0", "--mtls-port", "0", *options))

    def render(self, *options: str) -> None:
        """``mtlslab render`` on free ports."""
        place = ("--dir", self.directory, "--name", self.directory.name)
        run(mtlslab("render", *place, "--tls-port", "0", "--mtls-port", "0", *options))

    def verify(self, *options: str) -> str:
        """``mtlslab verify``; what it printed."""
        return run(mtlslab("verify", "--dir", self.directory, *options))

    def down(self) -> None:
        """``mtlslab down``."""
        run(mtlslab("down", "--dir", self.directory))


@dataclasses.dataclass(frozen=True)
class Tutorial:
    """The tutorial's files in a fresh directory."""

    directory: Path
    image: str
    tls_port: int
    mtls_port: int

    @classmethod
    def fresh(cls, places: Places) -> Tutorial:
        """A copy of the files, on free ports, with nothing made yet."""
        directory = places.fresh()
        shutil.copytree(TUTORIAL, directory, dirs_exist_ok=True)
        return cls(directory, places.image, *free_ports())

    def generate_certificates(self) -> None:
        """``./gen-certs.sh``."""
        run(["./gen-certs.sh"], cwd=self.directory)

    def up(self, *, health: bool) -> None:
        """``docker compose up -d --wait``; without a health check also until both ports answer."""
        self._compose("up", "-d", "--wait", health=health)
        if not health:
            wait_for_answers(self.tls_port, self.mtls_port)

    def curls(self) -> None:
        """The four requests: mutual TLS with and without the certificate, TLS with the CA and without looking."""
        trust = ("--cacert", "./certs/server-ca.crt")
        mutual, plain = (f"https://localhost:{port}/{HELLO}" for port in (self.mtls_port, self.tls_port))
        run(["curl", "-s", mutual, *trust, "--cert", "./certs/client.crt", "--key", "./certs/client.key"],
            cwd=self.directory)  # fmt: skip
        run(["curl", "-s", mutual, *trust], cwd=self.directory)
        run(["curl", "-s", plain, *trust], cwd=self.directory)
        run(["curl", "-s", "--insecure", plain], cwd=self.directory)

    def down(self) -> None:
        """``docker compose down``."""
        self._compose("down", health=False)

    def _compose(self, *arguments: str, health: bool) -> None:
        files = ("-f", "docker-compose.yml", *(("-f", "health.yml") if health else ()))
        variables = {"IMAGE": self.image, "TLS_PORT": str(self.tls_port), "MTLS_PORT": str(self.mtls_port)}
        run(["docker", "compose", *files, *arguments], cwd=self.directory, variables=variables)


def start_by_hand(lab: Lab, nginx: Path, ports: tuple[int, int]) -> float:
    """Start both nginx of a rendered lab as one would by hand; seconds until both have answered. Ends them again."""
    begin = time.perf_counter()
    servers = [_nginx(lab, nginx, service) for service in ("nginx-tls", "nginx-mtls")]
    try:
        wait_for_answers(*ports)
        return time.perf_counter() - begin
    finally:
        for server in servers:
            server.terminate()
            server.wait()


def _nginx(lab: Lab, nginx: Path, service: str) -> subprocess.Popen[bytes]:
    root = lab.directory
    (root / "run").mkdir(exist_ok=True)
    command = [str(nginx), "-p", f"{root}/", "-c", f"{root}/{service}/nginx.conf", "-g", "daemon off;"]
    return subprocess.Popen(
        command, env=environment({}), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

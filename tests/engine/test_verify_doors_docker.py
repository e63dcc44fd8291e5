"""Doors of a lab in Docker: names behind the published port, and ports of the container that nobody published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.cli import mtlslab

SETTINGS = ("--runtime", "docker", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")
SERVER = "ssl_certificate ../certs/server.crt; ssl_certificate_key ../certs/server.key; location / { root nginx-mtls; }"


def results(lab: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    run = mtlslab("verify", "--only", "door-", "-o", "json", cwd=lab)
    return run.code, {one["id"]: one for one in json.loads(run.out)["checks"] if one["id"].startswith("door-")}


def test_doors_of_containers_are_found(engine: Any, tmp_path: Path, lab_name: str) -> None:
    """All closed in a fresh lab; another name and a further port in the container are open doors."""
    up = mtlslab("up", "--name", lab_name, *SETTINGS, cwd=tmp_path)
    assert up.code == 0, up.err
    lab = tmp_path / lab_name
    try:
        code, found = results(lab)
        assert (code, {one["result"] for one in found.values()}) == (0, {"pass"})
        conf = lab / "nginx-mtls/nginx.conf"
        doors = f"server {{ include listen.conf; server_name a.test; {SERVER} }} server {{ listen 9999; {SERVER} }}"
        conf.write_text(conf.read_text().rstrip().removesuffix("}") + f"{doors}\n}}\n")
        assert mtlslab("reload", cwd=lab).code == 0
        code, found = results(lab)
        assert code == 1
        assert "https://a.test:" in found["door-names"]["reason"]
        assert ":9999/hello-world.txt" in found["door-listeners"]["reason"]
    finally:
        mtlslab("down", "--purge", cwd=lab)

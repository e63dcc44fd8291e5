"""Rules over the configuration of a lab in Docker: nginx is asked in the container."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.cli import mtlslab

SETTINGS = ("--runtime", "docker", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")


def results(lab: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    run = mtlslab("verify", "--only", "config-", "-o", "json", cwd=lab)
    return run.code, {finding["id"]: finding for finding in json.loads(run.out)["checks"]}


def test_a_lab_in_docker_is_judged_by_what_nginx_says_in_the_container(
    engine: Any, tmp_path: Path, lab_name: str
) -> None:
    up = mtlslab("up", "--name", lab_name, *SETTINGS, cwd=tmp_path)
    assert up.code == 0, up.err
    lab = tmp_path / lab_name
    try:
        code, found = results(lab)
        assert (code, {finding["result"] for finding in found.values()}) == (0, {"pass"})
        conf = lab / "nginx-mtls/nginx.conf"
        conf.write_text(conf.read_text().replace("ssl_verify_client on;", "ssl_verify_client optional;"))
        listen = lab / "nginx-mtls/listen.container.conf"
        listen.write_text(f"{listen.read_text()}listen 9999 ssl;\n")
        assert mtlslab("up", cwd=lab).code == 0
        code, found = results(lab)
        assert code == 1
        assert found["config-asks-every-client"]["result"] == "fail"
        assert found["config-listens-nowhere-else"]["observed"]["answer"].startswith(
            "nginx-mtls/listen.container.conf:"
        )
    finally:
        mtlslab("down", "--purge", cwd=lab)

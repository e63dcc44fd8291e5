"""Processes, too, are compared with the plan as they run: their sockets, and whose they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.brought import rendered, served, verified
from tests.support.cli import mtlslab

LISTEN = "nginx-mtls/listen.conf"


@pytest.mark.nginx
def test_sockets_that_are_in_no_file_any_more_are_seen(tmp_path: Path, nginx_binary: Path) -> None:
    """The file was put back after the start: nginx -T shows it, and the sockets show what runs."""
    lab = rendered(tmp_path)
    with served(lab, "--nginx", str(nginx_binary)) as up:
        assert up.code == 0, up.err
        good = (lab / LISTEN).read_text()
        _, before = verified(lab, "--only", "config-answers-where-planned", "--only", "config-runs-without-rights")
        (lab / LISTEN).write_text(good.replace("127.0.0.1", "127.0.0.2") + good)
        assert mtlslab("reload", cwd=lab).code == 0
        (lab / LISTEN).write_text(good)
        done, after = verified(lab, "--only", "config-")
    assert {one["result"] for one in before.values()} == {"pass"}
    assert done.code == 1
    assert after["config-listens-nowhere-else"]["result"] == "pass"
    assert "answers on 127.0.0.2" in after["config-answers-where-planned"]["reason"]


@pytest.mark.nginx
def test_status_of_a_lab_whose_processes_have_ended(tmp_path: Path, nginx_binary: Path) -> None:
    """Nothing runs, whatever is remembered of it: exit status 4."""
    lab = rendered(tmp_path)
    with served(lab, "--nginx", str(nginx_binary)) as up:
        assert up.code == 0, up.err
        assert mtlslab("status", cwd=lab).code == 0
    assert mtlslab("status", cwd=lab).code == 4

"""The main road on plain nginx processes: up, the tutorial's curl commands, edit and reload, down."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from mtlslab.runtime.ports import free_port

from tests.support.cli import Run, command, environment, mtlslab

UP = ("up", "--runtime", "embedded", "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256")


@pytest.fixture
def lab(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[tuple[Path, str]]:
    """The place and the name of a lab that is taken down after the test, whatever the test did."""
    yield tmp_path, lab_name
    mtlslab("down", "--name", lab_name, "--dir", tmp_path / lab_name, cwd=tmp_path)


def spec_of(directory: Path) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads((directory / "lab.json").read_text())["spec"]
    return spec


def curl(directory: Path, words: str) -> Run:
    done = subprocess.run(["curl", "-sS", *words.split()], cwd=directory, capture_output=True, text=True, check=False)
    return Run(done.returncode, done.stdout, done.stderr)


def identities(place: Path, name: str) -> dict[str, str]:
    """Service -> container or process, as ``status`` tells them."""
    rows = json.loads(mtlslab("status", "--name", name, "-o", "json", cwd=place).out)["services"]
    return {row["service"]: row["identity"] for row in rows}


def processes_of(name: str) -> list[psutil.Process]:
    label = f"MTLSLAB_LAB={name};"
    # What has ended and only waits to be collected by its parent has no command line any more.
    return [item for item in psutil.process_iter(["cmdline"]) if label in " ".join(item.info["cmdline"] or [])]


def test_the_tutorials_commands_work_inside_the_workspace(lab: tuple[Path, str]) -> None:
    place, name = lab
    up = mtlslab(*UP, "--name", name, cwd=place)
    assert up.code == 0, up.err
    directory = place / name
    tls, mtls = spec_of(directory)["tls_port"], spec_of(directory)["mtls_port"]

    mutual = f"https://localhost:{mtls}/hello-world.txt --cacert ./certs/server-ca.crt"
    assert curl(directory, f"{mutual} --cert ./certs/client.crt --key ./certs/client.key").out.startswith("Hello World")
    assert "400 No required SSL certificate was sent" in curl(directory, mutual).out
    assert curl(directory, f"https://localhost:{tls}/hello-world.txt --cacert ./certs/server-ca.crt").out.startswith(
        "Hello"
    )
    assert curl(directory, f"--insecure https://localhost:{tls}/hello-world.txt").out.startswith("Hello World")
    assert "No required SSL" in curl(directory, f"--insecure https://localhost:{mtls}/hello-world.txt").out
    assert "unable to get local issuer" in curl(directory, f"https://localhost:{tls}/hello-world.txt").err


def test_after_down_nothing_runs_and_the_certificates_are_good_for_the_next_up(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab(*UP, "--name", name, cwd=place)
    before = (place / name / "certs/client.crt").read_bytes()
    assert processes_of(name)
    assert mtlslab("down", "--name", name, cwd=place).code == 0
    assert processes_of(name) == []
    assert mtlslab(*UP, "--name", name, cwd=place).code == 0
    assert (place / name / "certs/client.crt").read_bytes() == before


def test_down_twice_and_down_of_nothing_are_success(tmp_path: Path, lab_name: str) -> None:
    first = mtlslab("down", "--name", lab_name, cwd=tmp_path)
    assert first.code == 0
    assert "Nothing runs" in first.out
    assert list(tmp_path.iterdir()) == []


def test_down_finds_the_processes_of_a_workspace_that_is_gone(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab(*UP, "--name", name, cwd=place)
    subprocess.run(["rm", "-rf", place / name], check=True)
    down = mtlslab("down", "--name", name, cwd=place)
    assert "nginx-mtls" in down.out
    assert processes_of(name) == []


def test_purge_removes_the_directory(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab(*UP, "--name", name, cwd=place)
    assert mtlslab("down", "--purge", "--name", name, cwd=place).code == 0
    assert list(place.iterdir()) == []


def test_every_key_is_private(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab(*UP, "--name", name, cwd=place)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (place / name).rglob("*.key")}
    assert set(modes) == {"server-ca.key", "client-ca.key", "server.key", "client.key"}
    assert set(modes.values()) == {0o600}


def test_a_second_up_changes_nothing_and_a_changed_port_replaces_one_service(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab(*UP, "--name", name, cwd=place)
    before = {item.pid for item in processes_of(name)}
    again = mtlslab("up", "--name", name, cwd=place)
    assert "it already ran as asked" in again.out
    assert {item.pid for item in processes_of(name)} == before
    port = free_port("127.0.0.1")
    changed = mtlslab("up", "--name", name, "--mtls-port", str(port), cwd=place)
    assert "started nginx-mtls)" in changed.out, changed.err
    assert len({item.pid for item in processes_of(name)} & before) == 1


def test_an_edited_file_survives_up_and_is_named(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab(*UP, "--name", name, cwd=place)
    hello = place / name / "nginx-mtls/hello-world.txt"
    hello.write_text("Good evening\n")
    up = mtlslab("up", "--name", name, cwd=place)
    assert "Kept your edit" in up.err
    assert str(hello) in up.err
    assert hello.read_text() == "Good evening\n"
    mtlslab("up", "--name", name, "--overwrite", cwd=place)
    assert hello.read_text().startswith("Hello World")


def test_reload_applies_a_good_edit_and_refuses_a_bad_one_with_nginxs_words(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab(*UP, "--name", name, cwd=place)
    conf = place / name / "nginx-mtls/nginx.conf"
    port = spec_of(place / name)["mtls_port"]
    url = f"https://localhost:{port}/hello-world.txt --cacert certs/server-ca.crt"
    good = conf.read_text()
    conf.write_text(good.replace("ssl_verify_client on;", "ssl_verify_client off;"))
    assert mtlslab("reload", "--name", name, cwd=place).code == 0
    assert curl(place / name, url).out.startswith("Hello World")
    conf.write_text(good.replace("ssl_verify_client on;", "ssl_verify_client perhaps;"))
    refused = mtlslab("reload", "--name", name, cwd=place)
    assert refused.code == 3
    assert "perhaps" in refused.err
    assert curl(place / name, url).out.startswith("Hello World")


@pytest.mark.parametrize("runtime", ["embedded", pytest.param("docker", marks=pytest.mark.engine)])
def test_up_with_a_bad_edit_leaves_the_old_server_alone(
    runtime: str, lab: tuple[Path, str], request: pytest.FixtureRequest
) -> None:
    """Nothing is replaced for a configuration that nginx refuses."""
    if runtime == "docker":
        request.getfixturevalue("engine")
    place, name = lab
    assert mtlslab(*UP, "--runtime", runtime, "--name", name, cwd=place).code == 0
    before = identities(place, name)
    conf = place / name / "nginx-mtls/nginx.conf"
    conf.write_text(conf.read_text().replace("ssl_verify_client on;", "ssl_verify_client perhaps;"))
    refused = mtlslab("up", "--name", name, cwd=place)
    assert (refused.code, "perhaps" in refused.err) == (2, True)
    assert identities(place, name) == before
    url = f"https://localhost:{spec_of(place / name)['mtls_port']}/hello-world.txt"
    served = curl(place / name, f"{url} --cacert certs/server-ca.crt --cert certs/client.crt --key certs/client.key")
    assert served.out.startswith("Hello World")


def test_up_names_the_way_out_when_the_directory_of_a_running_lab_is_gone(lab: tuple[Path, str]) -> None:
    place, name = lab
    assert mtlslab(*UP, "--name", name, cwd=place).code == 0
    shutil.rmtree(place / name)
    refused = mtlslab(*UP, "--name", name, cwd=place)
    assert refused.code == 3
    assert f"mtlslab down --name {name}" in refused.err
    assert not (place / name).exists()
    assert mtlslab("down", "--name", name, cwd=place).code == 0
    assert mtlslab(*UP, "--name", name, cwd=place).code == 0


def test_reload_tells_of_a_service_that_does_not_run(lab: tuple[Path, str]) -> None:
    place, name = lab
    assert mtlslab(*UP, "--name", name, cwd=place).code == 0
    psutil.Process(int(identities(place, name)["nginx-tls"].removeprefix("pid "))).kill()
    reloaded = mtlslab("reload", "--name", name, cwd=place)
    assert reloaded.code == 4
    assert "nginx-mtls: the configuration is applied." in reloaded.out
    assert "nginx-tls: not reloaded" in reloaded.out
    assert "mtlslab up" in reloaded.err


def test_rotating_removes_nothing_before_the_new_certificates_are_made(
    lab: tuple[Path, str],
) -> None:
    """Settings that cannot be issued leave the old certificates as they were."""
    place, name = lab
    assert mtlslab("render", *UP[3:], "--name", name, cwd=place).code == 0
    before = (place / name / "certs/client.crt").read_bytes()
    code = (
        "import sys; from mtlslab import pki; from mtlslab.__main__ import main\n"
        "def fail(*_, **__): raise KeyboardInterrupt\n"
        "pki.issue_lab_ca = fail; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "render", "--name", name, "--rotate-certs"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert (place / name / "certs/client.crt").read_bytes() == before


def test_reload_without_the_servers_key_names_it(lab: tuple[Path, str]) -> None:
    place, name = lab
    assert mtlslab(*UP, "--name", name, cwd=place).code == 0
    (place / name / "certs/server.key").unlink()
    reloaded = mtlslab("reload", "--name", name, cwd=place)
    assert (reloaded.code, "certs/server.key" in reloaded.err) == (2, True)


def test_a_taken_port_names_its_holder_and_nothing_is_written(
    tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        arguments = ("--runtime", "embedded", "--tls-port", "0", "--mtls-port", str(port))
        up = mtlslab("up", "--name", lab_name, *arguments, cwd=tmp_path)
    assert up.code == 3
    assert f"pid {os.getpid()}" in up.err
    assert "--mtls-port 0" in up.err
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_does_not_start_is_shown_with_its_words_and_nothing_stays(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab("render", "--name", name, "--tls-port", "0", "--mtls-port", "0", "--key-type", "ec-p256", cwd=place)
    conf = place / name / "nginx-mtls/nginx.conf"
    conf.write_text(conf.read_text().replace("ssl_verify_depth", "ssl_verify_deepness"))
    up = mtlslab("up", "--runtime", "embedded", "--name", name, cwd=place)
    assert up.code in (3, 5)
    assert "ssl_verify_deepness" in up.err
    assert processes_of(name) == []


def test_an_interrupted_up_leaves_nothing_running(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab("render", "--name", name, "--tls-port", "0", "--mtls-port", "0", cwd=place)
    with (place / name / "nginx-tls/listen.conf").open("a") as file:
        file.write("return 444;\n")  # no answer, so that `up` waits
    up = subprocess.Popen(
        command("up", "--runtime", "embedded", "--name", name), cwd=place, env=environment(), stderr=subprocess.PIPE
    )
    while len(processes_of(name)) < 2:
        assert up.poll() is None
    up.send_signal(signal.SIGINT)
    _, err = up.communicate(timeout=30)
    assert up.returncode == 130, err
    assert processes_of(name) == []


def test_two_labs_run_side_by_side(lab: tuple[Path, str]) -> None:
    place, name = lab
    other = f"{name}-b"
    mtlslab(*UP, "--name", name, cwd=place)
    try:
        assert mtlslab(*UP, "--name", other, cwd=place).code == 0
        assert mtlslab("down", "--name", name, cwd=place).code == 0
        assert mtlslab("status", "--name", other, cwd=place).code == 0
    finally:
        mtlslab("down", "--name", other, cwd=place)


def test_a_name_that_runs_from_another_directory_is_refused(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab(*UP, "--name", name, cwd=place)
    second = mtlslab(*UP, "--name", name, "--dir", "elsewhere", cwd=place)
    assert second.code == 3
    assert str(place / name) in second.err
    assert not (place / "elsewhere").exists()


def test_status_tells_programs_and_people_what_runs(lab: tuple[Path, str]) -> None:
    place, name = lab
    assert mtlslab("status", "--name", name, cwd=place).code == 4
    mtlslab(*UP, "--name", name, cwd=place)
    document = json.loads(mtlslab("status", "-o", "json", "--name", name, cwd=place).out)
    assert [item["service"] for item in document["services"]] == ["nginx-tls", "nginx-mtls"]
    assert {item["state"] for item in document["services"]} == {"running"}
    assert "running" in mtlslab("status", "--name", name, cwd=place).out


def test_logs_hold_what_the_server_learnt_about_the_client(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab(*UP, "--name", name, cwd=place)
    port = spec_of(place / name)["mtls_port"]
    words = "--cacert certs/server-ca.crt --cert certs/client.crt --key certs/client.key"
    curl(place / name, f"https://localhost:{port}/hello-world.txt?probe=n0nce {words}")
    lines = mtlslab("logs", "nginx-mtls", "--name", name, cwd=place).out.splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    mine = [record for record in records if record["probe"] == "n0nce"]
    assert [(record["client_verify"], record["status"]) for record in mine] == [("SUCCESS", "200")]
    assert "CN=client" in mine[0]["client_subject"]


def test_inside_the_workspace_no_option_is_needed(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab(*UP, "--name", name, cwd=place)
    assert mtlslab("status", cwd=place / name).code == 0
    assert mtlslab("certs", "list", cwd=place / name).out.count("days left") == 4


def test_new_certificates_come_with_rotate_certs_and_the_services_serve_them(lab: tuple[Path, str]) -> None:
    place, name = lab
    mtlslab(*UP, "--name", name, cwd=place)
    before = (place / name / "certs/server.crt").read_bytes()
    assert mtlslab("up", "--rotate-certs", "--name", name, cwd=place).code == 0
    assert (place / name / "certs/server.crt").read_bytes() != before
    port = spec_of(place / name)["tls_port"]
    answer = curl(place / name, f"https://localhost:{port}/hello-world.txt --cacert certs/server-ca.crt")
    assert answer.out.startswith("Hello World")

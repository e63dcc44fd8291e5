"""Sabotaged twins, servers that let strangers in, when their proof is interrupted, killed, or robbed of its lab."""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from mtlslab.errors import LabNotFoundError
from mtlslab.lifecycle.leftovers import twin_name
from mtlslab.plan.services import MTLS_SERVICE, network_name, volume_name
from mtlslab.plan.spec import make_spec
from mtlslab.runtime.choose import Runtimes
from mtlslab.runtime.docker.config import network_labels, volume_labels
from mtlslab.verify.proof.mutants import MUTANTS
from mtlslab.verify.proof.prove import prove
from mtlslab.verify.proof.twins import make_twin
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.target import locate

from tests.support.cli import mtlslab
from tests.support.leavings import ended, remove_under_use, secrets_in, start, twin_masters, wait_for

EVERYWHERE = "0.0.0.0"  # noqa: S104  the lab's address is on trial; nothing of it is started
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
NOW = datetime.datetime.now(datetime.UTC)
PROVE = ("verify", "--prove", "--mutant", "verify-off")


def render_lab(place: Path, name: str, *options: str, runtime: str = "embedded") -> Path:
    """The directory of a lab that was never started, and whose twins run in a runtime."""
    settings = ("--key-type", "ec-p256", "--tls-port", "0", "--mtls-port", "0")
    done = mtlslab("render", "--name", name, *settings, *options, cwd=place)
    assert done.code == 0, done.err
    path = place / name / "lab.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "runtime": runtime}))
    return place / name


@pytest.fixture
def lab(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    yield render_lab(tmp_path, lab_name)
    for master in twin_masters(tmp_path / lab_name):
        # Its workers would go on without it, and with them the writers of their logs.
        for process in (master, *master.children()):
            process.kill()


def prove_until_twins_run(lab: Path, *words: str) -> subprocess.Popen[str]:
    """A proof under way: a twin runs."""
    process = start(*(words or PROVE), cwd=lab)
    wait_for(lambda: twin_masters(lab) or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process


def kill_proof(lab: Path) -> None:
    """Kill a proof while twins run; they go on running."""
    process = prove_until_twins_run(lab)
    process.kill()
    assert ended(process).code == -signal.SIGKILL
    assert twin_masters(lab)
    assert (lab / "twins").is_dir()


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_an_interrupted_proof_leaves_no_twin(number: signal.Signals, lab: Path, tmp_path: Path) -> None:
    process = prove_until_twins_run(lab)
    process.send_signal(number)
    assert ended(process).code == 130
    assert twin_masters(lab) == []
    assert not (lab / "twins").exists()


def test_a_proof_that_is_told_to_end_again_and_again_leaves_no_twin(lab: Path) -> None:
    """A terminal that is closed sends SIGHUP, so does its shell, and a manager sends SIGTERM after that."""
    process = prove_until_twins_run(lab)
    for number in ENDING * 3:
        process.send_signal(number)
    assert ended(process).code == 130
    assert twin_masters(lab) == []
    assert not (lab / "twins").exists()


def test_status_shows_the_twins_of_a_killed_proof_and_down_ends_them(lab: Path) -> None:
    kill_proof(lab)
    shown = mtlslab("status", "-o", "json", cwd=lab)
    assert shown.code == 4, "the lab itself does not run"
    assert {item["state"] for item in json.loads(shown.out)["twins"]} == {"running"}
    text = mtlslab("status", cwd=lab)
    assert "twin-" in text.out
    assert "mtlslab down" in text.err
    down = mtlslab("down", cwd=lab)
    assert down.code == 0
    assert "twin-" in down.out
    assert twin_masters(lab) == []
    assert not (lab / "twins").exists()


@pytest.mark.parametrize("fate", ["removed", "twins removed", "moved", "made anew"])
def test_down_ends_the_twins_of_a_killed_proof_whatever_became_of_their_directory(
    fate: str, lab: Path, tmp_path: Path
) -> None:
    kill_proof(lab)
    place = lab
    if fate == "moved":
        place = lab.rename(tmp_path / "elsewhere")
    else:
        remove_under_use(lab / "twins" if fate == "twins removed" else lab)
    if fate == "made anew":
        render_lab(tmp_path, lab.name)
    down = mtlslab("down", "--dir", place, cwd=tmp_path)
    assert down.code == 0, down.err
    assert twin_masters(lab) == []
    assert not (place / "twins").exists()


def test_workers_whose_master_was_killed_with_the_proof_are_ended_too(lab: Path) -> None:
    kill_proof(lab)
    workers = [worker for master in twin_masters(lab) for worker in master.children()]

    def no_master_is_left() -> bool:
        # A twin that the proof was just starting may come up a moment after the proof has gone.
        masters = twin_masters(lab)
        for master in masters:
            master.kill()
        return not masters

    wait_for(no_master_is_left)
    assert any(worker.is_running() for worker in workers)
    assert mtlslab("down", cwd=lab).code == 0
    wait_for(lambda: not any(worker.is_running() for worker in workers))


def test_the_next_proof_ends_what_a_killed_one_has_left(lab: Path) -> None:
    kill_proof(lab)
    left = twin_masters(lab)
    run = mtlslab(*PROVE, cwd=lab)
    assert run.code == 0, run.err
    assert not any(master.is_running() for master in left)
    assert twin_masters(lab) == []
    assert not (lab / "twins").exists()


def test_down_leaves_the_twins_of_a_neighbour_alone(lab: Path, tmp_path: Path) -> None:
    """Also where a copy of the neighbour's directory speaks of them."""
    kill_proof(lab)
    before = twin_masters(lab)
    copy = Path(shutil.copytree(lab, tmp_path / "copy"))
    other = render_lab(tmp_path, f"{lab.name}-o")
    for directory in (copy, other):
        down = mtlslab("down", "--dir", directory, cwd=tmp_path)
        assert (down.code, down.out.startswith("Nothing runs of the lab")) == (0, True), down
    # The proof may have been killed while it ended a twin: such a one still goes, by itself.
    left = twin_masters(lab)
    assert left
    assert all(master in before for master in left)
    assert not (copy / "twins").exists()


def test_down_does_not_end_the_twins_of_a_proof_at_work(lab: Path) -> None:
    process = prove_until_twins_run(lab)
    down = mtlslab("down", cwd=lab)
    assert (down.code, "at work on this lab" in down.err) == (3, True)
    run = ended(process)
    assert run.code == 0, run.err


def test_a_proof_whose_lab_is_taken_away_ends_with_words_and_without_a_verdict(lab: Path, tmp_path: Path) -> None:
    process = prove_until_twins_run(lab)
    remove_under_use(lab)
    down = mtlslab("down", "--dir", lab, cwd=tmp_path)
    run = ended(process)
    assert down.code == 0
    assert run.code in (3, 4), run
    assert run.err.startswith("Error: ")
    assert twin_masters(lab) == []
    assert not (lab / "twins").exists()


def test_twins_listen_on_loopback_and_hold_no_key_but_the_servers(
    tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    """The lab is for everybody in the room; its twins, which let strangers in, are not."""
    place = render_lab(tmp_path, lab_name, "--listen", EVERYWHERE, "--crl")
    process = prove_until_twins_run(place, "verify", "--prove", "--mutant", "empty-crl")
    addresses, keys = set(), set()
    while process.poll() is None:
        for master in twin_masters(place):
            with contextlib.suppress(psutil.Error):
                addresses |= {item.laddr.ip for item in master.net_connections("tcp") if item.status == "LISTEN"}
        keys |= {path.relative_to(place / "twins").parts[1:] for path in secrets_in(place / "twins")}
    assert ended(process).code == 0
    assert addresses == {"127.0.0.1"}
    assert {path for path in keys if not path[-1].startswith(".tmp-")} == {("certs", "server.key")}


def assert_loopback_only(place: Path) -> None:
    """On this machine; a container's addresses are its own, and its ports are published as the plan says."""
    for file in place.rglob("*.conf"):
        if file.name == "listen.container.conf":
            continue
        for address in re.findall(r"\blisten\s+([^;\s]+)", re.sub(r"(?m)^\s*#.*", "", file.read_text())):
            assert address.startswith(("127.0.0.1:", "[::1]:")), (place.name, address)


def keys_in(place: Path) -> dict[Path, set[bytes]]:
    """The private keys in the files below a directory: what stands between the lines of their PEM, in DER."""
    block = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", re.DOTALL)
    return {path: {base64.b64decode(body) for body in block.findall(path.read_bytes())} for path in secrets_in(place)}


def test_no_mutant_needs_more_than_the_servers_key(lab: Path) -> None:
    """Sabotage signs with the lab's CAs in memory; what it opens to everybody is not even the lab's."""
    workspace = Workspace(lab)
    record = workspace.require()
    prepared = mtlslab("certs", "issue", "--fault", "revoked", cwd=lab)
    assert prepared.code == 0, prepared.err
    of_the_lab = set().union(*keys_in(lab / "certs").values())
    servers = keys_in(lab / "certs")[lab / "certs/server.key"]
    assert len(of_the_lab) > 3
    for mutant in MUTANTS.values():
        twin = make_twin(workspace, make_spec(record.spec), mutant.name, crl=mutant.crl, now=NOW)
        mutant.sabotage(twin)
        place = twin.workspace.directory
        assert_loopback_only(place)
        for path, keys in keys_in(place).items():
            known = keys & of_the_lab
            assert known <= servers, (mutant.name, path)
            assert not known or path == place / "certs/server.key", (mutant.name, path)
            assert not known or not path.stat().st_mode & 0o077, (mutant.name, path)
        for path in place.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert not any(key in path.read_bytes() for key in of_the_lab), (mutant.name, path)


def test_a_twin_of_a_lab_that_is_gone_is_not_made_in_its_place(lab: Path) -> None:
    workspace = Workspace(lab)
    spec = make_spec(workspace.require().spec)
    remove_under_use(lab)
    with pytest.raises(LabNotFoundError):
        make_twin(workspace, spec, "x", crl=False, now=NOW)
    assert not lab.exists()


# --- the same in Docker


@pytest.fixture
def docker_lab(tmp_path: Path, lab_name: str, engine: Any) -> Iterator[Path]:
    place = render_lab(tmp_path, lab_name, runtime="docker")
    yield place
    for item in twins_in(engine.api.containers(all=True), place):
        engine.api.remove_container(item["Id"], force=True)
    for item in twins_in(engine.api.networks(), place):
        engine.api.remove_network(item["Id"])


def twins_in(items: Iterable[dict[str, Any]], lab: Path) -> list[dict[str, Any]]:
    """Those containers, networks or volumes, as the engine lists them, that belong to a lab's twins."""
    prefix = twin_name(Workspace(lab), "x").removesuffix("x")
    return [item for item in items if (item["Labels"] or {}).get("mtlslab.lab", "").startswith(prefix)]


def left_in_docker(engine: Any, lab: Path) -> list[dict[str, Any]]:
    """All that the engine has of a lab's twins."""
    api = engine.api
    return twins_in([*api.containers(all=True), *api.networks(), *(api.volumes()["Volumes"] or ())], lab)


def prove_in_docker(lab: Path, engine: Any) -> subprocess.Popen[str]:
    """A proof under way: a container of a twin runs."""
    process = start(*PROVE, cwd=lab)
    wait_for(lambda: twins_in(engine.api.containers(), lab) or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process


@pytest.mark.engine
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interrupted_proof_leaves_nothing_in_docker(number: signal.Signals, docker_lab: Path, engine: Any) -> None:
    process = prove_in_docker(docker_lab, engine)
    process.send_signal(number)
    assert ended(process).code == 130
    assert left_in_docker(engine, docker_lab) == []
    assert not (docker_lab / "twins").exists()


@pytest.mark.engine
@pytest.mark.parametrize("fate", ["kept", "removed"])
def test_down_removes_what_a_killed_proof_has_left_in_docker(
    fate: str, docker_lab: Path, engine: Any, tmp_path: Path
) -> None:
    process = prove_in_docker(docker_lab, engine)
    process.kill()
    ended(process)
    twins = twins_in(engine.api.containers(), docker_lab)
    published = {port["IP"] for item in twins for port in item["Ports"] if "IP" in port}
    assert published == {"127.0.0.1"}
    if fate == "removed":
        shutil.rmtree(docker_lab)
    else:
        assert "docker" in mtlslab("status", cwd=docker_lab).out
    assert mtlslab("down", "--dir", docker_lab, cwd=tmp_path).code == 0
    assert left_in_docker(engine, docker_lab) == []
    assert not (docker_lab / "twins").exists()


@pytest.mark.engine
def test_down_removes_the_network_and_the_volume_of_a_twin_that_never_started(
    docker_lab: Path, engine: Any, tmp_path: Path
) -> None:
    name = twin_name(Workspace(docker_lab), "verify-off")
    engine.networks.create(network_name(name), labels=network_labels(name))
    engine.volumes.create(volume_name(name, MTLS_SERVICE), labels=volume_labels(name, MTLS_SERVICE))
    assert mtlslab("down", cwd=docker_lab).code == 0
    assert left_in_docker(engine, docker_lab) == []


@pytest.mark.engine
def test_a_proof_on_processes_ends_what_one_in_docker_has_left(docker_lab: Path, engine: Any) -> None:
    process = prove_in_docker(docker_lab, engine)
    process.kill()
    ended(process)
    prove(locate(None, docker_lab, here=docker_lab), Runtimes(docker_lab).named("embedded"), ["verify-off"])
    assert left_in_docker(engine, docker_lab) == []

"""Disks that are full or read-only, files that are none, a clock that is wrong, a workspace that moved."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from mtlslab.cli.reportfile import write_report
from mtlslab.errors import MachineError, SpecError
from mtlslab.pki import load_key

from tests.conftest import REQUIRE_ENGINE
from tests.support.cli import Run, environment, mtlslab
from tests.support.in_process import NO_ENGINE, invoke

EC = ("--key-type", "ec-p256", "--tls-port", "0", "--mtls-port", "0")
EMBEDDED = ("--runtime", "embedded", *EC)
FULL = "No space left on device"
NOBODY = 65534
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
# Loads all that a command may need, so that it can go on as a user who may not read this checkout or this Python.
AS_NOBODY = """
import os, pkgutil, importlib, sys
import docker.api, docker.context, docker.tls
import mtlslab
for module in pkgutil.walk_packages(mtlslab.__path__, "mtlslab."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from mtlslab.cli.main import main
words, sys.argv = sys.argv, ["mtlslab", "status", "--dir", "/nonexistent"]
try:
    main()
except SystemExit:
    sys.argv = words
os.setgroups([]); os.setgid(65534); os.setuid(65534)
main()
"""

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk or become another user")


def mount(*words: str | Path) -> None:
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    problem = f"nothing can be mounted here: {done.stderr.strip()}"
    pytest.fail(problem) if REQUIRE_ENGINE else pytest.skip(problem)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own: 1 MiB; how many files it takes is set by `allow`."""
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "none", place)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def allow(disk: Path, files: int) -> None:
    """Set how many files and directories fit on the disk, itself included."""
    mount("-o", f"remount,nr_inodes={files}", disk)


def used(disk: Path) -> int:
    state = os.statvfs(disk)
    return state.f_files - state.f_ffree


def down(directory: Path) -> None:
    assert invoke("down", "--dir", directory).code == 0


def masters(directory: Path) -> list[psutil.Process]:
    found = psutil.process_iter(["name", "cmdline"])
    return [item for item in found if item.info["name"] == "nginx" and f"{directory}/" in (item.info["cmdline"] or [])]


def keys_are_whole(directory: Path) -> None:
    for key in directory.rglob("*.key"):
        load_key(key.read_bytes())
        assert key.stat().st_mode & 0o777 == 0o600


def port_of(directory: Path, kind: str = "tls_port") -> int:
    port: int = json.loads((directory / "lab.json").read_text())["spec"][kind]
    return port


def is_served(directory: Path) -> bool:
    context = ssl.create_default_context(cafile=str(directory / "certs/server-ca.crt"))
    url = f"https://localhost:{port_of(directory)}/hello-world.txt"
    with urllib.request.urlopen(url, context=context, timeout=20) as answer:
        return bool(answer.read().startswith(b"Hello"))


# --- a full disk


@root_only
def test_a_disk_that_is_full_at_any_file_ends_render_with_3_and_room_mends_it(disk: Path) -> None:
    """From no room at all to room for everything, one file more each time: also what lies there half-done is taken."""
    lab, refused = disk / "lab", 0
    for room in range(used(disk) + 1, 60):
        allow(disk, max(room, used(disk)))
        run = invoke("render", "--dir", lab, *EC)
        keys_are_whole(lab)
        assert list(disk.rglob(".tmp-*")) == []
        if run.code == 0:
            break
        assert (run.code, FULL in run.err) == (3, True), run.err
        refused += 1
    assert run.code == 0
    assert refused >= 20
    allow(disk, 100)
    assert invoke("render", "--dir", lab).code == 0


@root_only
def test_a_disk_that_is_full_at_any_file_ends_up_with_3_and_nothing_runs(
    disk: Path, lab_name: str, nginx_binary: Path
) -> None:
    lab = disk / lab_name
    assert invoke("render", "--dir", lab, *EC).code == 0
    refused = 0
    for room in range(used(disk), used(disk) + 40, 3):
        allow(disk, max(room, used(disk)))
        run = invoke("up", "--dir", lab, *EMBEDDED)
        if run.code == 0:
            break
        assert (run.code, FULL in run.err) == (3, True), run.err
        assert masters(lab) == []
        refused += 1
    assert is_served(lab)
    assert refused >= 3
    down(lab)


@root_only
def test_a_disk_that_fills_up_under_a_running_lab_stops_neither_service_nor_down(
    disk: Path, lab_name: str, nginx_binary: Path, tmp_path: Path
) -> None:
    lab = disk / lab_name
    assert invoke("up", "--dir", lab, *EMBEDDED).code == 0
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(b"x" * 4096):
            pass
    assert is_served(lab)  # although nginx cannot write a line about it
    assert invoke("status", "--dir", lab).code == 0
    again = invoke("up", "--dir", lab, "--days", "7")  # a wish that needs new files
    assert (again.code, FULL in again.err) == (3, True)
    assert len(masters(lab)) == 2
    assert invoke("certs", "issue", "bob", "--dir", lab).code == 3
    keys_are_whole(lab)
    down(lab)
    assert masters(lab) == []


@root_only
def test_a_report_that_does_not_fit_ends_with_3_and_leaves_the_earlier_one_whole(disk: Path, tmp_path: Path) -> None:
    report = disk / "report.json"
    report.write_text("the earlier one")
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(b"x" * 4096):
            pass
    assert invoke("render", "--dir", tmp_path / "lab", *EC).code == 0
    run = invoke("verify", "--dir", tmp_path / "lab", "--only", "tls-serves-with-ca", "--output-file", report)
    assert (run.code, FULL in run.err) == (3, True)
    assert report.read_text() == "the earlier one"
    assert sorted(path.name for path in disk.iterdir()) == ["filler", "report.json"]


def test_a_report_goes_to_devices_through_links_and_nowhere_else(tmp_path: Path) -> None:
    write_report(Path(os.devnull), "x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_report(tmp_path / "link", "x")
    assert ((tmp_path / "link").is_symlink(), (tmp_path / "real").read_text()) == (True, "x")
    with pytest.raises(MachineError, match="Cannot write /dev/full"):
        write_report(Path("/dev/full"), "x")
    for wrong in (tmp_path, tmp_path / "none/report", tmp_path / ("x" * 300)):
        with pytest.raises(SpecError, match="Cannot write"):
            write_report(wrong, "x")


# --- a read-only disk, and rights


@root_only
def test_on_a_disk_that_became_read_only_reading_and_down_work_and_writing_says_why(
    tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    lab = tmp_path / lab_name
    assert invoke("up", "--dir", lab, *EMBEDDED).code == 0
    mount("--bind", lab, lab)
    mount("-o", "remount,ro,bind", lab)
    try:
        for words in (("status",), ("logs", "--tail", "1"), ("certs", "list")):
            assert invoke(*words, "--dir", lab).code == 0, words
        for words in (("certs", "issue", "bob"), ("certs", "export", "client"), ("up", "--days", "9"), ("render",)):
            run = invoke(*words, "--dir", lab)
            assert (run.code, "Read-only file system" in run.err) == (2, True), run
        assert masters(lab)
        assert invoke("down", "--dir", lab).code == 0
        assert masters(lab) == []
    finally:
        subprocess.run(["umount", lab], check=True)
    keys_are_whole(lab)


def as_nobody(*arguments: str | Path, **more: str) -> Run:
    """Run a command as a user without rights, in the root directory."""
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *map(str, arguments)],
        cwd="/", env=environment(**more), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return Run(done.returncode, done.stdout, done.stderr)


@root_only
def test_a_user_without_rights_is_told_and_changes_nothing(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    assert invoke("render", "--dir", lab, *EC).code == 0
    for directory in (tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    before = {path: path.stat().st_mtime_ns for path in lab.rglob("*")}
    run = as_nobody("down", "--dir", lab, **NO_ENGINE)  # what cannot be seen is not "nothing"
    assert (run.code, "Permission denied" in run.err) == (2, True), run
    tmp_path.chmod(0o755)
    for words in (("render",), ("up", "--runtime", "embedded"), ("certs", "issue", "bob"), ("down", "--purge")):
        run = as_nobody(*words, "--dir", lab, **NO_ENGINE)
        assert (run.code, "Permission denied" in run.err) == (2, True), run
    assert as_nobody("up", "--runtime", "embedded", "--dir", "/mtlslab-nobody").code == 2
    assert {path: path.stat().st_mtime_ns for path in lab.rglob("*")} == before


# --- what is no file


def kinds(outside: Path) -> dict[str, Callable[[Path], object]]:
    """What may stand where a file or directory of the lab belongs."""
    return {
        "link to a file": lambda path: path.symlink_to(outside / "precious"),
        "link to a directory": lambda path: path.symlink_to(outside / "directory"),
        "link to nowhere": lambda path: path.symlink_to(outside / "nowhere"),
        "FIFO": os.mkfifo,
        "directory": lambda path: (path.mkdir(), (path / "precious").write_text("mine")),
    }


def snapshot(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a directory: mode and content; of what is no file only the mode."""
    found = {}
    for path in sorted(directory.rglob("*")):
        info = path.lstat()
        found[str(path)] = (info.st_mode, path.read_bytes() if path.is_file() and not path.is_symlink() else b"")
    return found


def commands_for(path: Path) -> list[tuple[str, ...]]:
    """Commands that read, write or remove a path of the lab."""
    commands: list[tuple[str, ...]] = [("render",)]
    if path.parts[0] in ("certs", "crl"):
        issue = [("certs", "issue", "bob", "--overwrite"), ("certs", "issue", "--fault", "revoked")]
        commands += [("certs", "list"), *issue, ("certs", "revoke", "client"), ("certs", "export", "client")]
    if path.parts[0] in ("run", "logs") or path.name == "server.crt":
        commands += [("up", "--runtime", "embedded", "--wait", "1s", "--trust"), ("reload", "--trust"), ("down",)]
    return [*commands, ("render", "--overwrite", "--rotate-certs"), ("down", "--purge")]


@pytest.mark.parametrize("kind", ["link to a file", "link to a directory", "link to nowhere", "FIFO", "directory"])
def test_whatever_stands_in_place_of_a_file_nothing_outside_is_touched(
    kind: str, tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "directory").mkdir(parents=True)
    for name in ("precious", "directory/server.key", "directory/hello-world.txt"):
        (outside / name).write_text("mine")
    before = snapshot(outside)
    model = tmp_path / "model"
    assert invoke("render", "--dir", model, "--name", lab_name, "--crl", *EC).code == 0
    assert invoke("certs", "issue", "bob", "--dir", model).code == 0
    (model / "logs").mkdir()
    (model / "logs/nginx-tls.log").write_text("")
    (model / "run").mkdir()
    (model / "run/nginx-tls.json").write_text("")
    paths = [path.relative_to(model) for path in model.rglob("*")] + [Path("twins"), Path("certs/faults/expired.crt")]
    # Both services, and both CAs, go through the same code.
    for path in (path for path in paths if "server-ca" not in path.name and path.parts[0] != "nginx-tls"):
        lab = tmp_path / "lab"
        shutil.copytree(model, lab)
        target = lab / path
        if target.is_dir():
            shutil.rmtree(target)
        target.unlink(missing_ok=True)
        target.parent.mkdir(exist_ok=True)
        kinds(outside)[kind](target)
        for words in commands_for(path):
            invoke(*words, "--dir", lab, "--name", lab_name)
        assert masters(lab) == []
        assert snapshot(outside) == before, path
        shutil.rmtree(lab, ignore_errors=True)


# --- the clock


@pytest.fixture
def clock() -> Callable[[str], dict[str, str]]:
    """Settings that make a program believe in another time: "+400d", "-2d"."""
    if FAKETIME is None:
        problem = "no libfaketime (Debian: apt-get install faketime)"
        pytest.fail(problem) if REQUIRE_ENGINE else pytest.skip(problem)
    return lambda shift: {"LD_PRELOAD": str(FAKETIME), "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def test_a_clock_set_back_is_named_and_no_certificate_is_thrown_away(
    tmp_path: Path, clock: Callable[[str], dict[str, str]]
) -> None:
    mtlslab("render", "--name", "x", *EC, cwd=tmp_path)
    before = snapshot(tmp_path / "x/certs")
    run = mtlslab("render", "--name", "x", cwd=tmp_path, **clock("-2d"))
    assert run.code == 2
    assert "not valid yet" in run.err
    assert "Set the clock" in run.err
    assert snapshot(tmp_path / "x/certs") == before
    assert mtlslab("render", "--name", "x", cwd=tmp_path).code == 0


def test_a_clock_ahead_renews_leaves_and_leaves_an_expired_ca_to_a_person(
    tmp_path: Path, clock: Callable[[str], dict[str, str]]
) -> None:
    mtlslab("render", "--name", "x", *EC, cwd=tmp_path)
    renewed = mtlslab("render", "--name", "x", cwd=tmp_path, **clock("+500d"))
    assert renewed.code == 0
    assert "certs/server.crt: the old one expired" in renewed.err
    # Back in the present, leaves of the future are re-issued: the CA is as it was.
    back = mtlslab("render", "--name", "x", cwd=tmp_path)
    assert (back.code, "was not valid yet" in back.err) == (0, True)
    late = mtlslab("render", "--name", "x", cwd=tmp_path, **clock("+1100d"))
    assert (late.code, "server-ca.crt has expired" in late.err) == (2, True)


def test_verify_with_a_wrong_clock_fails_and_says_what_the_client_saw(
    tmp_path: Path, lab_name: str, nginx_binary: Path, clock: Callable[[str], dict[str, str]]
) -> None:
    mtlslab("up", "--name", lab_name, *EMBEDDED, cwd=tmp_path)
    try:
        run = mtlslab("verify", "--name", lab_name, "--only", "tls-serves-with-ca", cwd=tmp_path, **clock("-2d"))
        assert run.code == 1, run
        assert "not yet valid" in run.out
    finally:
        mtlslab("down", "--name", lab_name, cwd=tmp_path)


# --- moved, rotated, killed by hand


def test_a_workspace_that_was_moved_while_it_ran_is_taken_over_by_the_next_up(
    tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    assert invoke("up", "--dir", old, "--name", lab_name, *EMBEDDED).code == 0
    before = {item.pid for item in masters(old)}
    old.rename(new)
    try:
        assert invoke("status", "--dir", new).code == 0
        assert invoke("up", "--dir", new, "--runtime", "embedded").code == 0
        assert masters(old) == []
        assert len({item.pid for item in masters(new)} - before) == 2
        assert is_served(new)
    finally:
        down(new)
    assert masters(new) == []
    assert not old.exists()


def test_a_log_that_was_moved_or_emptied_hinders_nothing(tmp_path: Path, lab_name: str, nginx_binary: Path) -> None:
    lab = tmp_path / lab_name
    assert invoke("up", "--dir", lab, *EMBEDDED).code == 0
    try:
        (lab / "logs/nginx-mtls.log").rename(lab / "logs/old.log")
        (lab / "logs/nginx-tls.log").write_text("")
        assert (
            invoke("verify", "--dir", lab, "--only", "tls-serves-with-ca", "--only", "mtls-refuses-expired").code == 0
        )
        assert invoke("logs", "--dir", lab).code == 0
        assert "it already ran as asked" in invoke("up", "--dir", lab).out
    finally:
        down(lab)


def test_a_directory_whose_name_nginx_reads_as_a_pattern_is_refused(
    tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    """Nginx would look for files that match "lab[1]/.../listen.conf", find none, and listen on 0.0.0.0:80."""
    for name in ("lab[1]", "a*", "what?"):
        run = invoke("up", "--dir", tmp_path / name, "--name", lab_name, *EMBEDDED)
        assert (run.code, "pattern" in run.err) == (2, True), run
        assert masters(tmp_path / name) == []


# --- where the program is started


def test_a_directory_that_is_gone_and_links_that_lead_round_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert invoke("status", "--dir", tmp_path / "a").code in (2, 3)
    words = f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} -m mtlslab"
    for command in ("status", "render", "doctor"):
        done = subprocess.run(
            ["sh", "-c", f"{words} {command}"], cwd=tmp_path, env=environment(), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert (done.returncode, "The current directory is gone" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_are_no_reason_to_fail(tmp_path: Path, closed: str) -> None:
    words = f"exec {sys.executable} -m mtlslab render --dir lab {' '.join(EC)} {closed}"
    assert subprocess.run(["sh", "-c", words], cwd=tmp_path, env=environment(), check=False).returncode == 0
    words = f"exec {sys.executable} -m mtlslab verify --dir lab --only tls-serves-with-ca {closed}"
    assert subprocess.run(["sh", "-c", words], cwd=tmp_path, env=environment(**NO_ENGINE), check=False).returncode == 6


def test_talk_that_nobody_hears_does_not_stop_the_work(tmp_path: Path) -> None:
    for ignored in ("/dev/full", "/dev/null"):
        with Path(ignored).open("w") as stderr:
            words = [sys.executable, "-m", "mtlslab", "render", "--dir", "lab", "--days", "30", *EC]
            done = subprocess.run(words, cwd=tmp_path, env=environment(), stderr=stderr, check=False)
        assert done.returncode == 0
        (tmp_path / "lab/certs/client.crt").unlink()  # the next one has something to say
    assert (tmp_path / "lab/docker-compose.yml").exists()


def test_a_name_in_bytes_that_are_no_text_is_shown_somehow(tmp_path: Path) -> None:
    for coding in ("utf-8:strict", "ascii:strict"):
        directory = os.fsdecode(b"caf\xe9-" + coding[:5].encode())
        run = subprocess.run(
            [sys.executable, "-m", "mtlslab", "render", "--dir", directory, *EC],
            cwd=tmp_path, env=environment(PYTHONIOENCODING=coding), capture_output=True, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        assert (tmp_path / directory / "lab.json").exists()

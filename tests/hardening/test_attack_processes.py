"""Other users of the machine against root's lab: forged titles and memory files, links; what nginx itself may do."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from mtlslab.plan.services import MTLS_SERVICE, SERVICES, TLS_SERVICE
from mtlslab.runtime.embedded import processes
from mtlslab.runtime.embedded.marks import Mark, marked
from mtlslab.runtime.embedded.record import read_record
from mtlslab.runtime.sudo import UNPRIVILEGED_ID, sudo_user

from tests.support.cli import Run, command, environment, mtlslab
from tests.support.embedded_lab import eventually
from tests.support.other_user import ALICE, MALLORY, home_of, mtlslab_as, root_only, start_as

pytestmark = [pytest.mark.nginx, root_only]
UP = ("up", "--runtime", "embedded", "--key-type", "ec-p256", "--tls-port", "0", "--mtls-port", "0")


@pytest.fixture
def lab(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    """The directory of a lab of root's, which runs; the way there is closed to everybody else."""
    directory = tmp_path / "closed" / "lab"
    directory.parent.mkdir(mode=0o700)
    assert on_lab(directory, lab_name, *UP).code == 0
    yield directory
    on_lab(directory, lab_name, "down", "--purge")
    assert processes.scan(lab_name).services == frozenset()


def on_lab(directory: Path, name: str, *words: str | Path, **more: str) -> Run:
    return mtlslab(*words, "--name", name, "--dir", directory, cwd=directory.parent, **more)


def forged_title(lab: str, directory: Path, binary: str | Path = "/bin/true", service: str = TLS_SERVICE) -> str:
    """The title of an nginx master, as `up` makes it for an ordinary user."""
    return f"{binary} -p {directory}/ -c {directory}/{service}/nginx.conf -g daemon off; env MTLSLAB_LAB={lab};"


@contextlib.contextmanager
def shows_title(uid: int, title: str, *, pass_fds: tuple[int, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a user that shows a title, in a session of its own; it must live as long as the test."""
    words = ("bash", "-c", 'exec -a "$1" sh', "bash", title)
    child = start_as(uid, *words, stdin=subprocess.PIPE, start_new_session=True, pass_fds=pass_fds)
    try:
        eventually(lambda: processes.title(psutil.Process(child.pid)) == title)
        yield child
        assert child.poll() is None, "the process of another user was ended"
    finally:
        child.kill()
        child.communicate()


def of_lab(name: str) -> list[psutil.Process]:
    """Masters and workers of a lab, found by what they descend from."""
    masters = [item.process for item in processes.scan(name).masters]
    assert len(masters) == len(SERVICES)
    eventually(lambda: all(item.children() for item in masters))
    return [*masters, *(child for item in masters for child in item.children())]


def writers_of(directory: Path) -> list[psutil.Process]:
    records = [read_record(directory, service) for service in SERVICES]
    return [psutil.Process(record.writer) for record in records if record]


def status_of(process: psutil.Process) -> dict[str, str]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


# --- titles and memory files of other users


@pytest.mark.parametrize("uid", [MALLORY, UNPRIVILEGED_ID])
def test_root_runs_no_program_that_a_title_names(lab: Path, lab_name: str, tmp_path: Path, uid: int) -> None:
    home = home_of(uid, tmp_path)
    evil = home / "nginx"
    evil.write_text(f"#!/bin/sh\nid -u > {shlex.quote(str(home / 'ran'))}\n")
    evil.chmod(0o755)
    for directory in (lab, home):
        with shows_title(uid, forged_title(lab_name, directory, evil)):
            reloaded = on_lab(lab, lab_name, "reload")
            assert (reloaded.code, reloaded.out.count("is applied")) == (0, 2)
    assert not (home / "ran").exists()


def test_a_title_blocks_neither_up_nor_down_and_is_not_shown(lab: Path, lab_name: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert mtlslab("render", "--dir", other, "--name", f"{lab_name}-2", cwd=tmp_path).code == 0
    with shows_title(MALLORY, forged_title(lab_name, other)) as forged:
        shown = on_lab(lab, lab_name, "status")
        assert (shown.code, len(shown.out.splitlines())) == (0, 2)
        assert str(forged.pid) not in shown.out
        assert "it already ran as asked" in on_lab(lab, lab_name, *UP).out
        assert on_lab(lab, lab_name, "down").out == "Removed: nginx-tls, nginx-mtls.\n"
        assert on_lab(lab, lab_name, "status").code == 4
        assert on_lab(lab, lab_name, *UP).code == 0


def test_down_removes_nothing_from_a_directory_that_a_title_names(lab: Path, lab_name: str, tmp_path: Path) -> None:
    run = tmp_path / "of-root" / "run"
    run.mkdir(parents=True)
    for name in (f"{TLS_SERVICE}.pid", f"{TLS_SERVICE}.json"):
        (run / name).write_text("precious")
    (run / f"{TLS_SERVICE}-link").symlink_to("/")
    with shows_title(MALLORY, forged_title(lab_name, run.parent)):
        assert on_lab(lab, lab_name, "down").code == 0
        assert mtlslab("down", "--name", lab_name, cwd=tmp_path).code == 0
    assert len(list(run.iterdir())) == 3


def test_logs_print_no_file_that_a_title_or_a_link_leads_to(lab: Path, lab_name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret of root\n")
    home = home_of(MALLORY, tmp_path)
    (home / "logs").mkdir()
    (home / f"logs/{TLS_SERVICE}.log").symlink_to(secret)
    on_lab(lab, lab_name, "down")
    with shows_title(MALLORY, forged_title(lab_name, home)):
        run = on_lab(lab, lab_name, "logs")
    assert (run.code, "secret" in run.out) == (4, False)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
@pytest.mark.parametrize("name", [f"{TLS_SERVICE}.log", f"{TLS_SERVICE}.log.1"])
def test_logs_of_a_lab_follow_no_link(
    lab: Path, lab_name: str, tmp_path: Path, name: str, link: Callable[[Path, Path], None]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret of root\n")
    (lab / "logs" / name).unlink(missing_ok=True)
    link(lab / "logs" / name, secret)
    shown = on_lab(lab, lab_name, "logs")
    assert "secret" not in shown.out
    assert (shown.code, "cannot be read" in shown.err) == ((0, False) if name.endswith(".1") else (3, True))


def test_logs_are_not_read_through_a_link_in_place_of_their_directory(lab: Path, lab_name: str, tmp_path: Path) -> None:
    (lab / "logs").rename(tmp_path / "moved")
    (tmp_path / f"moved/{TLS_SERVICE}.log").write_text("the secret of root\n")
    (lab / "logs").symlink_to(tmp_path / "moved")
    shown = on_lab(lab, lab_name, "logs")
    assert (shown.code, "secret" in shown.out) == (3, False)


MARKED = """
import os, pathlib, sys
sys.path[:0] = sys.argv[1].split(os.pathsep)
from mtlslab.runtime.embedded.marks import Mark, marked
lab, uid = sys.argv[2], os.geteuid()
with marked(Mark(lab, "nginx-tls", pathlib.Path("/"), pathlib.Path("/bin/true"), uid, uid)) as new:
    old = os.memfd_create(f"mtlslab:{lab}:nginx-tls", 0)
    for number in (*new, old):
        os.set_inheritable(number, True)
    os.execv("/bin/sh", [sys.argv[3]])
"""


@pytest.mark.parametrize("uid", [MALLORY, UNPRIVILEGED_ID])
def test_a_memory_file_of_another_user_makes_no_process_ours(
    lab: Path, lab_name: str, tmp_path: Path, uid: int
) -> None:
    from tests.support import other_user

    python, path = other_user._python_for_all()
    for title in ("nginx: worker process", forged_title(lab_name, tmp_path)):
        words = (python, "-c", MARKED, path, lab_name, title)
        forged = start_as(uid, *words, stdin=subprocess.PIPE, start_new_session="worker" not in title)
        try:
            eventually(lambda: processes.title(psutil.Process(forged.pid)) == title)  # noqa: B023  it is asked at once
            assert str(forged.pid) not in on_lab(lab, lab_name, "status").out
            assert on_lab(lab, lab_name, "reload").code == 0
            assert on_lab(lab, lab_name, "down").code == 0
            assert forged.poll() is None
            assert on_lab(lab, lab_name, *UP).code == 0
        finally:
            forged.kill()
            forged.communicate()


def test_a_mark_that_came_into_other_hands_makes_no_process_ours(lab: Path, lab_name: str) -> None:
    mark = Mark(lab_name, TLS_SERVICE, lab, Path("/bin/true"), UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    with marked(mark) as inherited, shows_title(MALLORY, "nginx: worker process", pass_fds=inherited):
        assert processes.scan(lab_name).orphans == ()
        assert on_lab(lab, lab_name, "down").code == 0


def test_the_mark_of_a_lab_cannot_be_changed(lab: Path, lab_name: str) -> None:
    mark = processes.scan(lab_name).masters[0].mark
    with marked(mark) as (descriptor,), pytest.raises(PermissionError):
        os.write(descriptor, b"{}")


def test_a_record_that_another_user_put_there_is_none(lab: Path, lab_name: str) -> None:
    record = lab / "run" / f"{TLS_SERVICE}.json"
    os.chown(record, UNPRIVILEGED_ID, UNPRIVILEGED_ID)  # run/ is that user's, who could write one
    assert read_record(lab, TLS_SERVICE) is None


# --- what runs


@pytest.mark.parametrize("sudo", [{}, {"SUDO_UID": str(ALICE), "SUDO_GID": str(ALICE + 1)}, {"SUDO_UID": "0"}])
def test_nothing_that_root_starts_runs_as_root(lab_name: str, tmp_path: Path, sudo: dict[str, str]) -> None:
    directory = tmp_path / "lab"
    try:
        assert on_lab(directory, lab_name, *UP, **sudo).code == 0
        uid, gid = (ALICE, ALICE + 1) if len(sudo) == 2 else (UNPRIVILEGED_ID, UNPRIVILEGED_ID)
        assert (directory / "certs/server.key").stat().st_uid == uid
        for process in (*of_lab(lab_name), *writers_of(directory)):
            status = status_of(process)
            assert (set(status["Uid"].split()), set(status["Gid"].split())) == ({str(uid)}, {str(gid)})
            assert status["Groups"] == ""
            assert [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")] == [0, 0, 0]
        assert "it already ran as asked" in on_lab(directory, lab_name, *UP, **sudo).out
    finally:
        on_lab(directory, lab_name, "down", "--purge")


@pytest.mark.parametrize("uid", ["", "0", "-1", "root", "4294967295", "9" * 5000, "\u0661", " 1000"])
def test_what_is_no_user_in_sudos_variables_counts_for_nothing(monkeypatch: pytest.MonkeyPatch, uid: str) -> None:
    for name, other in (("SUDO_UID", "SUDO_GID"), ("SUDO_GID", "SUDO_UID")):
        monkeypatch.setenv(name, uid)
        monkeypatch.setenv(other, str(ALICE))
        assert sudo_user() is None
    monkeypatch.setenv("SUDO_GID", str(ALICE + 1))
    assert sudo_user() == (ALICE, ALICE + 1)


def test_a_key_that_root_left_with_itself_is_given_to_who_reads_it(lab: Path, lab_name: str) -> None:
    on_lab(lab, lab_name, "down")
    os.chown(lab / "certs/server.key", 0, 0)
    assert on_lab(lab, lab_name, *UP).code == 0
    assert (lab / "certs/server.key").stat().st_uid == UNPRIVILEGED_ID


def test_a_lab_below_a_closed_directory_is_served_and_takes_edits(lab: Path, lab_name: str) -> None:
    assert on_lab(lab, lab_name, "verify").code == 0
    conf = lab / MTLS_SERVICE / "nginx.conf"
    conf.write_text(conf.read_text().replace("ssl_verify_client on;", "ssl_verify_clients on;"))
    refused = on_lab(lab, lab_name, "reload")
    assert (refused.code, "unknown directive" in refused.err) == (3, True)
    conf.write_text(conf.read_text().replace("ssl_verify_clients on;", "ssl_verify_client off;"))
    assert on_lab(lab, lab_name, "reload").code == 0
    assert on_lab(lab, lab_name, "verify").code == 1


def test_a_closed_binary_and_a_closed_workspace_are_opened_no_further_than_needed(
    lab_name: str, tmp_path: Path, nginx_binary: Path
) -> None:
    binary = tmp_path / "nginx"  # below a directory that is closed to the user who runs it
    shutil.copy(nginx_binary, binary)
    directory = tmp_path / "lab"
    directory.mkdir(mode=0o700)
    try:
        run = on_lab(directory, lab_name, *UP, "--nginx", binary)
        assert (run.code, "chmod o+x" in run.err) == (0, True)
        assert directory.stat().st_mode & 0o777 == 0o711
        assert on_lab(directory, lab_name, "reload").code == 0
    finally:
        on_lab(directory, lab_name, "down", "--purge")


def test_a_port_of_root_is_opened_for_nginx_and_stays_open_at_reload(lab: Path, lab_name: str) -> None:
    for port in range(1000, 600, -1):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            break
    assert on_lab(lab, lab_name, *UP[:-3], str(port), "--mtls-port", "0").code == 0
    assert {status_of(process)["CapEff"] for process in of_lab(lab_name)} == {"0" * 16}
    assert on_lab(lab, lab_name, "reload").code == 0
    assert on_lab(lab, lab_name, "verify").code == 0
    conf = lab / TLS_SERVICE / "nginx.conf"
    conf.write_text(conf.read_text().replace("default_type", "default_typo"))
    assert on_lab(lab, lab_name, "reload").code == 3


def test_root_hears_that_other_machines_may_reach_its_nginx(lab: Path, lab_name: str) -> None:
    assert "other machines" not in on_lab(lab, lab_name, *UP).err
    assert "0.0.0.0: other machines may reach it" in on_lab(lab, lab_name, *UP, "--listen", "0.0.0.0").err  # noqa: S104  this is meant


def test_root_that_may_not_look_into_other_processes_knows_its_own(lab: Path, lab_name: str) -> None:
    """Root in a container has no CAP_SYS_PTRACE, and nginx runs as another user."""
    for words, found in ((("status",), 2), (("down",), 0)):
        done = subprocess.run(
            ["setpriv", "--bounding-set", "-sys_ptrace", "--", *command(*words, "--name", lab_name, "--dir", lab)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout.count(" running ")) == (0, found), done.stderr
    assert processes.scan(lab_name).services == frozenset()


def test_what_a_killed_master_of_root_left_is_found_without_the_workspace(lab: Path, lab_name: str) -> None:
    left = of_lab(lab_name)
    for process in left[:2]:
        process.kill()
    shutil.rmtree(lab)
    assert mtlslab("down", "--name", lab_name, cwd=lab.parent).out == "Removed: nginx-tls, nginx-mtls.\n"
    assert not any(processes.is_alive(process) for process in left)


def test_a_binary_that_a_newer_one_replaced_still_belongs_to_its_lab(
    lab_name: str, tmp_path: Path, nginx_binary: Path
) -> None:
    binary, directory = tmp_path / "nginx", tmp_path / "lab"
    shutil.copy(nginx_binary, binary)
    assert on_lab(directory, lab_name, *UP, "--nginx", binary).code == 0
    shutil.copy(nginx_binary, tmp_path / "newer")
    (tmp_path / "newer").replace(binary)
    try:
        assert on_lab(directory, lab_name, "status").out.count(" running ") == 2
        assert on_lab(directory, lab_name, "reload").code == 0
    finally:
        assert on_lab(directory, lab_name, "down", "--purge").out == "Removed: nginx-tls, nginx-mtls.\n"


def test_a_log_writer_that_was_killed_is_mended_by_up(lab: Path, lab_name: str) -> None:
    for writer in writers_of(lab):
        writer.send_signal(signal.SIGKILL)
        eventually(lambda: not processes.is_alive(writer))  # noqa: B023  it is asked at once
    assert on_lab(lab, lab_name, "status").out.count(" running ") == 2
    assert "started nginx-tls, nginx-mtls" in on_lab(lab, lab_name, *UP).out
    assert on_lab(lab, lab_name, "verify").code == 0


# --- who is not root

WITHOUT_MEMORY_FILES = """
import os
del os.memfd_create
from mtlslab.cli.main import main
main()
"""


def test_an_ordinary_user_stays_who_it_is(lab_name: str, tmp_path: Path, nginx_binary: Path) -> None:
    home = home_of(MALLORY, tmp_path)
    sudo = {"SUDO_UID": str(ALICE), "SUDO_GID": str(ALICE)}  # means nothing to who is not root

    def own(*words: str) -> Run:
        return mtlslab_as(MALLORY, *words, "--name", lab_name, cwd=home, **sudo)

    assert own(*UP).code == 0
    try:
        services = json.loads(own("status", "-o", "json").out)["services"]
        found = [psutil.Process(int(item["identity"].removeprefix("pid "))) for item in services]
        assert {item.uids().real for item in found} == {MALLORY}
        # Root neither sees nor ends what another user runs under the same name.
        assert mtlslab("down", "--name", lab_name, cwd=tmp_path).out.startswith("Nothing runs")
        assert own("reload").code == 0
    finally:
        assert own("down").out == "Removed: nginx-tls, nginx-mtls.\n"


def _kill_the_master(identity: str) -> psutil.Process:
    """The worker goes on alone, and listens."""
    master = psutil.Process(int(identity.removeprefix("pid ")))
    worker = master.children()[0]
    master.kill()
    eventually(lambda: not processes.is_alive(master))
    assert processes.is_alive(worker)
    return worker


def test_where_there_are_no_memory_files_the_titles_of_the_own_user_do(
    lab_name: str, tmp_path: Path, nginx_binary: Path
) -> None:
    """On macOS, that is; root cannot run nginx there."""
    home = home_of(ALICE, tmp_path)

    def without(*words: str) -> Run:
        return mtlslab_as(ALICE, *words, "--name", lab_name, cwd=home, script=WITHOUT_MEMORY_FILES)

    assert without(*UP).code == 0
    try:
        with shows_title(MALLORY, forged_title(lab_name, home / lab_name)):
            assert without("status").out.count(" running ") == 2
            assert without("reload").code == 0
        worker = _kill_the_master(json.loads(without("status", "-o", "json").out)["services"][1]["identity"])
        assert "Removed: nginx-tls, nginx-mtls." in without("down").out
        assert not processes.is_alive(worker)
        assert without(*UP).code == 0
    finally:
        assert without("down").out == "Removed: nginx-tls, nginx-mtls.\n"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEMORY_FILES, *UP, "--name", lab_name],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Root cannot run nginx on this system" in done.stderr) == (3, True)

"""A workspace that somebody else prepared, may change, or made on another machine is not used without a word."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab.errors import MachineError, SpecError
from mtlslab.runtime.sudo import UNPRIVILEGED_ID
from mtlslab.workspace import own_labs as ownlabs
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.folder import open_folder
from mtlslab.workspace.lock import take_lock

from tests.conftest import REQUIRE_ENGINE
from tests.support.cli import Run, command, environment, mtlslab
from tests.support.embedded_lab import nginx_processes
from tests.support.in_process import invoke
from tests.support.other_user import ALICE, MALLORY, home_of, mtlslab_as, root_only, run_as
from tests.support.terminal import everything_from

EC = ("--key-type", "ec-p256", "--tls-port", "0", "--mtls-port", "0")
EMBEDDED = ("--runtime", "embedded", *EC)
NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
# Every command that reads or writes a lab.
COMMANDS = (
    ("up", "--runtime", "embedded"),
    ("up", "--runtime", "embedded", "--trust"),
    ("render",),
    ("render", "--overwrite", "--rotate-certs"),
    ("reload",),
    ("status",),
    ("logs",),
    ("verify",),
    ("verify", "--prove"),
    ("serve", "good", "--", "true"),
    ("clients", "curl"),
    ("explain", "mtls-refuses-expired"),
    ("certs", "list"),
    ("certs", "crl"),
    ("certs", "show", "certs/client.crt"),
    ("certs", "issue", "bob"),
    ("certs", "issue", "--fault", "expired"),
    ("certs", "revoke", "client"),
    ("certs", "export", "client"),
)


def modes_of(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory.parent)): f"{stat.S_IMODE(path.lstat().st_mode):04o}" for path in
            (directory, *directory.rglob("*"))}  # fmt: skip


def contents_of(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Owner, mode and content of everything below a directory."""
    return {
        str(path): (info.st_uid, info.st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(directory.rglob("*"))
        for info in [path.lstat()]
    }


# --- made by somebody else


@pytest.fixture
def prepared(tmp_path: Path, lab_name: str) -> Path:
    """A lab that mallory made, who knows its keys, and whose nginx.conf loads code of hers."""
    home = home_of(MALLORY, tmp_path)
    run = mtlslab_as(MALLORY, "render", "--dir", home / "lab", "--name", lab_name, "--crl", *EC, cwd=home)
    assert run.code == 0, run.err
    conf = home / "lab/nginx-mtls/nginx.conf"
    conf.write_text(f"load_module {home}/evil.so;\n{conf.read_text()}")
    return home / "lab"


@root_only
def test_a_lab_that_somebody_else_prepared_is_refused_by_every_command(prepared: Path) -> None:
    """Root, who would run mallory's nginx.conf, is told whose it is and how to say yes; nothing changes."""
    before = contents_of(prepared)
    for words in COMMANDS:
        run = invoke(*words, MTLSLAB_DIR=str(prepared))
        assert (run.code, run.out) == (2, ""), (words, run)
        assert f"uid {MALLORY}" in run.err, (words, run)
        assert f"chown -hR 0 {prepared}" in run.err, (words, run)
    assert contents_of(prepared) == before


@root_only
def test_another_user_is_told_the_same_without_a_command_that_only_root_may_type(prepared: Path) -> None:
    home = home_of(ALICE, prepared.parent.parent, "alice")
    for words in (("up", "--runtime", "embedded"), ("render",), ("status",), ("verify",)):
        run = mtlslab_as(ALICE, *words, "--dir", prepared, cwd=home, **NO_ENGINE)
        assert (run.code, f"uid {MALLORY}" in run.err) == (2, True), (words, run)
        assert f"sudo chown -hR {ALICE}" in run.err


@root_only
@pytest.mark.parametrize(
    "part", [".", "lab.json", ".lock", "certs", "certs/client-ca.crt", "certs/client-ca.key", "certs/server.key",
             "crl", "crl/client-ca.crl", "nginx-mtls", "nginx-mtls/nginx.conf", "nginx-tls/listen.conf",
             "nginx-mtls/more.conf", "nginx-mtls/more/more.conf", "docker-compose.yml", "run", "logs", "certs/faults"]
)  # fmt: skip
def test_one_part_of_somebody_else_is_enough(tmp_path: Path, part: str) -> None:
    """Whatever part of it mallory owns, our lab is not started, and the message names that part."""
    lab = tmp_path / "lab"
    assert invoke("render", "--dir", lab, "--crl", *EC).code == 0
    for directory in ("run", "logs", "nginx-mtls/more"):
        (lab / directory).mkdir(exist_ok=True, mode=0o755)
    for file in ("nginx-mtls/more.conf", "nginx-mtls/more/more.conf"):
        (lab / file).write_text("")
    os.chown(lab / part, MALLORY, MALLORY)
    run = invoke("up", "--runtime", "embedded", "--dir", lab)
    assert (run.code, f"{lab / part} is not yours" in run.err) == (2, True), run


@root_only
@pytest.mark.parametrize("mode", [0o775, 0o777, 0o757, 0o1777])
@pytest.mark.parametrize("part", [".", "certs", "nginx-mtls", "certs/faults", "run", "crl"])
def test_a_directory_that_others_may_write_is_refused_with_the_command_that_closes_it(
    tmp_path: Path, part: str, mode: int
) -> None:
    lab = tmp_path / "a lab"
    assert invoke("render", "--dir", lab, "--crl", *EC).code == 0
    (lab / "run").mkdir(mode=0o755)
    (lab / part).chmod(mode)
    for words in (("render",), ("status",), ("certs", "issue", "bob")):
        run = invoke(*words, "--dir", lab)
        assert (run.code, "is open to others" in run.err) == (2, True), run
    if not mode & stat.S_ISVTX:
        subprocess.run(["sh", "-c", run.err.partition("close it: ")[2].splitlines()[0]], check=True)
        assert invoke("render", "--dir", lab).code == 0


@pytest.mark.parametrize("file", ["lab.json", "nginx-mtls/nginx.conf", "certs/client-ca.crt", "docker-compose.yml"])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, file: str) -> None:
    lab = tmp_path / "lab"
    assert invoke("render", "--dir", lab, *EC).code == 0
    (lab / file).chmod(0o666)
    run = invoke("status", "--dir", lab)
    assert (run.code, f"chmod go-w {lab / file}" in run.err) == (2, True), run


@root_only
def test_an_empty_directory_of_somebody_else_is_none_of_ours(tmp_path: Path) -> None:
    empty = home_of(MALLORY, tmp_path, "empty")
    for words in (("up", *EMBEDDED), ("render", *EC)):
        run = invoke(*words, "--dir", empty)
        assert (run.code, f"uid {MALLORY}" in run.err) == (2, True), run
    assert list(empty.iterdir()) == []


def test_an_empty_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    run = invoke("render", "--dir", tmp_path / "shared", *EC)
    assert (run.code, "is open to others" in run.err, list((tmp_path / "shared").iterdir())) == (2, True, [])


@root_only
def test_a_lab_json_planted_where_everybody_may_write_is_no_lab(tmp_path: Path) -> None:
    """In a directory such as /tmp, `mtlslab up` makes its own lab below it, whatever mallory put there."""
    place = tmp_path / "tmp"
    place.mkdir()
    place.chmod(0o1777)
    (place / "lab.json").write_text("{}")
    os.chown(place / "lab.json", MALLORY, MALLORY)
    run = mtlslab("render", *EC, cwd=place)
    assert run.code == 0, run.err
    assert (place / "mtls-lab/lab.json").exists()


@root_only
def test_what_root_gives_to_the_unprivileged_user_stays_its_own(tmp_path: Path, lab_name: str) -> None:
    """The server's key belongs to uid 65532 where root made the lab, and run/ and logs/ may."""
    lab = tmp_path / lab_name
    assert invoke("render", "--dir", lab, *EC).code == 0
    for directory in ("run", "logs"):
        (lab / directory).mkdir(mode=0o700)
        os.chown(lab / directory, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    assert (lab / "certs/server.key").stat().st_uid == UNPRIVILEGED_ID
    assert invoke("certs", "list", "--dir", lab).code == 0
    os.chown(lab / "logs", ALICE, ALICE)
    assert invoke("certs", "list", "--dir", lab).code == 2
    assert invoke("certs", "list", "--dir", lab, SUDO_UID=str(ALICE), SUDO_GID=str(ALICE)).code == 0


@root_only
def test_down_stops_by_name_what_runs_although_the_directory_is_somebody_elses(
    tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    """Nothing of the directory is read or removed; with --purge that is exit 2."""
    lab = tmp_path / lab_name
    assert invoke("up", "--dir", lab, *EMBEDDED).code == 0
    for path in (lab, *lab.rglob("*")):
        os.chown(path, MALLORY, MALLORY, follow_symlinks=False)
    before = contents_of(lab / "certs")
    run = invoke("down", "--dir", lab, "--purge")
    assert (run.code, "is not yours" in run.err) == (2, True), run
    assert nginx_processes(lab) == []
    run = invoke("down", "--dir", lab)
    assert (run.code, "Nothing runs" in run.out) == (0, True), run
    assert contents_of(lab / "certs") == before
    assert nginx_processes(lab) == []


# --- how directories and files are born


@root_only
@pytest.mark.parametrize("umask", ["000", "002", "022", "027", "077", "777"])
def test_directories_are_closed_to_others_whatever_the_umask(
    tmp_path: Path, umask: str, lab_name: str, nginx_binary: Path
) -> None:
    """A plain user starts a lab, issues and verifies; nobody else may write anything, also above it."""
    home = home_of(ALICE, tmp_path)
    lab = home / "new" / "way" / lab_name
    try:
        for words in (
            ("up", "--dir", lab, "--crl", *EMBEDDED),
            ("certs", "issue", "bob", "--dir", lab),
            ("certs", "issue", "--fault", "expired", "--dir", lab),
            ("reload", "--dir", lab),
            ("verify", "--dir", lab, "--only", "mtls-serves-client"),
        ):
            run = mtlslab_as(ALICE, *words, cwd=home, umask=umask, **NO_ENGINE)
            assert run.code == 0, (words, run)
        modes = modes_of(home / "new")
        assert {path: mode for path, mode in modes.items() if int(mode, 8) & 0o022} == {}
        born = [path for path, mode in modes.items() if mode == "0755"]
        for path in (
            "new",
            "new/way",
            f"new/way/{lab_name}",
            "certs",
            "certs/faults",
            "crl",
            "nginx-tls",
            "nginx-mtls",
        ):
            assert any(item.endswith(path) for item in born), (path, modes)
        assert {mode for path, mode in modes.items() if path.endswith(".key")} == {"0600"}
        assert {mode for path, mode in modes.items() if path.endswith((".crt", ".conf", ".json", ".yml", ".crl"))
                and "/run/" not in path} == {"0644"}  # fmt: skip
    finally:
        assert mtlslab_as(ALICE, "down", "--dir", lab, "--purge", cwd=home, umask=umask, **NO_ENGINE).code == 0
    assert not lab.exists()


@root_only
@pytest.mark.parametrize("umask", ["000", "002"])
def test_a_directory_of_the_lab_cannot_be_swapped_by_another_user(tmp_path: Path, umask: str) -> None:
    """As alice's umask opens everything, mallory may still move nothing of her lab away."""
    home = home_of(ALICE, tmp_path)
    assert mtlslab_as(ALICE, "render", "--dir", "lab", "--crl", *EC, cwd=home, umask=umask).code == 0
    for part in ("nginx-mtls", "certs", "crl", "certs/client-ca.crt", "nginx-mtls/nginx.conf", "lab.json"):
        assert run_as(MALLORY, "mv", home / "lab" / part, home / "lab" / f"{part}.mine").code != 0, part


def test_a_directory_that_was_swapped_after_the_look_is_not_used(tmp_path: Path) -> None:
    """A link that takes the place of a directory leads nowhere, whenever it is put there."""
    lab = tmp_path / "lab"
    assert invoke("render", "--dir", lab, *EC).code == 0
    outside = tmp_path / "outside"
    outside.mkdir()
    workspace = Workspace(lab)
    with workspace.folder("nginx-mtls") as folder:
        (lab / "nginx-mtls").rename(lab / "old")
        (lab / "nginx-mtls").symlink_to(outside)
        folder.write("nginx.conf", b"ours")
    assert list(outside.iterdir()) == []
    with pytest.raises(MachineError, match="not a directory of its own"):
        workspace.write("nginx-mtls/nginx.conf", b"ours")
    with pytest.raises(MachineError, match="not a directory of its own"):
        workspace.read("nginx-mtls/nginx.conf")
    with pytest.raises(MachineError, match="not a directory of its own"):
        workspace.remove(["nginx-mtls/nginx.conf"])
    assert list(outside.iterdir()) == []


def test_names_that_lead_out_of_the_workspace_are_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "lab")
    workspace.create()
    for path in ("../x", "certs/../../x", "/etc/passwd", ".."):
        for use in (workspace.read, workspace.read_key, workspace.names, lambda path: workspace.write(path, b"")):
            with pytest.raises(ValueError, match="not a path inside"):
                use(path)
        with pytest.raises(ValueError, match="not a path inside"):
            workspace.remove([path])


def test_purge_removes_links_and_not_what_they_lead_to(tmp_path: Path) -> None:
    lab, outside = tmp_path / "lab", tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    assert invoke("render", "--dir", lab, *EC).code == 0
    (lab / "certs/link.crt").symlink_to(outside / "precious")
    (lab / "certs/link").symlink_to(outside)
    (lab / "logs").symlink_to(outside)
    (lab / "nginx-mtls/link").symlink_to(outside)
    assert invoke("down", "--dir", lab, "--purge").code == 0
    assert not lab.exists()
    assert (outside / "precious").read_text() == "mine"


@root_only
@pytest.mark.engine
@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_the_unprivileged_user_of_a_container_passes_whatever_the_umask(
    tmp_path: Path, lab_name: str, engine: Any, umask: int
) -> None:
    """Root's lab in Docker: nginx runs as uid 65532, reads what it needs, and answers."""
    lab = tmp_path / lab_name
    before = os.umask(umask)
    try:
        run = mtlslab("up", "--runtime", "docker", "--dir", lab, *EC, cwd=tmp_path)
        assert run.code == 0, run.err
        assert {path for path, mode in modes_of(lab).items() if int(mode, 8) & 0o022} == set()
    finally:
        os.umask(before)
        assert mtlslab("down", "--dir", lab, "--purge", cwd=tmp_path).code == 0


# --- disks that keep no modes


@pytest.fixture
def disk_without_modes(tmp_path: Path) -> Iterator[Path]:
    """A disk on which everything has mode 0777 and chmod is ignored, as on /mnt/c in WSL."""
    (tmp_path / "below").mkdir()
    place = tmp_path / "disk"
    place.mkdir()
    if not shutil.which("bindfs"):
        _not_possible("no bindfs (Debian: apt-get install bindfs)")
    words = ["bindfs", "-o", "chmod-ignore", "--perms=0777", str(tmp_path / "below"), str(place)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        _not_possible(f"no FUSE here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def _not_possible(problem: str) -> None:
    pytest.fail(problem) if REQUIRE_ENGINE else pytest.skip(problem)


@root_only
@pytest.mark.parametrize("there", [(), ("lab",)], ids=["new directory", "empty directory"])
def test_a_disk_that_keeps_no_modes_is_seen_before_a_key_is_written(
    disk_without_modes: Path, there: tuple[str, ...]
) -> None:
    for name in there:
        (disk_without_modes / name).mkdir()
    for words in (("up", *EMBEDDED), ("render", *EC)):
        run = invoke(*words, "--dir", disk_without_modes / "lab")
        assert (run.code, "does not keep owners and modes" in run.err, "--dir ~/" in run.err) == (2, True, True), run
    left = [path.name for path in disk_without_modes.rglob("*")]
    assert left == list(there)


@root_only
def test_a_lab_that_an_earlier_version_left_on_such_a_disk_is_told_the_same(disk_without_modes: Path) -> None:
    """The hint is another directory, not a chmod that would change nothing."""
    lab = disk_without_modes / "lab"
    lab.mkdir()
    (lab / "lab.json").write_text("{}")
    run = invoke("status", "--dir", lab)
    assert (run.code, "does not keep owners and modes" in run.err, "chmod" in run.err) == (2, True, False), run
    assert [path.name for path in lab.iterdir()] == ["lab.json"]


@root_only
def test_a_private_file_is_refused_on_such_a_disk_wherever_it_is_written(disk_without_modes: Path) -> None:
    """Below the workspace too, where another disk may be mounted; a report, which is no secret, may go there."""
    with open_folder(disk_without_modes) as folder:
        with pytest.raises(OSError, match="keeps no file modes") as caught:
            folder.write("a.key", b"secret", mode=0o600)
        folder.write("report", b"public")
    assert caught.value.errno == errno.ENOTSUP
    assert [path.name for path in disk_without_modes.iterdir()] == ["report"]


# --- cloned, unpacked, copied


def clone(lab: Path, to: Path) -> Path:
    """What somebody gets who unpacks an archive of a lab: the same files, another directory."""
    archive = to.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(lab, "lab")
    with tarfile.open(archive) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.0 to 3.11.3 have none
        tar.extractall(to)  # noqa: S202  our own archive, made a moment ago
    for key in to.rglob("*.key"):
        key.chmod(0o600)
    archive.unlink()
    return to / "lab"


@pytest.fixture
def cloned(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    """A lab that was unpacked as if it came from elsewhere; its nginx.conf writes a file outside."""
    if os.geteuid() == 0:  # nginx that root starts runs as somebody else: that user's home
        home_of(UNPRIVILEGED_ID, tmp_path)
    else:
        (tmp_path / "home").mkdir()
    assert invoke("render", "--dir", tmp_path / "model", "--name", lab_name, *EC).code == 0
    lab = clone(tmp_path / "model", tmp_path / "clone")
    conf = lab / "nginx-mtls/nginx.conf"
    text = conf.read_text()
    assert "http {" in text
    conf.write_text(text.replace("http {", f"http {{\n    access_log {tmp_path}/home/profile;\n"))
    yield lab
    invoke("down", "--name", lab_name, "--dir", tmp_path / "model")
    invoke("down", "--name", lab_name, "--dir", lab)


def test_a_cloned_lab_runs_only_after_a_yes(cloned: Path, tmp_path: Path) -> None:
    """Its first `up` names the files and the line that is not ours, and the command that says yes; nothing has run."""
    run = invoke("up", "--runtime", "embedded", "--dir", cloned)
    assert (run.code, run.out) == (2, ""), run
    assert f"access_log {tmp_path}/home/profile;" in run.err
    for file in ("nginx-mtls/nginx.conf", "nginx-mtls/listen.conf", "nginx-tls/hello-world.txt"):
        assert file in run.err
    assert "--rotate-certs" in run.err
    assert f"mtlslab up --dir {cloned} --trust" in run.err
    assert not (tmp_path / "home/profile").exists()
    assert invoke("up", "--runtime", "embedded", "--dir", cloned, "--trust").code == 0
    assert (tmp_path / "home/profile").exists()
    assert invoke("up", "--runtime", "embedded", "--dir", cloned).code == 0  # once is enough
    assert invoke("reload", "--dir", cloned).code == 0


def test_a_cloned_lab_is_not_reloaded_without_a_yes(cloned: Path, tmp_path: Path, lab_name: str) -> None:
    """A lab that runs is moved away, and a clone put in its place: `reload` would apply the clone's configuration."""
    place = tmp_path / "model"
    assert invoke("up", "--runtime", "embedded", "--dir", place).code == 0
    place.rename(tmp_path / "away")
    cloned.rename(place)
    for name in ("run", "logs"):
        (place / name).mkdir()
        if os.geteuid() == 0:
            os.chown(place / name, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    run = invoke("reload", "--dir", place)
    assert (run.code, "--trust" in run.err, (tmp_path / "home/profile").exists()) == (2, True, False), run
    # What runs is the lab that was moved away: a yes to the clone does not have it take the clone's configuration.
    run = invoke("reload", "--dir", place, MTLSLAB_TRUST="1")
    assert (run.code, "runs from another directory" in run.err, (tmp_path / "home/profile").exists()) == (
        3,
        True,
        False,
    )


def test_render_does_not_make_a_cloned_lab_trusted(cloned: Path) -> None:
    for words in (("render",), ("render", "--rotate-certs"), ("certs", "issue", "bob")):
        assert invoke(*words, "--dir", cloned).code == 0
    assert invoke("up", "--runtime", "embedded", "--dir", cloned).code == 2


def test_a_clone_in_the_place_of_the_lab_that_it_was_made_of_is_a_clone(tmp_path: Path, lab_name: str) -> None:
    """The same path, the same id, and often the same inode: the moment of its lock file is another."""
    lab = tmp_path / lab_name
    assert invoke("render", "--dir", lab, *EC).code == 0
    copy = clone(lab, tmp_path / "copy")
    shutil.rmtree(lab)
    shutil.copytree(copy, lab)
    run = invoke("up", "--runtime", "embedded", "--dir", lab)
    assert (run.code, "came from elsewhere" in run.err) == (2, True), run


def test_what_a_cloned_lab_would_run_is_shown_without_its_tricks(cloned: Path) -> None:
    """Terminal escapes are made visible, long lines and many lines are counted, a foreign image is named."""
    (cloned / "nginx-mtls/nginx.conf").write_text("# \x1b[2J\u202e" + "x" * 5000 + "\n" + "#\n" * 500)
    (cloned / "nginx-mtls/more.conf").write_text("load_module evil.so;")
    (cloned / "nginx-mtls/link.conf").symlink_to("/etc/passwd")
    document = json.loads((cloned / "lab.json").read_text())
    document["spec"]["image"] = document["image"] = "evil/nginx:1"
    (cloned / "lab.json").write_text(json.dumps(document))
    run = invoke("up", "--runtime", "embedded", "--dir", cloned)
    assert run.code == 2
    assert "\x1b" not in run.err
    assert "\u202e" not in run.err
    for words in ("\\x1b[2J\\u202e", "characters more", "lines more", "evil/nginx:1", "nginx-mtls/more.conf"):
        assert words in run.err, run.err


def test_edits_in_an_own_lab_are_never_asked_about(tmp_path: Path, lab_name: str, nginx_binary: Path) -> None:
    """Not where it was made, not after a move, and not by `reload`: breaking it is the lesson."""
    lab = tmp_path / lab_name
    assert invoke("up", "--dir", lab, *EMBEDDED).code == 0
    try:
        conf = lab / "nginx-mtls/nginx.conf"
        conf.write_text(conf.read_text().replace("ssl_verify_client on;", "ssl_verify_client optional;"))
        assert invoke("reload", "--dir", lab).code == 0
        assert invoke("up", "--dir", lab).code == 0
        lab.rename(tmp_path / "moved")
        assert invoke("render", "--dir", tmp_path / "another", *EC).code == 0
        assert invoke("up", "--runtime", "embedded", "--dir", tmp_path / "moved").code == 0
    finally:
        invoke("down", "--name", lab_name, "--dir", tmp_path / "moved")
        invoke("down", "--name", lab_name, "--dir", lab)


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("YES", 0), ("n", 2), ("", 2)])
def test_at_a_terminal_the_person_is_asked(cloned: Path, tmp_path: Path, answer: str, code: int) -> None:
    run = _at_a_terminal(("up", "--runtime", "embedded", "--dir", cloned), f"{answer}\n")
    assert run.code == code, run
    assert f"access_log {tmp_path}/home/profile;" in " ".join(run.out.split())
    assert "[y/N]" in run.out
    assert (tmp_path / "home/profile").exists() == (code == 0)


def _at_a_terminal(words: tuple[str | Path, ...], typed: str) -> Run:
    main, other = pty.openpty()
    child = subprocess.Popen(
        command(*words), env=environment(**NO_ENGINE), stdin=other, stdout=other, stderr=other, start_new_session=True
    )
    os.close(other)
    os.write(main, typed.encode())
    shown = everything_from(main)
    os.close(main)
    return Run(child.wait(timeout=60), shown.decode(), "")


# --- the register of own labs


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a register that is not there yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/mtlslab"


def registered(state: Path) -> list[dict[str, Any]]:
    labs: list[dict[str, Any]] = json.loads((state / "labs.json").read_text())["labs"]
    return labs


def test_the_register_is_private_and_forgets_a_lab_with_purge(tmp_path: Path, state: Path) -> None:
    before = os.umask(0)
    try:
        assert invoke("render", "--dir", tmp_path / "a", *EC).code == 0
    finally:
        os.umask(before)
    assert set(modes_of(state).values()) == {"0700", "0600"}
    assert [item["directory"] for item in registered(state)] == [str(tmp_path / "a")]
    assert invoke("down", "--dir", tmp_path / "a", "--purge").code == 0
    assert registered(state) == []


def test_entries_of_directories_that_vanished_do_not_pile_up(tmp_path: Path, state: Path) -> None:
    """The youngest are kept: a lab that was moved is one of them."""
    for number in range(50):
        ownlabs.enter(ownlabs.OwnLab(f"{number}", 1, 2, str(tmp_path / "gone")))
    assert [item["id"] for item in registered(state)] == [str(number) for number in range(30, 50)]
    assert invoke("render", "--dir", tmp_path / "a", *EC).code == 0
    assert len(registered(state)) == 21


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "null", '{"schema": "mtlslab.labs/1", "labs": [5]}', "[" * 100_000, "\0", "\udcff"]
)
def test_a_damaged_register_costs_a_question_and_never_a_crash(
    tmp_path: Path, state: Path, damage: str, nginx_binary: Path
) -> None:
    lab = tmp_path / "lab"
    assert invoke("render", "--dir", lab, *EC).code == 0
    (state / "labs.json").write_text(damage, errors="surrogateescape")
    run = invoke("up", "--runtime", "embedded", "--dir", lab)
    assert (run.code, "--trust" in run.err) == (2, True), run
    assert invoke("render", "--dir", tmp_path / "other", *EC).code == 0
    assert [item["directory"] for item in registered(state)] == [str(tmp_path / "other")]


@pytest.mark.parametrize("kind", ["link", "FIFO", "directory"])
def test_what_stands_in_place_of_the_register_is_not_followed_and_not_waited_for(
    tmp_path: Path, state: Path, kind: str
) -> None:
    state.mkdir(parents=True)
    (tmp_path / "precious").write_text("mine")
    make = {"link": lambda path: path.symlink_to(tmp_path / "precious"), "FIFO": os.mkfifo, "directory": Path.mkdir}
    make[kind](state / "labs.json")
    run = invoke("render", "--dir", tmp_path / "lab", *EC, HOME=str(tmp_path))
    assert run.code == 0, run
    assert (tmp_path / "precious").read_text() == "mine"


@root_only
def test_a_register_of_somebody_else_vouches_for_nothing(tmp_path: Path, state: Path, lab_name: str) -> None:
    """Mallory enters a lab into a register of hers, and points root at it."""
    lab = tmp_path / lab_name
    assert invoke("render", "--dir", lab, *EC).code == 0
    for path in (state, state / "labs.json"):
        os.chown(path, MALLORY, MALLORY)
    run = invoke("up", "--runtime", "embedded", "--dir", lab, HOME=str(tmp_path))
    assert (run.code, "came from elsewhere" in run.err) == (2, True), run


@root_only
def test_a_user_without_home_and_name_has_a_register_too(tmp_path: Path, lab_name: str, nginx_binary: Path) -> None:
    """As `setpriv --reuid=12345 env -i`: it lies in a private directory for temporary files."""
    home = home_of(ALICE, tmp_path)
    (home / "tmp").mkdir()
    os.chown(home / "tmp", ALICE, ALICE)
    nothing = {"HOME": "", "XDG_STATE_HOME": "", "TMPDIR": str(home / "tmp"), **NO_ENGINE}
    try:
        for _ in range(2):
            run = mtlslab_as(ALICE, "up", "--dir", lab_name, *EMBEDDED, cwd=home, **nothing)
            assert run.code == 0, run
    finally:
        assert mtlslab_as(ALICE, "down", "--dir", lab_name, cwd=home, **nothing).code == 0
    assert set(modes_of(home / f"tmp/mtlslab-{ALICE}").values()) == {"0700", "0600"}


@root_only
def test_where_no_register_can_be_written_that_is_said_and_the_lab_is_made(
    tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    """Mallory has taken the place in the directory for temporary files; the lab runs, and the next `up` asks."""
    home = home_of(ALICE, tmp_path)
    home_of(MALLORY, tmp_path, f"mtlslab-{ALICE}")
    tmp_path.chmod(0o1777)
    nothing = {"HOME": "", "XDG_STATE_HOME": "", "TMPDIR": str(tmp_path), **NO_ENGINE}
    try:
        run = mtlslab_as(ALICE, "up", "--dir", lab_name, *EMBEDDED, cwd=home, **nothing)
        assert (run.code, "cannot be noted" in run.err) == (0, True), run
        assert mtlslab_as(ALICE, "up", "--dir", lab_name, *EMBEDDED, cwd=home, **nothing).code == 2
        assert mtlslab_as(ALICE, "up", "--dir", lab_name, *EMBEDDED, "--trust", cwd=home, **nothing).code == 0
    finally:
        assert mtlslab_as(ALICE, "down", "--dir", lab_name, cwd=home, **nothing).code == 0


# --- locks and files that are none


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_disk_that_cannot_lock_is_told_by_its_own_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A network disk without a lock daemon is not another mtlslab at work."""

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    run = invoke("render", "--dir", tmp_path / "lab", *EC)
    assert (run.code, os.strerror(code) in run.err, "Another mtlslab" in run.err) == (3, True, False), run


@root_only
def test_a_lock_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Who made it could hold it forever."""
    path = tmp_path / ".lock"
    path.touch(mode=0o600)
    os.chown(path, MALLORY, MALLORY)
    with pytest.raises(SpecError, match="not yours"):
        take_lock(os.open(path, os.O_RDWR), path)


def test_one_file_that_cannot_be_read_does_not_hide_the_other_certificates(tmp_path: Path) -> None:
    """It is named with what is wrong, after the list; the exit status is 2."""
    lab = tmp_path / "lab"
    assert invoke("render", "--dir", lab, *EC).code == 0
    os.mkfifo(lab / "certs/fifo.crt")
    (lab / "certs/directory.crt").mkdir()
    (lab / "certs/link.crt").symlink_to("/etc/passwd")
    (lab / "certs/broken.crt").write_text("x")
    (lab / "certs/large.crt").write_bytes(b"x" * (5 << 20))
    names = {f"certs/{name}.crt" for name in ("fifo", "directory", "link", "broken", "large")}
    run = invoke("certs", "list", "--dir", lab)
    assert (run.code, run.out.count("days left")) == (2, 4), run
    assert all(name in run.err for name in names), run.err
    run = invoke("certs", "list", "--dir", lab, "-o", "json")
    document = json.loads(run.out)
    assert (run.code, len(document["certificates"])) == (2, 4)
    assert {item["file"] for item in document["unreadable"]} == names
    assert invoke("certs", "revoke", "client", "--dir", lab).code == 0
    assert invoke("certs", "crl", "--dir", lab).code == 0


@pytest.mark.parametrize("file", ["client.crt", "client.key", "server-ca.crt"])
def test_verify_does_not_wait_for_a_fifo_that_openssl_would_read(
    tmp_path: Path, lab_name: str, nginx_binary: Path, file: str
) -> None:
    lab = tmp_path / lab_name
    assert invoke("up", "--dir", lab, *EMBEDDED).code == 0
    try:
        (lab / "certs" / file).unlink()
        os.mkfifo(lab / "certs" / file)
        run = invoke("verify", "--dir", lab, "--only", "mtls-serves-client")
        assert (run.code, f"certs/{file} is not a file" in run.err) == (3, True), run
    finally:
        assert invoke("down", "--dir", lab).code == 0


def test_reload_ends_although_a_fifo_stands_in_place_of_the_configuration(
    tmp_path: Path, lab_name: str, nginx_binary: Path
) -> None:
    lab = tmp_path / lab_name
    assert invoke("up", "--dir", lab, *EMBEDDED).code == 0
    try:
        (lab / "nginx-tls/nginx.conf").unlink()
        os.mkfifo(lab / "nginx-tls/nginx.conf")
        assert invoke("reload", "--dir", lab).code == 3
    finally:
        assert invoke("down", "--dir", lab).code == 0


def test_another_image_is_not_run_for_the_twins_of_a_cloned_lab(cloned: Path) -> None:
    run = invoke("verify", "--prove", "--dir", cloned)
    assert (run.code, "came from elsewhere" in run.err) == (2, True), run

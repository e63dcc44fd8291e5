"""Ordinary roads of ordinary users that a defence must not close, and links that it must."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REQUIRE_ENGINE
from tests.support.cli import Run, mtlslab
from tests.support.in_process import invoke
from tests.support.other_user import ALICE, MALLORY, as_user, home_of, mtlslab_as, root_only, run_as

EC = ("--key-type", "ec-p256", "--tls-port", "0", "--mtls-port", "0")
UP = ("up", "--runtime", "embedded", *EC)
NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Alice's."""
    return home_of(ALICE, tmp_path)


@pytest.fixture
def own(home: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    """A lab of alice's that runs."""
    assert as_alice(*UP, "--dir", home / lab_name).code == 0
    yield home / lab_name
    assert as_alice("down", "--name", lab_name, "--dir", home / lab_name).code == 0


def as_alice(*words: str | Path, **more: str) -> Run:
    directory = Path(words[-1]).parent
    return mtlslab_as(ALICE, *words, cwd=directory, **NO_ENGINE, **more)


# --- an own lab stays one


@root_only
@pytest.mark.nginx
@pytest.mark.parametrize(
    "change",
    [
        "chmod -R go-w LAB",
        "chmod -R go-rwx LAB; chmod -R go+rX LAB/nginx-tls",
        "ln LAB/.lock LAB.lock",
        "touch LAB/.lock",
    ],
)
def test_an_own_lab_whose_modes_or_times_were_changed_is_still_an_own_one(own: Path, change: str) -> None:
    """The command of our own hint, and a second name as backups make it, change the ctime of the lock file alone."""
    done = run_as(ALICE, "sh", "-c", change.replace("LAB", str(own)))
    assert done.code == 0, done.err
    for words in (("up", "--runtime", "embedded"), ("reload",)):
        run = as_alice(*words, "--dir", own)
        assert run.code == 0, run.err


# --- umask 002


@root_only
@pytest.mark.nginx
@pytest.mark.parametrize(
    ("members", "others", "code"),
    [("", "", 0), ("alice", "", 0), ("mallory", "", 2), ("", f"m:x:{MALLORY}:{ALICE}::/:/bin/sh\n", 2)],
    ids=["empty", "herself", "a member", "somebody's primary group"],
)
def test_files_that_only_the_users_own_private_group_may_write_are_no_danger(
    own: Path, tmp_path: Path, members: str, others: str, code: int
) -> None:
    """Distributions give each user a group of the same name, and the umask 002: what an editor makes has mode 0664."""
    assert run_as(ALICE, "cp", own / "nginx-tls/hello-world.txt", own / "nginx-tls/more.txt", umask="002").code == 0
    (own / "nginx-tls/more.txt").chmod(0o664)
    (tmp_path / "passwd").write_text(
        f"root:x:0:0::/root:/bin/sh\nalice:x:{ALICE}:{ALICE}::{own.parent}:/bin/sh\n{others}"
    )
    (tmp_path / "group").write_text(f"root:x:0:\nalice:x:{ALICE}:{members}\n")
    script = f"""
import os, sys
sys.argv[1:] = ["reload", "--dir", {str(own)!r}]
from mtlslab.cli.main import main
main()
"""
    run = _with_accounts(tmp_path, script)
    assert run.code == code, run
    assert ("its group may write" in run.err) == (code == 2)


def _with_accounts(accounts: Path, script: str) -> Run:
    """Run a program as alice on a machine with other files of accounts: in a mount namespace."""
    from tests.support import other_user

    python, path = other_user._python_for_all()
    mounts = " && ".join(f"mount --bind {accounts}/{name} /etc/{name}" for name in ("passwd", "group"))
    words = as_user(
        ALICE, "env", f"PYTHONPATH={path}", f"XDG_STATE_HOME={other_user._state_of(ALICE)}", python, "-c", script
    )
    run = _run("unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh", *words)
    if run.code == 1 and "unshare" in run.err:
        pytest.fail(run.err) if REQUIRE_ENGINE else pytest.skip(f"no mount namespaces here: {run.err}")
    return run


def _run(*words: str | Path) -> Run:
    import subprocess

    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=120, check=False)
    return Run(done.returncode, done.stdout, done.stderr)


# --- links


@root_only
def test_a_link_that_somebody_left_where_everybody_may_write_is_not_followed(home: Path, tmp_path: Path) -> None:
    """`cd /tmp; mtlslab down --purge` removed the lab at home that mallory's link led to."""
    assert as_alice("render", *EC, "--dir", home / "precious").code == 0
    place = tmp_path / "tmp"
    place.mkdir()
    for mode in (0o1777, 0o777, 0o2775):
        place.chmod(mode)
        for target in (home / "precious", home / "new"):
            (place / "mtls-lab").symlink_to(target)
            os.chown(place / "mtls-lab", MALLORY, MALLORY, follow_symlinks=False)
            for words in (("render", *EC), ("down", "--purge"), ("status", "--dir", "mtls-lab/."), ("certs", "list")):
                run = mtlslab_as(ALICE, *words, cwd=place, **NO_ENGINE)
                assert (run.code, "is a link that is not yours" in run.err) == (2, True), (words, run)
            (place / "mtls-lab").unlink()
    assert (home / "precious/lab.json").exists()
    assert not (home / "new").exists()


@root_only
def test_links_of_ones_own_and_of_root_and_in_closed_directories_are_followed(home: Path, tmp_path: Path) -> None:
    assert as_alice("render", *EC, "--dir", home / "lab").code == 0
    for name, owner, mode in (("a", ALICE, 0o1777), ("b", 0, 0o1777), ("c", MALLORY, 0o755)):
        place = tmp_path / name
        place.mkdir()
        (place / "link").symlink_to(home)
        os.chown(place / "link", owner, owner, follow_symlinks=False)
        place.chmod(mode)
        run = mtlslab_as(ALICE, "certs", "list", "--dir", place / "link/lab", cwd=home)
        assert run.code == 0, run
    # Root acts for the user of sudo, whose links are as good as its own.
    os.chown(tmp_path / "a", 0, 0)
    sudo = {"SUDO_UID": str(ALICE), "SUDO_GID": str(ALICE)}
    assert invoke("render", *EC, "--dir", tmp_path / "a/link/of-root", **sudo).code == 0
    shutil.rmtree(home / "of-root")


# --- containers


@root_only
@pytest.mark.nginx
def test_where_there_is_no_directory_for_temporary_files_a_lab_runs_and_reloads(
    home: Path, lab_name: str, nginx_binary: Path
) -> None:
    """A container with a read-only root: nothing is a bug, and no register is left in the current directory."""
    script = """
import sys, tempfile
tempfile._candidate_tempdir_list = lambda: ["/nonexistent"]
from mtlslab.cli.main import main
main()
"""
    nothing = {"HOME": "", "XDG_STATE_HOME": "", "TMPDIR": "/nonexistent", "script": script}
    lab = home / lab_name
    try:
        for words in (UP, ("reload",), ("verify", "--only", "mtls-serves-client")):
            run = as_alice(*words, "--dir", lab, **nothing)
            assert run.code == 0, run
        assert [path.name for path in home.iterdir()] == [lab_name]
    finally:
        assert as_alice("down", "--dir", lab, **nothing).code == 0


@root_only
def test_a_mounted_directory_that_everybody_may_write_comes_with_a_hint_that_its_user_can_follow(
    home: Path, tmp_path: Path, lab_name: str
) -> None:
    """It belongs to root, as volumes of a cluster do: no chmod of alice's would help, a directory below it does."""
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o2777)
    run = mtlslab_as(ALICE, "render", *EC, "--dir", volume, cwd=home)
    assert (run.code, "below it" in run.err, "chmod" in run.err) == (2, True, False), run
    assert mtlslab_as(ALICE, "render", *EC, "--dir", volume / lab_name, cwd=home).code == 0
    assert mtlslab("status", "--dir", volume / lab_name, cwd=tmp_path).code == 2  # root: that is alice's


@root_only
@pytest.mark.parametrize("variables", ["-u HOME", "HOME=", "HOME=/", "HOME=/closed", "DOCKER_CONFIG=/closed", "HOME=x"])
def test_whatever_home_a_user_is_said_to_have_no_command_is_a_bug(
    home: Path, tmp_path: Path, lab_name: str, variables: str
) -> None:
    """Without HOME and name, as with `docker run --user 12345`; with root's HOME, as after `su alice`."""
    closed = tmp_path / "closed"
    (closed / ".docker").mkdir(parents=True)
    (closed / "config.json").write_text("{}")
    closed.chmod(0o700)
    script = """
import os, sys
[os.environ.pop(name) for name in sys.argv.pop(1).split() if name != "-u"]
from mtlslab.cli.main import main
main()
"""
    name, _, value = variables.replace("/closed", str(closed)).partition("=")
    for words in (("status",), ("doctor",), ("up", "--runtime", "docker"), ("up", "--nginx", "~nobody-here/nginx")):
        run = mtlslab_as(ALICE, name if name == "-u HOME" else "-u", *words, cwd=home, script=script,
                         **({} if name == "-u HOME" else {name: value}))  # fmt: skip
        assert run.code in (0, 2, 3, 4), (words, run)

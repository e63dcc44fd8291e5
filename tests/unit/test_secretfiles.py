"""Files for secrets: in memory where the system has such files, else in a private directory that is swept."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from mtlslab.probe.secret_files import PREFIX, secret_files

from tests.support.cli import environment
from tests.support.leavings import secrets_in
from tests.support.other_user import MALLORY, root_only

KEY = b"-----BEGIN PRIVATE KEY-----\n"
# Puts a secret into a file, says so, and waits for its end; argument "disk": as on a system without files in memory.
HOLDER = """
import os, sys
if sys.argv[1:] == ["disk"]:
    del os.memfd_create
from mtlslab.probe.secret_files import secret_files
with secret_files() as keep:
    print(keep(b"-----BEGIN PRIVATE KEY-----"), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The directory for temporary files, on a system that has no files in memory."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def hold(place: Path, *arguments: str) -> subprocess.Popen[str]:
    """A process that holds a secret, and has it in its file."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *arguments],
        env=environment(TMPDIR=str(place)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline()
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def leave(place: Path) -> Path:
    """The directory that a killed process leaves on a system without files in memory."""
    kill(hold(place, "disk"))
    (left,) = place.glob(f"{PREFIX}*")
    assert secrets_in(left)
    return left


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no files in memory")
def test_a_killed_process_leaves_nothing_where_files_are_in_memory(tmp_path: Path) -> None:
    process = hold(tmp_path)
    assert list(tmp_path.iterdir()) == []
    kill(process)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="this system has no files in memory")
def test_programs_that_are_started_do_not_inherit_a_file_in_memory() -> None:
    with secret_files() as keep:
        path = keep(KEY)
        script = 'for file in /proc/$$/fd/*; do readlink "$file" || true; done'
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, close_fds=False)
        assert path.read_bytes() == KEY
    assert "memfd" not in done.stdout
    assert done.stdout


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_a_file_holds_all_that_was_put_into_it_and_is_gone_at_the_end(size: int) -> None:
    content = os.urandom(size)
    with secret_files() as keep:
        first, second = keep(content), keep(KEY)
        assert (first.read_bytes(), second.read_bytes()) == (content, KEY)
    assert not first.exists() or not os.path.samefile(first, second)


def keep_and_fail() -> None:
    with secret_files() as keep:
        path = keep(KEY)
        assert path.read_bytes() == KEY
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        raise KeyboardInterrupt


def test_on_disk_only_the_user_gets_at_them_and_they_are_gone_at_the_end(on_disk: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        keep_and_fail()
    assert list(on_disk.iterdir()) == []


def test_what_a_killed_process_has_left_on_disk_is_removed_by_the_next_one(on_disk: Path) -> None:
    left = leave(on_disk)
    with secret_files() as keep:
        keep(KEY)
        assert not left.exists()


def test_the_files_of_a_process_that_lives_are_left_alone(on_disk: Path) -> None:
    process = hold(on_disk, "disk")
    try:
        with secret_files():
            pass
        assert len(secrets_in(on_disk)) == 1
    finally:
        process.communicate(timeout=30)
    assert list(on_disk.iterdir()) == []


@root_only
def test_the_directory_of_another_user_is_left_alone(on_disk: Path) -> None:
    left = leave(on_disk)
    os.chown(left, MALLORY, MALLORY)
    with secret_files():
        pass
    assert secrets_in(left)


def test_a_link_that_looks_like_a_directory_of_ours_is_not_followed(on_disk: Path) -> None:
    other = on_disk / "other"
    other.mkdir()
    (other / "mine").write_bytes(KEY)
    (on_disk / f"{PREFIX}link").symlink_to(other)
    with secret_files():
        pass
    assert (other / "mine").read_bytes() == KEY

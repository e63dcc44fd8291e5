"""The workspace writes atomically, keeps keys private, and touches nothing outside."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from mtlslab.errors import LabError, MachineError, SpecError
from mtlslab.runtime.sudo import UNPRIVILEGED_ID
from mtlslab.workspace.directory import LabRecord, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    space = Workspace(tmp_path / "lab")
    space.create()
    space.save(LabRecord(spec={"name": "lab"}))
    return space


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_saved_is_what_is_read_again(workspace: Workspace) -> None:
    record = LabRecord(spec={"name": "x", "tls_port": 1}, runtime="docker", image="i", files={"a": ("1", "2")})
    workspace.save(record)
    assert workspace.record() == record


def test_a_key_is_private_whatever_the_umask_and_a_certificate_is_readable(workspace: Workspace) -> None:
    before = os.umask(0o077)
    try:
        workspace.write("certs/a.crt", b"x")
        os.umask(0)
        workspace.write_key("certs/a.key", b"x")
    finally:
        os.umask(before)
    assert mode_of(workspace.directory / "certs/a.key") == 0o600
    assert mode_of(workspace.directory / "certs/a.crt") == 0o644
    assert mode_of(workspace.directory / "certs") == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_root_gives_the_servers_key_to_an_unprivileged_user(workspace: Workspace) -> None:
    workspace.write_key("certs/server.key", b"x", owner=workspace.key_owner())
    assert (workspace.directory / "certs/server.key").stat().st_uid == UNPRIVILEGED_ID


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604])
def test_a_key_that_others_may_read_is_refused_with_the_command_that_mends_it(workspace: Workspace, mode: int) -> None:
    workspace.write_key("certs/a.key", b"x")
    (workspace.directory / "certs/a.key").chmod(mode)
    with pytest.raises(SpecError, match="open to others") as caught:
        workspace.read_key("certs/a.key")
    assert "chmod 600" in caught.value.hint


def test_a_link_in_place_of_a_file_is_replaced_and_its_target_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (workspace.directory / "a.txt").symlink_to(outside)
    with pytest.raises(LabError, match="is not a file"):
        workspace.read("a.txt")
    workspace.write("a.txt", b"new")
    assert outside.read_text() == "mine"
    assert workspace.read("a.txt") == b"new"


def test_nothing_is_written_or_removed_through_a_linked_directory(workspace: Workspace, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.key").write_text("mine")
    (workspace.directory / "certs").symlink_to(outside)
    with pytest.raises(MachineError, match="not a directory of its own"):
        workspace.write_key("certs/server.key", b"x")
    workspace.purge()
    assert sorted(path.name for path in outside.iterdir()) == ["precious.key"]


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x"])
def test_a_path_outside_is_a_programming_error(workspace: Workspace, path: str) -> None:
    with pytest.raises(ValueError, match="inside the workspace"):
        workspace.write(path, b"")


def test_a_fifo_in_place_of_a_file_is_refused_without_waiting(workspace: Workspace) -> None:
    os.mkfifo(workspace.directory / "certs.fifo")
    with pytest.raises(MachineError, match="not a file"):
        workspace.read("certs.fifo")


def test_a_directory_with_other_things_in_it_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SpecError, match="not empty") as caught:
        Workspace(tmp_path).create()
    assert "thesis.txt" in caught.value.why
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_purge_removes_the_labs_files_and_leaves_everything_else(workspace: Workspace) -> None:
    workspace.write_key("certs/a.key", b"x")
    (workspace.directory / "notes.txt").write_text("mine")
    assert workspace.purge() == ("notes.txt",)
    assert [path.name for path in workspace.directory.iterdir()] == ["notes.txt"]


def test_purge_removes_the_directory_when_nothing_else_is_in_it(workspace: Workspace) -> None:
    with workspace.lock():
        assert workspace.purge() == ()
    assert not workspace.directory.exists()


def test_a_second_program_is_refused_while_one_is_at_work(workspace: Workspace) -> None:
    code = (
        "import sys; from pathlib import Path; from mtlslab.workspace.directory import Workspace\n"
        "with Workspace(Path(sys.argv[1])).lock(): pass"
    )
    command = [sys.executable, "-c", code, str(workspace.directory)]
    with workspace.lock():
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Another mtlslab is at work" in refused.stderr
    assert subprocess.run(command, check=False).returncode == 0


def test_an_edited_file_is_kept_and_named_until_it_is_overwritten(workspace: Workspace) -> None:
    assert workspace.write_rendered({"a.conf": "one", "b.conf": "one"}) == ()
    (workspace.directory / "a.conf").write_text("edited")
    assert workspace.write_rendered({"a.conf": "two", "b.conf": "two"}) == ("a.conf",)
    assert workspace.read("a.conf") == b"edited"
    assert workspace.read("b.conf") == b"two"
    assert workspace.write_rendered({"a.conf": "three"}, overwrite=True) == ()
    assert workspace.read("a.conf") == b"three"


def test_an_edit_that_was_taken_back_is_no_edit(workspace: Workspace) -> None:
    workspace.write_rendered({"a.conf": "one"})
    (workspace.directory / "a.conf").write_text("edited")
    workspace.write_rendered({"a.conf": "one"})
    (workspace.directory / "a.conf").write_text("one")
    assert workspace.write_rendered({"a.conf": "two"}) == ()
    assert workspace.read("a.conf") == b"two"


def test_a_file_from_before_an_interrupted_write_does_not_look_edited(workspace: Workspace) -> None:
    workspace.write_rendered({"a.conf": "one"})
    workspace.write_rendered({"a.conf": "two"})
    (workspace.directory / "a.conf").write_text("one")  # as if killed between the record and the file
    assert workspace.write_rendered({"a.conf": "three"}) == ()
    assert workspace.read("a.conf") == b"three"


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"schema": "other/1"}', '{"schema": "mtlslab.lab/1", "spec": 5}', "\0", "[" * 100000]
)
def test_a_damaged_lab_json_is_named_with_the_way_out(workspace: Workspace, content: str) -> None:
    (workspace.directory / "lab.json").write_text(content)
    with pytest.raises(SpecError, match="damaged") as caught:
        workspace.record()
    assert "purge" in caught.value.hint


def test_a_failed_write_leaves_the_old_content_and_no_rest(workspace: Workspace) -> None:
    workspace.write("a.txt", b"old")
    with pytest.raises(TypeError):
        workspace.write("a.txt", "text is no bytes")  # type: ignore[arg-type]
    assert workspace.read("a.txt") == b"old"

"""A workspace that lies where others may write: what stands in its place later is not taken for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab.runtime.embedded import runtime, users

from tests.support.cli import Run
from tests.support.in_process import invoke
from tests.support.other_user import ALICE, MALLORY, home_of, mtlslab_as, root_only

EC = ("--key-type", "ec-p256", "--tls-port", "0", "--mtls-port", "0")
UP = ("up", "--runtime", "embedded", *EC)
NO_ENGINE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
# Calls the program; at the given step, which comes after all looks at the workspace, another one takes its place.
SWAP = """
import os, sys
from mtlslab.cli.main import main
from mtlslab.runtime.embedded.runtime import EmbeddedRuntime
step, lab, other = sys.argv[1:4]
real = getattr(EmbeddedRuntime, step)
def swapped(*arguments):
    os.rename(lab, f"{lab}.old")
    os.rename(other, lab)
    return real(*arguments)
setattr(EmbeddedRuntime, step, swapped)
del sys.argv[1:4]
main()
"""


def configuration_that_writes(path: Path) -> str:
    """An nginx.conf that needs no certificate; nginx makes the file when it tests or takes it."""
    return f"error_log {path};\nevents {{}}\n"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory in which everybody may put something, and rename what others have put there."""
    home_of(ALICE, tmp_path)
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o777)
    return directory


def prepare_other(directory: Path, written: Path) -> None:
    """A directory of mallory's that looks like a lab, whose configuration writes a file."""
    for service in ("nginx-tls", "nginx-mtls"):
        (directory / service).mkdir(parents=True)
        (directory / service / "nginx.conf").write_text(configuration_that_writes(written))
    for name in ("run", "logs", "certs"):
        (directory / name).mkdir()
        (directory / name).chmod(0o777)
    (directory / "certs/server.key").write_text("")
    for path in (directory, *directory.rglob("*")):
        os.chown(path, MALLORY, MALLORY)


@root_only
@pytest.mark.nginx
@pytest.mark.parametrize(("step", "words"), [("_start_all", UP), ("reload", ("reload",))])
def test_a_configuration_that_takes_the_place_of_ours_at_the_last_moment_is_not_run(
    shared: Path, tmp_path: Path, lab_name: str, nginx_binary: Path, step: str, words: tuple[str, ...]
) -> None:
    """Mallory renames alice's lab, and puts hers in its place, after all looks at it and before nginx reads it."""
    lab, other, written = shared / lab_name, shared / "other", tmp_path / "home/written"
    prepare_other(other, written)

    def as_alice(*words: str | Path, script: str = "") -> Run:
        where = () if script else ("--dir", lab)
        return mtlslab_as(ALICE, *words, *where, cwd=shared, script=script, **NO_ENGINE)

    assert as_alice(*(UP if step == "reload" else ("render", *EC))).code == 0
    try:
        run = as_alice(step, lab, other, *words, "--dir", lab, script=SWAP)
        assert (run.code, "not yours any more" in run.err) == (2, True), run
        assert not written.exists()
    finally:
        shutil.rmtree(lab)
        (shared / f"{lab_name}.old").rename(lab)
        assert as_alice("down", "--purge").code == 0


@root_only
@pytest.mark.nginx
def test_root_gives_no_directory_away_that_a_link_in_place_of_the_lab_leads_to(
    shared: Path, lab_name: str, nginx_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root gives run/ and logs/ to who runs nginx. With a link to ``/`` in place of the lab, /run was given."""
    precious, lab = shared.parent / "precious", shared / lab_name
    for name in ("run/inner", "logs"):
        (precious / name).mkdir(parents=True)
    real = users.let_in

    def swapped(*arguments: Any) -> None:
        real(*arguments)
        lab.rename(shared / "old")
        lab.symlink_to(precious)

    with monkeypatch.context() as patch:
        patch.setattr(runtime, "let_in", swapped)
        invoke(*UP, "--dir", lab)
    lab.unlink()
    (shared / "old").rename(lab)
    assert invoke("down", "--dir", lab).code == 0
    assert {path.stat().st_uid for path in (precious, *precious.rglob("*"))} == {0}
    assert [path.name for path in precious.rglob("*.json")] == []


@pytest.fixture
def running(tmp_path: Path, lab_name: str, nginx_binary: Path) -> Iterator[Path]:
    """A lab that runs; the test may move it."""
    assert invoke(*UP, "--dir", tmp_path / lab_name).code == 0
    yield tmp_path / lab_name
    assert invoke("down", "--name", lab_name, "--dir", tmp_path / "nowhere").code == 0


@pytest.mark.nginx
def test_reload_applies_nothing_that_has_come_to_the_place_where_a_lab_of_that_name_was(
    running: Path, tmp_path: Path, lab_name: str
) -> None:
    """The lab was moved away. A clone that nobody trusted stands there, and a second lab of its name asks to reload."""
    assert invoke("render", "--dir", tmp_path / "second", "--name", lab_name, *EC).code == 0
    running.rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", running)
    for service in ("nginx-tls", "nginx-mtls"):
        (running / service / "nginx.conf").write_text(configuration_that_writes(tmp_path / "written"))
    run = invoke("reload", "--dir", tmp_path / "second")
    assert (run.code, "runs from another directory" in run.err) == (3, True), run
    assert not (tmp_path / "written").exists()
    shutil.rmtree(running)


@pytest.mark.nginx
def test_a_lab_that_was_moved_while_it_runs_takes_its_edits(running: Path, tmp_path: Path) -> None:
    """It goes on in the directory itself, wherever that is."""
    moved = tmp_path / "moved"
    running.rename(moved)
    conf = moved / "nginx-tls/nginx.conf"
    conf.write_text(conf.read_text().replace("http {", "http {\n    access_log logs/written;\n"))
    assert invoke("reload", "--dir", moved).code == 0
    assert (moved / "logs/written").exists()
    conf.write_text("no configuration")
    run = invoke("reload", "--dir", moved)
    assert (run.code, " ./nginx-tls/nginx.conf:1" in run.err) == (3, True), run

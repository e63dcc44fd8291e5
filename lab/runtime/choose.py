"""The one place where a runtime is chosen; each is imported only when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lab.errors import MachineError
from lab.runtime.base import Runtime

RUNTIMES = ("auto", "docker", "embedded")
PULL = ("missing", "always", "never")
Say = Callable[[str], None]


def docker_runtime(*, pull: str = "missing", say: Say = lambda _: None) -> Runtime:
    """The Docker runtime; connects when it is first used."""
    from lab.runtime.docker import DockerRuntime

    return DockerRuntime(pull=pull, say=say)


def embedded_runtime(directory: Path, *, nginx: Path | None = None) -> Runtime:
    """The runtime of plain nginx processes; looks for nginx when it is first used."""
    from lab.runtime.embedded import EmbeddedRuntime

    return EmbeddedRuntime(directory=directory, nginx=nginx)


def docker_problem() -> str:
    """Why no Docker Engine can be used, in one sentence; empty when one answers."""
    from lab.runtime.docker import engine_problem

    return engine_problem()


def choose(kind: str, directory: Path, *, nginx: Path | None, pull: str, say: Say) -> Runtime:
    """The runtime for ``up``: the named one, or with ``auto`` Docker if an engine answers, else embedded.

    Says which and why.

    Raises:
        MachineError: the named runtime is out of reach, or ``auto`` found none.
    """
    if kind == "docker":
        return docker_runtime(pull=pull, say=say)
    if kind == "embedded":
        return embedded_runtime(directory, nginx=nginx)
    if nginx is not None:
        say("Runtime: embedded, because --nginx names a binary.")
        return embedded_runtime(directory, nginx=nginx)
    problem = docker_problem()
    if not problem:
        say("Runtime: docker, because an engine answers.")
        return docker_runtime(pull=pull, say=say)
    embedded = embedded_runtime(directory)
    try:
        embedded.describe()
    except MachineError as error:
        raise MachineError(
            "Neither Docker nor an nginx of this machine can be used.",
            why=f"{problem} {error.what}",
            hint="Start Docker, or: pip install 'mtlslab[embedded]'",
        ) from error
    say(f"Runtime: embedded, because no Docker Engine can be used ({problem.rstrip('.')}).")
    return embedded

"""The one place where a runtime is chosen; each is imported and connected to only when it is needed, and once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mtlslab.errors import LabError, MachineError
from mtlslab.runtime.base import Runtime

if TYPE_CHECKING:
    from mtlslab.runtime.docker.runtime import DockerRuntime
    from mtlslab.runtime.embedded.runtime import EmbeddedRuntime


class Runtimes:
    """The runtimes that one command may need.

    Args:
        directory: the lab's workspace; None when nothing in it may be used.
        nginx: binary for the embedded runtime; None looks for one.
        pull: when to ask the registry for the image: missing, always or never.
        say: told which runtime was chosen and why, which image is used.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        nginx: Path | None = None,
        pull: str = "missing",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._directory = directory
        self._nginx = nginx
        self._pull = pull
        self._say = say

    @functools.cached_property
    def docker(self) -> DockerRuntime:
        """Containers; connects when it is first used."""
        from mtlslab.runtime.docker.runtime import DockerRuntime

        return DockerRuntime(pull=self._pull, say=self._say)

    @functools.cached_property
    def embedded(self) -> EmbeddedRuntime:
        """Plain nginx processes; looks for nginx when it is first used."""
        from mtlslab.runtime.embedded.runtime import EmbeddedRuntime

        return EmbeddedRuntime(directory=self._directory, nginx=self._nginx, say=self._say)

    @functools.cached_property
    def docker_problem(self) -> LabError | None:
        """Why no Docker Engine can be used; None when one answers."""
        return problem(self.docker)

    def choose(self, kind: str) -> Runtime:
        """The runtime for ``up``: the named one, or with ``auto`` Docker if an engine answers, else embedded.

        Says which and why when it was not named.

        Raises:
            MachineError: the named runtime is out of reach, or ``auto`` found none.
        """
        if kind != "auto":
            return self._named(kind)
        if self._nginx is not None:
            self._say("Runtime: embedded, because --nginx names a binary.")
            return self._named("embedded")
        if self.docker_problem is None:
            self._say("Runtime: docker, because an engine answers.")
            return self.docker
        nginx_problem = problem(self.embedded)
        if nginx_problem is not None:
            raise MachineError(
                "Neither Docker nor an nginx of this machine can be used.",
                why=(self.docker_problem.what, nginx_problem.what),
                hint=f"{self.docker_problem.hint} Or: {nginx_problem.hint}",
            )
        self._say(f"Runtime: embedded, because Docker cannot be used: {self.docker_problem.what}")
        return self.embedded

    def all(self, recorded: str) -> tuple[Runtime, ...]:
        """The runtimes in which a lab may be, the one recorded in lab.json first (empty: none was).

        Raises:
            MachineError: the lab was started in Docker and no engine answers.
        """
        if recorded == "docker":
            if self.docker_problem is not None:
                raise self.docker_problem
            return self.docker, self.embedded
        return (self.embedded,) if self.docker_problem is not None else (self.embedded, self.docker)

    def _named(self, kind: str) -> Runtime:
        runtime: Runtime = self.docker if kind == "docker" else self.embedded
        found = problem(runtime)
        if found is not None:
            raise found
        return runtime


def problem(runtime: Runtime) -> LabError | None:
    """Why a runtime cannot be used on this machine; None when it can."""
    try:
        runtime.describe()
    except LabError as error:
        return error
    return None

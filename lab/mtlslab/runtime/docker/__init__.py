"""The docker runtime: the services of a lab as containers of a Docker Engine."""

from __future__ import annotations

from mtlslab.runtime.base import Runtime, RuntimeOptions
from mtlslab.runtime.engine.endpoint import find_endpoint, knock

NEEDS = "Docker"


def meant_by(options: RuntimeOptions) -> str:  # noqa: ARG001  see RuntimeModule
    """Always empty: no option is for containers only. See ``RuntimeModule.meant_by``."""
    return ""


def open_runtime(options: RuntimeOptions) -> Runtime:
    """Connect to the engine; see ``RuntimeModule.open_runtime``.

    Raises:
        MachineError: the engine cannot be reached, or another kind of server answers; the message tells why.
    """
    # knock() needs no Docker SDK, which takes long to load: a machine without an engine does not load it.
    knock(find_endpoint())
    from mtlslab.runtime.docker.runtime import DockerRuntime

    runtime = DockerRuntime(options.pull, options.say)
    runtime.describe()
    return runtime

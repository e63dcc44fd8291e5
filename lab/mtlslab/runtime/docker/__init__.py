"""The docker runtime: the services of a lab as containers of a Docker Engine."""

from __future__ import annotations

from mtlslab.runtime.base import Runtime, RuntimeOptions
from mtlslab.runtime.engine.endpoint import find_endpoint, knock

NEEDS = "Docker"


def meant_by(options: RuntimeOptions) -> str:  # noqa: ARG001  see RuntimeModule
    """No option is for containers alone; see ``RuntimeModule.meant_by``."""
    return ""


def open_runtime(options: RuntimeOptions) -> Runtime:
    """Connect to the engine; see ``RuntimeModule.open_runtime``.

    Raises:
        MachineError: it cannot be reached, or what answers is no engine; the words tell why.
    """
    # First a knock without the Docker SDK, which takes long to load: no machine without an engine pays for it.
    knock(find_endpoint())
    from mtlslab.runtime.docker.runtime import DockerRuntime

    runtime = DockerRuntime(options.pull, options.say)
    runtime.describe()
    return runtime

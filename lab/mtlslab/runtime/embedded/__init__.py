"""The embedded runtime: nginx processes of the current user."""

from __future__ import annotations

from mtlslab.runtime.base import Runtime, RuntimeOptions

NEEDS = "an nginx of this machine"


def meant_by(options: RuntimeOptions) -> str:
    """Whoever names a binary means this runtime; see ``RuntimeModule.meant_by``."""
    return "--nginx names a binary" if options.nginx is not None else ""


def open_runtime(options: RuntimeOptions) -> Runtime:
    """Processes can be seen and ended where there is no nginx to start more; see ``RuntimeModule.open_runtime``."""
    # Imported here: the log writers belong to this package, too, and each of them lives as long as its nginx.
    from mtlslab.runtime.embedded.runtime import EmbeddedRuntime

    return EmbeddedRuntime(options.nginx, directory=options.directory, say=options.say)

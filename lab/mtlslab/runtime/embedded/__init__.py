"""The embedded runtime: nginx processes of the current user."""

from __future__ import annotations

from mtlslab.runtime.base import Runtime, RuntimeOptions

NEEDS = "an nginx of this machine"


def meant_by(options: RuntimeOptions) -> str:
    """The option ``--nginx`` is only for this runtime; see ``RuntimeModule.meant_by``."""
    return "--nginx names a binary" if options.nginx is not None else ""


def open_runtime(options: RuntimeOptions) -> Runtime:
    """Never fails: without an nginx binary, running processes can still be listed and stopped.

    See ``RuntimeModule.open_runtime``.
    """
    # Imported here, because :mod:`mtlslab.runtime.choose` imports this package only to read NEEDS and meant_by.
    from mtlslab.runtime.embedded.runtime import EmbeddedRuntime

    return EmbeddedRuntime(options.nginx, directory=options.directory, say=options.say)

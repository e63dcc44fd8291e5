"""The table of runtimes: name and package of each. Imports nothing, because `--help` loads this module."""

from __future__ import annotations

AUTO = "auto"
# Name -> package (see :class:`mtlslab.runtime.base.RuntimeModule`), in the order in which `auto` tries them.
RUNTIMES: dict[str, str] = {
    "docker": "mtlslab.runtime.docker",
    "embedded": "mtlslab.runtime.embedded",
}


def runtime_choices() -> tuple[str, ...]:
    """The valid values of ``--runtime``."""
    return (AUTO, *RUNTIMES)


def other_runtimes(name: str) -> str:
    """The options that select the other runtimes, for a hint: "--runtime embedded"."""
    return " or ".join(f"--runtime {other}" for other in RUNTIMES if other != name)

"""The runtimes, each in one row: what it is called and where it is. Light: `--help` and hints need it."""

from __future__ import annotations

AUTO = "auto"
# Name -> the package that offers it (see :class:`mtlslab.runtime.base.RuntimeModule`), in the order in which `auto`
# tries them.
RUNTIMES: dict[str, str] = {
    "docker": "mtlslab.runtime.docker",
    "embedded": "mtlslab.runtime.embedded",
}


def runtime_choices() -> tuple[str, ...]:
    """What ``--runtime`` takes."""
    return (AUTO, *RUNTIMES)


def other_runtimes(name: str) -> str:
    """The options by which a hint tells the way to the other runtimes: "--runtime embedded"."""
    return " or ".join(f"--runtime {other}" for other in RUNTIMES if other != name)

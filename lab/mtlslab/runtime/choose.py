"""Opens runtimes by their names, and finds the one that is meant; each is opened when it is needed, and once."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from mtlslab.errors import LabError, MachineError, SpecError
from mtlslab.runtime.base import Runtime, RuntimeModule, RuntimeOptions
from mtlslab.runtime.table import AUTO, RUNTIMES, runtime_choices


class Runtimes:
    """The runtimes that one command may need, those of the table.

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
        self._options = RuntimeOptions(directory=directory, nginx=nginx, pull=pull, say=say)
        self._opened: dict[str, Runtime | LabError] = {}

    def named(self, name: str) -> Runtime:
        """The runtime of that name, opened.

        Raises:
            SpecError: there is none of that name.
            MachineError: it cannot be reached.
        """
        if name not in self._opened:
            self._opened[name] = self._open(name)
        opened = self._opened[name]
        if isinstance(opened, LabError):
            raise opened
        return opened

    def problem(self, name: str) -> LabError | None:
        """Why nothing can be started in the runtime of that name; None when it can.

        Raises:
            SpecError: there is none of that name.
        """
        _module(name)
        try:
            self.named(name).describe()
        except LabError as error:
            return error
        return None

    def reachable(self) -> Iterator[Runtime]:
        """Those that can tell what runs in them, in the order of the table; each is opened when it is its turn."""
        for name in RUNTIMES:
            try:
                yield self.named(name)
            except MachineError:
                continue

    def all(self, recorded: str) -> Iterator[Runtime]:
        """The runtimes in which a lab may be, the one recorded in lab.json first (empty: none was).

        Each is opened when it is its turn: whoever finds the lab in the first does not wait for the others.

        Raises:
            SpecError: the recorded one is not known.
            MachineError: the recorded one cannot be reached, such as Docker when no engine answers.
        """
        if recorded:
            _require_known(recorded)
            yield self.named(recorded)
        yield from (runtime for runtime in self.reachable() if runtime.name != recorded)

    @property
    def meant(self) -> str:
        """The runtime that is meant by an option which concerns no other; empty when there is none."""
        return next((name for name in RUNTIMES if _module(name).meant_by(self._options)), "")

    def choose(self, kind: str) -> Runtime:
        """The runtime for ``up``: the named one; with ``auto`` the one that is meant, else the first that can be used.

        Says which and why when it was not named.

        Raises:
            SpecError: there is none of that name.
            MachineError: the named runtime cannot be used, or ``auto`` found none.
        """
        if kind != AUTO:
            return self._usable(kind)
        if self.meant:
            self._options.say(f"Runtime: {self.meant}, because {_module(self.meant).meant_by(self._options)}.")
            return self._usable(self.meant)
        problems: dict[str, LabError] = {}  # what a runtime needs -> why that cannot be used
        for name in RUNTIMES:
            found = self.problem(name)
            if found is None:
                self._options.say(f"Runtime: {name}, because {_reason(name, problems)}")
                return self.named(name)
            problems[_module(name).NEEDS] = found
        raise MachineError(
            f"Neither {' nor '.join(problems)} can be used.",
            why=tuple(error.what for error in problems.values()),
            hint=" Or: ".join(error.hint for error in problems.values()),
        )

    def _usable(self, name: str) -> Runtime:
        found = self.problem(name)
        if found is not None:
            raise found
        return self.named(name)

    def _open(self, name: str) -> Runtime | LabError:
        module = _module(name)
        try:
            return module.open_runtime(self._options)
        except LabError as error:
            return error


def _module(name: str) -> RuntimeModule:
    if name not in RUNTIMES:
        raise SpecError(f"There is no runtime {name!r}.", hint=f"Use one of: {', '.join(runtime_choices())}")
    return cast("RuntimeModule", importlib.import_module(RUNTIMES[name]))


def _require_known(recorded: str) -> None:
    """Where a lab was started in something unknown, nobody here can tell what runs of it."""
    if recorded not in RUNTIMES:
        raise SpecError(
            f"lab.json names the runtime {recorded!r}, which is not known.",
            why=f"known are: {', '.join(RUNTIMES)}",
            hint='Use the version of mtlslab that started the lab, or set "runtime" to "" in lab.json.',
        )


def _reason(name: str, problems: dict[str, LabError]) -> str:
    """Why ``auto`` takes a runtime, as the end of a sentence."""
    if not problems:
        return f"{_module(name).NEEDS} can be used."
    whats = " ".join(error.what for error in problems.values())
    return f"{' and '.join(problems)} cannot be used: {whats}"

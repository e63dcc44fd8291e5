"""Opens runtimes by name and chooses one for ``up``. Each runtime is opened at first use, and only once."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from mtlslab.errors import LabError, MachineError, SpecError
from mtlslab.runtime.base import Runtime, RuntimeModule, RuntimeOptions
from mtlslab.runtime.table import AUTO, RUNTIMES, runtime_choices


class Runtimes:
    """The runtimes of the table, for one run of a command.

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
        """The opened runtime of that name.

        Raises:
            SpecError: there is no runtime of that name.
            MachineError: the runtime cannot be reached.
        """
        if name not in self._opened:
            self._opened[name] = self._open(name)
        opened = self._opened[name]
        if isinstance(opened, LabError):
            raise opened
        return opened

    def problem(self, name: str) -> LabError | None:
        """Why a runtime cannot start services; None when it can.

        Raises:
            SpecError: there is no runtime of that name.
        """
        _module(name)
        try:
            self.named(name).describe()
        except LabError as error:
            return error
        return None

    def reachable(self) -> Iterator[Runtime]:
        """The runtimes that can be reached, in the order of the table; each is opened when the caller asks for it."""
        for name in RUNTIMES:
            try:
                yield self.named(name)
            except MachineError:
                continue

    def all(self, recorded: str) -> Iterator[Runtime]:
        """The runtimes in which a lab may run, beginning with the one that lab.json records.

        Each is opened when the caller asks for it: a caller that finds the lab in the first does not open the others.

        Args:
            recorded: name of the runtime in lab.json; empty when there is none.

        Raises:
            SpecError: the recorded runtime is unknown.
            MachineError: the recorded runtime cannot be reached, such as Docker when no engine answers.
        """
        if recorded:
            _require_known(recorded)
            yield self.named(recorded)
        yield from (runtime for runtime in self.reachable() if runtime.name != recorded)

    @property
    def meant(self) -> str:
        """Name of the runtime for which the user set an option that no other has; empty when there is none."""
        return next((name for name in RUNTIMES if _module(name).meant_by(self._options)), "")

    def choose(self, kind: str) -> Runtime:
        """The runtime for ``up``: the named one; with ``auto`` the one of ``meant``, else the first that can be used.

        With ``auto``, ``say`` is told which runtime was chosen and why.

        Raises:
            SpecError: there is no runtime of that name.
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
    """Refuse a runtime in lab.json that this version does not know: it could not tell what runs there."""
    if recorded not in RUNTIMES:
        raise SpecError(
            f"lab.json names the runtime {recorded!r}, which is not known.",
            why=f"known are: {', '.join(RUNTIMES)}",
            hint='Use the version of mtlslab that started the lab, or set "runtime" to "" in lab.json.',
        )


def _reason(name: str, problems: dict[str, LabError]) -> str:
    """Why ``auto`` chose a runtime, as the end of the sentence "Runtime: X, because ..."."""
    if not problems:
        return f"{_module(name).NEEDS} can be used."
    whats = " ".join(error.what for error in problems.values())
    return f"{' and '.join(problems)} cannot be used: {whats}"

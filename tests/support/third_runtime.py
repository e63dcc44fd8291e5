"""A third runtime, as somebody would add it: this module, and a row that names it. It runs nothing and tells of it.

``python -c PROGRAM first|last COMMAND ...`` is the program with that row. Services are lines in the
file ``SWARM_FILE`` of the environment: ``LAB SERVICE``.
"""

# ruff: noqa: ARG002  the interface has the arguments
from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from mtlslab.errors import MachineError
from mtlslab.plan.services import LabPlan, Service
from mtlslab.runtime.base import (
    Dump,
    LogLine,
    OpenSocket,
    Runtime,
    RuntimeOptions,
    ServiceStatus,
    Started,
    State,
    Surroundings,
)
from mtlslab.runtime.table import RUNTIMES

NAME = "swarm"
NEEDS = "a swarm"
# What the tests know, whatever else the table may hold one day.
OTHERS = {"docker": "mtlslab.runtime.docker", "embedded": "mtlslab.runtime.embedded"}
PROGRAM = "from tests.support.third_runtime import main; main()"


class SwarmRuntime:
    """Refuses to start anything, shows and removes what stands in the file; out of reach where there is no file."""

    name = NAME

    def __init__(self, file: Path) -> None:
        self._file = file

    def describe(self) -> str:
        return "Swarm 1"

    def uses_image(self) -> bool:
        return False

    def copies_files(self) -> bool:
        return False

    def publishes_here(self) -> bool:
        return True

    def prepare(self, lab: str, image: str) -> str:
        return image

    def start(self, plan: LabPlan) -> Started:
        raise MachineError(f"The swarm was asked to start {plan.lab}.")

    def stop(self, lab: str, services: tuple[str, ...] | None = None) -> tuple[str, ...]:
        ended = tuple(item.service for item in self.status(lab))
        if ended:
            self._file.write_text("")
        return ended

    def status(self, lab: str) -> tuple[ServiceStatus, ...]:
        lines = [line.split() for line in self._file.read_text().splitlines()]
        return tuple(ServiceStatus(service, State.RUNNING, "task 7") for name, service in lines if name == lab)

    def labs(self) -> tuple[str, ...]:
        return tuple({line.split()[0] for line in self._file.read_text().splitlines()})

    def logs(
        self, lab: str, service: str | None = None, *, follow: bool = False, tail: int | None = None
    ) -> Iterator[LogLine]:
        yield from (LogLine(item.service, "a line of the swarm") for item in self.status(lab))

    def reload(self, plan: LabPlan, service: Service) -> None:
        raise MachineError("The swarm does not reload.")

    def test(self, plan: LabPlan, service: Service) -> None:
        raise MachineError("The swarm does not test.")

    def surroundings(self, plan: LabPlan) -> tuple[Surroundings, ...]:
        return ()

    def configurations(self, plan: LabPlan) -> tuple[Dump, ...]:
        raise MachineError("The swarm does not tell.")

    def open_sockets(self, plan: LabPlan) -> tuple[OpenSocket, ...]:
        raise MachineError("The swarm does not tell.")


def meant_by(options: RuntimeOptions) -> str:
    return ""


def open_runtime(options: RuntimeOptions) -> Runtime:
    file = Path(os.environ["SWARM_FILE"])
    if not file.is_file():
        raise MachineError("There is no swarm.", hint="Make a swarm.")
    return SwarmRuntime(file)


def main() -> NoReturn:
    """Run the program with the row of this runtime, which is the first or the last of the table."""
    row = {NAME: "tests.support.third_runtime"}
    table = {**row, **OTHERS} if sys.argv.pop(1) == "first" else {**OTHERS, **row}
    RUNTIMES.clear()
    RUNTIMES.update(table)
    sys.argv[0] = "mtlslab"
    from mtlslab.cli.main import main as program

    program()
    raise AssertionError("the program ends itself")

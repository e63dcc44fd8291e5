"""Every error that a user may meet, and the exit status each one ends with.

    LabError                    base; never raised itself
    |- SpecError            2   an option, an environment variable or lab.json holds what it must not
    |  `- NotOursError      2   a file or directory that somebody else made or may change
    |- MachineError         3   the machine does not give what is needed: engine, image, port, permission
    |- LabNotFoundError     4   there is no such lab, or nothing of it runs
    `- NotReadyError        5   the services did not answer in time

A class is a fact about what went wrong; the words are in its fields. Only the command line prints them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit status of every command; documented in the README and in each command's help."""

    OK = 0
    CHECK_FAILED = 1
    USAGE = 2
    ENVIRONMENT = 3
    NOT_FOUND = 4
    NOT_READY = 5
    INCONCLUSIVE = 6
    INTERRUPTED = 130


class LabError(Exception):
    """Something that the user can act on.

    Args:
        what: one sentence, what went wrong.
        why: the cause, in the words of the system that refused where there are any; may be empty. A text is one line,
            whatever is in it: who means several gives them one by one.
        hint: what to type next; may be empty.

    ``lines`` holds the lines of ``why``.
    """

    exit_code = ExitCode.ENVIRONMENT

    def __init__(self, what: str, *, why: str | Sequence[str] = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.lines = (why,) if isinstance(why, str) else tuple(why)
        self.why = "\n".join(self.lines)
        self.hint = hint


class SpecError(LabError):
    """Bad input. ``problems`` holds all of them, so that one run tells everything that is wrong."""

    exit_code = ExitCode.USAGE

    def __init__(
        self, what: str, *, problems: tuple[str, ...] = (), why: str | Sequence[str] = "", hint: str = ""
    ) -> None:
        super().__init__(what, why=why or "; ".join(problems), hint=hint)
        self.problems = problems


class NotOursError(SpecError):
    """Somebody else made a file or directory of the lab, or may change it: nothing of it is used."""


class MachineError(LabError):
    """The machine does not give what the lab needs: engine, image, port, disk or permission."""

    exit_code = ExitCode.ENVIRONMENT


class LabNotFoundError(LabError):
    """There is no such lab, or nothing of it runs."""

    exit_code = ExitCode.NOT_FOUND


class NotReadyError(LabError):
    """The services did not finish a TLS handshake and answer HTTP in time."""

    exit_code = ExitCode.NOT_READY

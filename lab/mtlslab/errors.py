"""Every error that a user may meet, and the exit status each one ends with.

    LabError                    base; never raised itself
    |- SpecError            2   an option, an environment variable or lab.json has an invalid value
    |  |- MissingKeyError   2   a CA's private key is needed, and is kept elsewhere
    |  `- NotOursError      2   another user owns a file or directory of the lab, or may change it
    |- MachineError         3   the machine lacks or refuses what the lab needs: engine, image, port, permission
    |- LabNotFoundError     4   the lab does not exist, or none of its services runs
    |- NotReadyError        5   the services did not answer in time
    `- CannotJudgeError     6   the attempts on which a verdict would rest cannot be made on this machine

The class tells the kind of failure; the text is in the fields. Only the command line prints errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit status of every command; documented in docs/running.md and in each command's help."""

    OK = 0
    CHECK_FAILED = 1
    USAGE = 2
    ENVIRONMENT = 3
    NOT_FOUND = 4
    NOT_READY = 5
    INCONCLUSIVE = 6
    INTERRUPTED = 130


class LabError(Exception):
    """A failure that the user can act on.

    Args:
        what: one sentence: what went wrong.
        why: the cause, as the failing system (kernel, engine, nginx) reports it where it does; may be empty. A text is
            one line, whatever is in it: who means several gives them one by one.
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
    """Invalid input. ``problems`` holds one sentence for each invalid value, so that one run reports all of them."""

    exit_code = ExitCode.USAGE

    def __init__(
        self, what: str, *, problems: tuple[str, ...] = (), why: str | Sequence[str] = "", hint: str = ""
    ) -> None:
        super().__init__(what, why=why or "; ".join(problems), hint=hint)
        self.problems = problems


class MissingKeyError(SpecError):
    """A CA's private key is not in the lab: its owner keeps it elsewhere, and nothing can be issued.

    Args:
        path: of the key, in the workspace.
        directory: the workspace.
    """

    def __init__(self, path: str, directory: object) -> None:
        super().__init__(f"{path} is not in {directory}.", why="nothing can be issued without the CA's private key")
        self.path = path


class CannotJudgeError(LabError):
    """The attempts on which a verdict would rest cannot be made on this machine."""

    exit_code = ExitCode.INCONCLUSIVE


class NotOursError(SpecError):
    """Another user owns a file or directory of the lab, or may change it. It is not used."""


class MachineError(LabError):
    """The machine lacks or refuses what the lab needs: engine, image, port, disk or permission."""

    exit_code = ExitCode.ENVIRONMENT


class LabNotFoundError(LabError):
    """The lab does not exist, or none of its services runs."""

    exit_code = ExitCode.NOT_FOUND


class NotReadyError(LabError):
    """A service did not finish a TLS handshake and answer an HTTP request in time."""

    exit_code = ExitCode.NOT_READY

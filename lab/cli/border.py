"""The one border where errors become words and an exit status. Below it nobody prints and nobody exits."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from lab import interrupts
from lab.errors import ExitCode, LabError, MachineError

# sysexits(3), EX_SOFTWARE: a bug of ours is no verdict about anybody's server.
BUG = 70


class BorderedGroup(TyperGroup):
    """A command group that turns every error of its commands into a message on stderr and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            interrupts.listen()
            return super().invoke(ctx)
        except LabError as error:
            raise _ended(error) from error
        except KeyboardInterrupt as error:
            say("Interrupted.")
            raise typer.Exit(ExitCode.INTERRUPTED) from error
        except BrokenPipeError as error:
            # The reader of our output has gone (`mtlslab logs | head`); what Python still holds must not complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.OK) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENOMEM):
                raise _bug(error, debug=_debug(ctx)) from error
            raise _ended(MachineError("The machine has run out of something.", why=str(error))) from error
        except Exception as error:
            if type(error).__module__.startswith("typer."):
                raise
            raise _bug(error, debug=_debug(ctx)) from error


def say(message: str) -> None:
    """Talk to the user: stderr. Nobody listening, or a full disk behind it, is no reason to give up the work."""
    try:
        typer.echo(message, err=True)
    except OSError:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  for as long as the program runs


def _debug(ctx: Any) -> bool:
    return bool(ctx.params.get("debug"))


def _ended(error: LabError) -> typer.Exit:
    say(f"Error: {error.what}" + _block("", error.why))
    if error.hint:
        say(f"  Hint: {error.hint}")
    return typer.Exit(error.exit_code)


def _block(prefix: str, text: str) -> str:
    return "".join(f"\n  {prefix}{line}" for line in text.splitlines())


def _bug(error: Exception, *, debug: bool) -> typer.Exit:
    say(f"Error: this is a bug in mtlslab: {type(error).__name__}: {error}")
    if debug:
        say(traceback.format_exc())
    else:
        say("  Hint: run it again as: mtlslab --debug COMMAND ... and report what it prints.")
    return typer.Exit(BUG)

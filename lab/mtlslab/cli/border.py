"""Turns errors into a message and an exit status. No module below ``cli`` prints errors or ends the process."""

from __future__ import annotations

import errno
import os
import re
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from mtlslab.cli.terminal import say, say_lines, stop_output
from mtlslab.errors import ExitCode, LabError, MachineError
from mtlslab.lifecycle import interrupts
from mtlslab.plan.visible import visible

# EX_SOFTWARE of sysexits(3): a bug in mtlslab must not look like a verdict about a server.
BUG = 70


class BorderedGroup(TyperGroup):
    """A command group that turns every error of its commands into a message on stderr and an exit status."""

    def make_context(self, *arguments: Any, **settings: Any) -> Any:
        """Parse the options before the command."""
        try:
            return super().make_context(*arguments, **settings)
        except typer.Exit as error:
            # Only --install-completion and --show-completion end with 1: they do not know the shell.
            raise typer.Exit(ExitCode.USAGE if error.exit_code == 1 else error.exit_code) from error
        except (OSError, RuntimeError) as error:
            if type(error).__module__.startswith(("typer.", "click.")):
                raise
            # Before a command is known, only --install-completion reads and writes files.
            raise _ended(
                MachineError(
                    "The completion could not be installed.",
                    why=str(error),
                    hint="mtlslab --show-completion prints it: put it where your shell reads it.",
                )
            ) from error
        except Exception as error:
            _make_visible(error)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command; every error ends with a message and an exit status."""
        try:
            interrupts.listen()
            _tame_umask()
            return super().invoke(ctx)
        except LabError as error:
            raise _ended(error) from error
        except KeyboardInterrupt as error:
            say("Interrupted.")
            raise typer.Exit(ExitCode.INTERRUPTED) from error
        except BrokenPipeError as error:
            # The reader of stdout has gone (`mtlslab logs | head`). Python's flush at exit must not fail.
            stop_output()
            raise typer.Exit(ExitCode.OK) from error
        except OSError as error:
            if error.errno == errno.EIO:  # also from a closed terminal
                raise _ended(MachineError("A disk or a terminal does not answer.", why=str(error))) from error
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENOMEM):
                raise _bug(error, debug=_debug(ctx)) from error
            raise _ended(MachineError("The machine has run out of something.", why=str(error))) from error
        except Exception as error:
            if type(error).__module__.startswith("typer."):
                _offer_name(error)
                _make_visible(error)
                raise
            if type(error).__module__.startswith("cryptography."):
                _blame_openssl()
            raise _bug(error, debug=_debug(ctx)) from error


def _blame_openssl() -> None:
    """End the program if this machine's OpenSSL lacks what everything needs; no file and no bug is to blame then."""
    from mtlslab.pki.keys import require_digests

    try:
        require_digests()
    except LabError as error:
        raise _ended(error) from error


def _tame_umask() -> None:
    """Set a umask so that new files are never writable by others, and always accessible to their owner."""
    umask = os.umask(0o077)
    os.umask(umask & 0o077 | 0o022)


def _make_visible(error: Any) -> None:
    """Apply ``visible`` to a usage error: Typer prints it itself, and it quotes the command line."""
    message = getattr(error, "format_message", lambda: None)()
    if isinstance(message, str):
        error.format_message = lambda: "\n".join(map(visible, message.split("\n")))


def _offer_name(error: Any) -> None:
    """Complete the error of ``mtlslab up mylab``: the name of a lab is an option."""
    command = getattr(getattr(error, "ctx", None), "command", None)
    said = re.fullmatch(r"Got unexpected extra argument\(s\) \((\S+)\)", getattr(error, "message", "") or "")
    if said and command and any("--name" in parameter.opts for parameter in command.params):
        from mtlslab.plan.shell import shell_line

        line = shell_line(["mtlslab", command.name, "--name", said[1]])
        error.message += f". For a lab of that name: {line}"


def _debug(ctx: Any) -> bool:
    return bool(ctx.params.get("debug"))


def _ended(error: LabError) -> typer.Exit:
    say(f"Error: {error.what}")
    for line in filter(None, error.lines):
        say(f"  {line.rstrip()}")
    if error.hint:
        say(f"  Hint: {error.hint}")
    return typer.Exit(error.exit_code)


def _bug(error: Exception, *, debug: bool) -> typer.Exit:
    say(f"Error: this is a bug in mtlslab: {type(error).__name__}: {error}")
    if debug:
        # Words of strangers stand in it, too: indented, none of its lines looks like one of ours.
        say_lines(traceback.format_exc(), indent="    ")
    else:
        say("  Hint: run it again as: mtlslab --debug COMMAND ... and report what it prints.")
    return typer.Exit(BUG)

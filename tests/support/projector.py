"""Runs the program on a terminal of 80 columns and 24 lines, as a projector shows it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

from tests.support.cli import Run, command, environment
from tests.support.terminal import everything_from

COLUMNS, LINES = 80, 24
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_PASSING = re.compile(r"\r[^\n\r]*\x1b\[K|\r\x1b\[K")


def on_a_terminal(*words: str | Path, cwd: Path, columns: int = COLUMNS, **more: str) -> Run:
    """Run a command to its end; ``out`` is all that the terminal was sent, with its styles."""
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    env = environment(TERM="xterm", **more)
    for name in ("NO_COLOR", "COLUMNS"):
        env.pop(name, None)
    running = subprocess.Popen(command(*words), cwd=cwd, env=env, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    said = everything_from(screen)
    os.close(screen)
    return Run(running.wait(60), _PASSING.sub("", said.decode().replace("\r\n", "\n")), "")


def plain(text: str) -> list[str]:
    """The lines without their styles."""
    return _STYLE.sub("", text).rstrip("\n").split("\n")


def too_wide(text: str, columns: int = COLUMNS) -> list[str]:
    """Lines that the terminal breaks by itself although they have words between which they could be broken."""
    return [line for line in plain(text) if len(line) > columns and " " in line.strip()]

"""Passwords of files: from a file, from the environment, or from whoever sits at the terminal. Never an argument."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mtlslab.cli.terminal import ask_secret, can_ask
from mtlslab.errors import SpecError


def given_password(file: Path | None, variable: str) -> str | None:
    """The first line of a file, else the value of an environment variable; None if neither is there.

    Raises:
        SpecError: the file cannot be read.
    """
    if file is None:
        return os.environ.get(variable)
    try:
        with file.open(encoding="utf-8") as text:
            return text.readline(4096).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or "") if isinstance(error, OSError) else "it is no text (UTF-8)"
        raise SpecError(f"Cannot read {file}.", why=why, hint="Name another --password-file.") from error


def asking(file: Path | None, variable: str) -> Callable[[Path], str | None]:
    """A function from a protected file to its password: as given, else asked for on the terminal, once for each file.

    Args:
        file: of ``--password-file``.
        variable: the environment variable.
    """
    answers: dict[Path, str | None] = {}

    def password(protected: Path) -> str | None:
        if protected not in answers:
            given = given_password(file, variable)
            if given is None and can_ask():
                given = ask_secret(f"Password of {protected}: ")
            answers[protected] = given
        return answers[protected]

    return password

"""Reads files that the user names, in whatever format, with a password if need be. Changes none of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mtlslab.errors import SpecError
from mtlslab.pki import unlock
from mtlslab.pki.formats import PKCS12, format_of, to_pem
from mtlslab.plan.shell import shell_line

PASSWORD_VARIABLE = "MTLSLAB_KEY_PASSWORD"  # noqa: S105  its name
HOW_TO_GIVE = f"Give it with --password-file FILE (its first line) or in the environment: {PASSWORD_VARIABLE}"
_MAX_SIZE = 4 << 20  # bytes; the Web's public CAs are a quarter of a megabyte

Read = TypeVar("Read")


def read(option: str, file: Path) -> bytes:
    """Content of a regular file.

    Raises:
        SpecError: it is none, is too large, or cannot be read.
    """
    # A FIFO or a device would make us wait, or never end.
    if not file.is_file():
        why = "it is no regular file" if file.exists() else "no such file"
        raise SpecError(f"{option} {file} cannot be read.", why=why)
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_SIZE + 1)
    except OSError as error:
        raise SpecError(f"{option} {file} cannot be read.", why=error.strerror or "") from error
    if len(content) > _MAX_SIZE:
        raise SpecError(f"{option} {file} cannot be read.", why=f"it is larger than {_MAX_SIZE >> 20} MiB")
    return content


def opened(option: str, file: Path, content: bytes, make: Callable[[], Read]) -> Read:
    """What ``make`` makes of the content of a file.

    Args:
        option: that named the file, for messages.
        file: its path, for messages.
        content: of the file.
        make: raises ValueError for what it cannot use.

    Raises:
        SpecError: its password is missing or wrong, or it cannot be used.
    """
    try:
        return make()
    except unlock.PasswordError as error:
        raise SpecError(f"{option} {file} does not open.", why=str(error), hint=_how_to_open(file, content)) from error
    except ValueError as error:
        known = format_of(content) in unlock.READABLE
        of_key = option.replace("-cert", "-key")
        hint = f"A private key in another file has its own option: {of_key}" if known else to_pem(str(file), content)
        raise SpecError(f"{option} {file} cannot be used.", why=str(error), hint=hint) from error


def _how_to_open(file: Path, content: bytes) -> str:
    tool = "pkcs12" if format_of(content) is PKCS12 else "pkey"
    return f"{HOW_TO_GIVE}. To try it: {shell_line(['openssl', tool, '-in', file, '-noout'])}"

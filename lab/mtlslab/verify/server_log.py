"""The server's view of an attempt: the JSON line in its log that bears the attempt's nonce.

nginx writes its access log and its log of errors into one stream. The second holds words of strangers as they are, so a
line counts only if it begins with the lab's token (``LabSpec.log_token``), which no client ever sees.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from mtlslab.errors import LabError
from mtlslab.runtime.base import LogLine
from mtlslab.verify.checks import ServerSaid

ReadLog = Callable[[int], Iterable[LogLine]]
"""The last N lines of each service's log."""

LINES_PER_ATTEMPT = 6  # the access line, and what nginx adds to its error log at level info
_PAUSE = 0.02
PATIENCE = 1.0  # seconds
_MAX_LINE = 64 * 1024


def read_server_log(
    read: ReadLog, token: str, awaited: Collection[str], welcome: Collection[str] = (), *, patience: float = PATIENCE
) -> dict[str, ServerSaid]:
    """What the log says about attempts; those that it does not know are left out.

    nginx writes the line of a request when it has ended, which may be a moment after the answer has arrived: so the
    log is read again while lines are missing. A log that cannot be read says nothing.

    Args:
        read: reads the end of the log.
        token: of the lab.
        awaited: nonces of the attempts whose lines are waited for.
        welcome: nonces of further attempts that may have a line.
        patience: seconds to wait at most; a quarter of that for a log that knows none of the attempts.
    """
    wanted, found = {*awaited, *welcome}, dict[str, ServerSaid]()
    tail = max(200, LINES_PER_ATTEMPT * len(wanted))
    begin = time.monotonic()
    while wanted:
        lines = _lines(read, tail)
        if not lines:
            break
        found = parse_log((line.text for line in lines), token, wanted)
        waited = time.monotonic() - begin
        if found.keys() >= set(awaited) or waited > (patience if found else patience / 4):
            break
        time.sleep(_PAUSE)
        tail *= 2  # others may be at work on this lab, too
    return found


def parse_log(lines: Iterable[str], token: str, nonces: Collection[str]) -> dict[str, ServerSaid]:
    """The entries with these nonces among lines of which any may be something else; the last of each counts."""
    found = {}
    for line in lines:
        entry = access_entry(line, token)
        nonce = entry.get("probe") if entry else None
        if entry and isinstance(nonce, str) and nonce in nonces:
            found[nonce] = _said(entry)
    return found


def access_entry(line: str, token: str) -> Mapping[str, Any] | None:
    """What a line of the access log says; None for any other line, whatever it looks like."""
    if not line.startswith(f'{{"token":"{token}",') or len(line) > _MAX_LINE:
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _lines(read: ReadLog, tail: int) -> list[LogLine]:
    try:
        return list(read(tail))
    except LabError:
        return []


def _said(entry: Mapping[str, Any]) -> ServerSaid:
    def text(name: str) -> str:
        value = entry.get(name, "")
        return value if isinstance(value, str) else ""

    return ServerSaid(
        status=text("status"),
        verify=text("client_verify"),
        subject=text("client_subject"),
        issuer=text("client_issuer"),
        serial=text("client_serial"),
        fingerprint=text("client_fingerprint").lower(),
        protocol=text("protocol"),
        cipher=text("cipher"),
        session_reused=text("session_reused") == "r",
    )

"""The server's view of an attempt: the JSON line in its log that bears the attempt's nonce, or its port and time.

nginx writes its access log and its log of errors into one stream. The second holds words of strangers as they are, so a
line counts only if it begins with the lab's token (``LabSpec.log_token``), which no client ever sees.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
_NO_NONCE = '"probe":""'
_CLOCK = 0.5  # seconds by which the clock of a virtual machine's containers may be off


@dataclasses.dataclass(frozen=True)
class Unmarked:
    """A request without a nonce: what its line in the log must say to be it.

    Attributes:
        service: who was asked.
        port: TCP port that it came from; something between client and server may have changed it.
        begin, end: when it was made, seconds since the epoch.
        status: of the answer.
        fingerprint: SHA-1 (lower case hex) of the certificate that was shown; empty for none.
    """

    service: str
    port: int
    begin: float
    end: float
    status: str
    fingerprint: str = ""

    def may_be(self, entry: Mapping[str, Any]) -> bool:
        """Whether a line of the log with its service and status may tell of it, whatever port that names."""
        try:
            when = float(entry.get("msec", ""))
        except (TypeError, ValueError):
            return False
        return not entry.get("probe") and self.begin - _CLOCK <= when <= self.end + _CLOCK


def read_server_log(
    read: ReadLog,
    token: str,
    awaited: Collection[str],
    welcome: Collection[str] = (),
    *,
    unmarked: Mapping[str, Unmarked] | None = None,
    patience: float = PATIENCE,
) -> dict[str, ServerSaid]:
    """What the log says about attempts; those that it does not know are left out.

    nginx writes the line of a request when it has ended, which may be a moment after the answer has arrived: so the
    log is read again while lines are missing. A log that cannot be read says nothing.

    Args:
        read: reads the end of the log.
        token: of the lab.
        awaited: nonces of the attempts whose lines are waited for.
        welcome: nonces of further attempts that may have a line.
        unmarked: attempts without a nonce that may have a line, by the name that it gets in the result.
        patience: seconds to wait at most; a quarter of that for a log that knows none of the attempts.
    """
    wanted, found, unmarked = {*awaited, *welcome}, dict[str, ServerSaid](), unmarked or {}
    told = dict[str, ServerSaid | None]()
    tail = max(200, LINES_PER_ATTEMPT * (len(wanted) + len(unmarked)))
    begin = time.monotonic()
    while wanted or unmarked:
        lines = _lines(read, tail)
        if not lines:
            break
        texts = [line.text for line in lines]
        found, told = parse_log(texts, token, wanted), match_unmarked(texts, token, unmarked)
        waited = time.monotonic() - begin
        if {*found, *told} >= {*awaited, *unmarked} or waited > (patience if found or told else patience / 4):
            break
        time.sleep(_PAUSE)
        tail *= 2  # others may be at work on this lab, too
    return {**found, **{name: said for name, said in told.items() if said}}


def parse_log(lines: Iterable[str], token: str, nonces: Collection[str]) -> dict[str, ServerSaid]:
    """The entries with these nonces among lines of which any may be something else; the last of each counts."""
    found = {}
    for line in lines:
        entry = access_entry(line, token)
        nonce = entry.get("probe") if entry else None
        if entry and isinstance(nonce, str) and nonce in nonces:
            found[nonce] = _said(entry)
    return found


def match_unmarked(lines: Iterable[str], token: str, unmarked: Mapping[str, Unmarked]) -> dict[str, ServerSaid | None]:
    """What the log says of attempts without a nonce; None where its lines disagree; those without a line are left out.

    The port decides. Where the log knows less than half of the ports, something like Docker's proxy has changed them
    all, and those that it does know are its own by chance: then the lines of that time and that certificate decide.
    """
    # Most lines have a nonce: they need not be read for this.
    entries = [entry for line in lines if _NO_NONCE in line and (entry := access_entry(line, token))]
    of_port = _sorted(entries, "service", "status", "port")
    found = {
        name: [entry for entry in of_port[one.service, one.status, str(one.port)] if one.may_be(entry)]
        for name, one in unmarked.items()
    }
    if 2 * sum(map(bool, found.values())) < len(unmarked):
        alike = _sorted(entries, "service", "status")
        found = {
            name: [entry for entry in _by(one.fingerprint, alike[one.service, one.status]) if one.may_be(entry)]
            for name, one in unmarked.items()
        }
    return {name: _agreed(lines_of_it) for name, lines_of_it in found.items() if lines_of_it}


def _sorted(entries: Iterable[Mapping[str, Any]], *names: str) -> defaultdict[tuple[Any, ...], list[Mapping[str, Any]]]:
    """The entries by the values of these fields."""
    found = defaultdict[tuple[Any, ...], list[Mapping[str, Any]]](list)
    for entry in entries:
        found[tuple(entry.get(name) for name in names)].append(entry)
    return found


def _by(fingerprint: str, entries: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    return (entry for entry in entries if str(entry.get("client_fingerprint", "")).lower() == fingerprint)


def _agreed(entries: Sequence[Mapping[str, Any]]) -> ServerSaid | None:
    """What all of these lines say; the connections of several lines may differ."""
    said = [_said(entry) for entry in entries]
    if len(said) == 1:
        return said[0]
    alike = {dataclasses.replace(one, cipher="", protocol="", session_reused=False) for one in said}
    return alike.pop() if len(alike) == 1 else None


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

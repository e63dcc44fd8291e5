"""One short line for each request that a service has logged, for people; and which of them are wanted."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mtlslab.output.lines import one_line
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.runtime.base import LogLine
from mtlslab.verify.server_log import access_entry

_NAMES = {MTLS_SERVICE: "mTLS"}
_USUAL = re.compile(r"GET /hello-world\.txt(\?probe=\w*)? HTTP/1\.1")
# nginx's own lines: its time, the level, and its words without what it adds about the connection.
_OWN = re.compile(r"\S+ (\d\d:\d\d:\d\d) \[(\w+)\] [\d#]+: (?:\*\d+ )?(.*)")
_HANDSHAKE = " while SSL handshaking"
_OPENSSL = re.compile(r"\(SSL: error:\w+:SSL routines:[^:]*:([^:)]+)")
_LONGEST = 5  # seconds in which verify knocks at doors, without a mark, after the last marked request
_QUIET = ("info", "notice", "debug")


def wanted(
    lines: Iterable[LogLine], token: str, *, mine: bool, refused: bool, follow: bool = False
) -> Iterator[LogLine]:
    """The lines of requests that are asked for; nginx's own only where all are.

    The program marks its probes (``?probe=``), apart from those that must look like anybody's: they come together with
    marked ones, and are known by that.

    Args:
        lines: of the log, as they come.
        token: that of the lab, with which a line of the access log begins.
        mine: without the program's own probes.
        refused: only requests that were refused, in the handshake or with an HTTP status.
        follow: whether they come one by one, so that nobody knows yet what comes after a line.
    """
    known = lines if follow or not mine else list(lines)
    probes = _Probes()
    for line in known if not follow and mine else ():
        probes.add(access_entry(line.text, token))
    for line in known:
        entry = access_entry(line.text, token)
        probes.add(entry if follow else None)
        if mine and (not entry or entry.get("probe") or probes.near(_seconds(entry))):
            continue
        if refused and not (_is_refusal(entry) if entry else _HANDSHAKE in line.text):
            continue
        yield line


class _Probes:
    """The seconds in which the program's own requests were made."""

    def __init__(self) -> None:
        self._marked = set[int]()
        self._all = set[int]()

    def add(self, entry: Mapping[str, Any] | None) -> None:
        """Remember a request, if it has a mark."""
        if entry and entry.get("probe") and (when := _seconds(entry)) < float("inf"):
            self._marked.add(int(when))
            self._all.add(int(when))

    def near(self, when: float) -> bool:
        """Whether a request without a mark was made together with others of the program's."""
        if when == float("inf"):
            return False
        second = int(when)
        if self._all.isdisjoint(range(second - 1, second + 2)):
            return False
        if not self._marked.isdisjoint(range(second - _LONGEST, second + 1)):
            self._all.add(second)  # the next one may follow this one
        return True


def short_lines(lines: Iterable[LogLine], token: str) -> Iterator[str]:
    """Time, service, status and what the server made of the client's certificate: ``00:37:16 mTLS 400 NONE ...``.

    A handshake that failed has no request, and no status. nginx's own lines are told where they are warnings or worse.
    """
    for line in lines:
        entry = access_entry(line.text, token)
        text = _request(line.service, entry) if entry else _own(line)
        if text:
            yield one_line(text)


def _request(service: str, entry: Mapping[str, Any]) -> str:
    status, verify, request = (str(entry.get(name, "")) for name in ("status", "client_verify", "request"))
    more = [] if _USUAL.fullmatch(request) else [request]
    if service != MTLS_SERVICE:
        return " ".join((_clock(entry), "TLS ", status, "-", *more)).rstrip(" -")
    result, _, reason = verify.partition(":")
    who = str(entry.get("client_subject", ""))
    what = {"NONE": "no certificate", "SUCCESS": who}.get(result, f"{reason} ({who})")
    return f"{_clock(entry)} mTLS {status} {result or '-'} {' '.join((what, *more))}"


def _own(line: LogLine) -> str:
    found = _OWN.match(line.text)
    if not found:
        return ""
    clock, level, words = found.groups()
    where = f"{clock} {_NAMES.get(line.service, 'TLS '):<4}"
    if _HANDSHAKE in words:
        reason = _OPENSSL.search(words)
        return f"{where} --- handshake failed: {reason[1] if reason else words.partition(_HANDSHAKE)[0]}"
    return "" if level in _QUIET else f"{where} {level}: {words.partition(', client:')[0]}"


def _is_refusal(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("status", "")) >= "400"


def _seconds(entry: Mapping[str, Any]) -> float:
    try:
        return float(entry.get("msec", ""))
    except (TypeError, ValueError):
        return float("inf")


def _clock(entry: Mapping[str, Any]) -> str:
    """The time of a request where whoever reads this is."""
    try:
        return f"{datetime.datetime.fromisoformat(str(entry.get('time'))).astimezone():%H:%M:%S}"
    except ValueError:
        return "--:--:--"

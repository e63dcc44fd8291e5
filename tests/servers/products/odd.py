"""Servers of ours for what cannot be had on demand: limits, bans, tarpits, flaky back ends, lying pages, other protocols."""

from __future__ import annotations

from tests.servers.launch import python_program
from tests.servers.model import Cell, Truth, Wire

_MAIL = Wire(b"", b"220 hello")
_ECHO = Wire(b"ping", b"ping")


def _cell(mode: str, truth: Truth, **more: object) -> Cell:
    start = python_program("odd_servers.py", mode, "@PORT@", "@CERTS@")
    return Cell("a server of ours", mode, truth, start, light=True, **more)  # type: ignore[arg-type]


CELLS = [
    _cell("limit-optional", Truth.REQUESTED, counts=True, oracle=False),
    _cell("limit-none", Truth.NONE, counts=True, oracle=False),
    _cell("ban-optional", Truth.REQUIRED, counts=True, oracle=False),
    _cell("tarpit-optional", Truth.REQUIRED, timeout=0.5, oracle=False),
    _cell("flaky-none", Truth.NONE, counts=True, oracle=False),
    _cell("flaky-optional", Truth.REQUESTED, counts=True, oracle=False),
    _cell("errs-optional", Truth.REQUIRED),
    _cell("login-optional", Truth.REQUIRED),
    _cell("later-required", Truth.REQUIRED),
    _cell("later-optional", Truth.REQUESTED),
    _cell("lies-optional", Truth.OPEN, hidden=True),
    _cell("lies-none", Truth.NONE, oracle=False),
    _cell("proxy-required", Truth.OPEN),
    _cell("mail-none", Truth.NONE, wire=_MAIL),
    _cell("mail-optional", Truth.REQUESTED, wire=_MAIL),
    _cell("mail-required", Truth.REQUIRED, wire=_MAIL),
    _cell("echo-none", Truth.NONE, wire=_ECHO),
    _cell("echo-optional", Truth.REQUESTED, wire=_ECHO),
    _cell("echo-required", Truth.REQUIRED, wire=_ECHO),
]

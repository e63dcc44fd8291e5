"""What ``audit`` says of a cell, by mode, held against its truth."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import Any

from mtlslab.audit import audit, make_request
from mtlslab.errors import ExitCode

from tests.servers.model import STRANGERS_GET_IN, Cell, Place, Truth


class Mode(StrEnum):
    """What the audit is given."""

    CACERT = "--cacert only"
    CLIENT = "with a good client"
    CA_KEY = "with the client CA's key"


class Score(StrEnum):
    """What an answer is worth."""

    RIGHT = "right"
    WRONG = "wrong"
    FALSE_ENFORCES = "false enforces"
    UNDECIDED = "undecided"


# The word of a report -> what it claims.
WORDS = {
    "none": Truth.NONE,
    "requested-not-enforced": Truth.REQUESTED,
    "optional": Truth.REQUESTED,
    "optional-unverified": Truth.REQUESTED,
    "any-certificate": Truth.ANY,
    "only-a-name": Truth.NAME,
    "required": Truth.REQUIRED,
    "required-with-holes": Truth.HOLES,
    "not-the-same": Truth.VARIES,
    "unknown": Truth.OPEN,
    "could-not-tell": Truth.OPEN,
}
_ENFORCES = (Truth.REQUIRED, Truth.HOLES)


@dataclasses.dataclass(frozen=True)
class Answer:
    """One report, in short: what it claims, its exit code, its last sentence."""

    claim: Truth
    exit_code: int
    sentence: str


def ask(cell: Cell, place: Place, mode: Mode) -> Answer:
    """Audit a running server."""
    certs = place.certs
    more: dict[str, Any] = {}
    if mode is Mode.CLIENT:
        more = {"cert": certs / "client.crt", "key": certs / "client.key"}
    if mode is Mode.CA_KEY:
        more = {"client_ca_cert": certs / "client-ca.crt", "client_ca_key": certs / "client-ca.key"}
    if cell.expect:
        more["expect"] = cell.expect
    url = f"https://{cell.host}:{place.port}"
    report = audit(
        make_request(url, path=cell.audited_path, cacert=certs / "server-ca.crt", timeout=cell.timeout, **more)
    )
    value = report.to_mapping()
    # Whatever it looks like: the exit code says that nobody can tell.
    open_ = report.exit_code is ExitCode.INCONCLUSIVE
    claim = Truth.OPEN if open_ else WORDS[value["server"]["client_auth"]]
    return Answer(claim, int(report.exit_code), report.closing_sentence)


def score(cell: Cell, mode: Mode, answer: Answer) -> Score:
    """What the answer is worth, by what can be known in this mode."""
    enforces = answer.claim in _ENFORCES and answer.exit_code == 0
    if enforces and cell.truth in STRANGERS_GET_IN:
        return Score.FALSE_ENFORCES
    if mode is Mode.CA_KEY and (cell.pinned or cell.truth is Truth.NAME) and answer.claim is Truth.OPEN:
        # Nobody who makes clients of his own knows the one that is admitted: the owner must show it.
        return Score.RIGHT
    if cell.truth is Truth.OPEN:
        return Score.RIGHT if answer.claim is Truth.OPEN else Score.WRONG
    if answer.claim is Truth.OPEN:
        return Score.UNDECIDED
    return Score.RIGHT if answer.claim in _right(cell, mode) else Score.WRONG


def _right(cell: Cell, mode: Mode) -> tuple[Truth, ...]:
    if cell.truth is Truth.HOLES:
        # Only who holds the CA's key can make the certificates that get through.
        return (Truth.HOLES,) if mode is Mode.CA_KEY else _ENFORCES
    if cell.truth is Truth.REQUIRED and mode is Mode.CA_KEY:
        # What a library lets through that only the CA itself could issue is no wrong answer.
        return _ENFORCES
    if cell.truth is Truth.VARIES:
        # What the laxest address does is as true, and fails as well.
        return (Truth.VARIES, Truth.NONE, Truth.REQUESTED, Truth.ANY)
    return (cell.truth,)


def own_certs(cell: Cell, certs: Path) -> Path:
    """The certificates for a cell."""
    return certs / ("rsa" if cell.rsa else "ec")

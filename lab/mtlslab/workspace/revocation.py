"""Revocation in the workspace: the client CA's list ``crl/client-ca.crl``, written, renewed, looked at.

A certificate cannot be taken off the list again: RFC 5280 section 5.3.1 knows removeFromCRL on delta CRLs only, and for
certificates on hold. Whoever was revoked by mistake is issued a new certificate.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Callable, Iterable
from enum import StrEnum

from mtlslab import pki
from mtlslab.errors import LabError, SpecError
from mtlslab.pki.crl import DAYS, CrlInfo, is_crl_of, issue_crl, read_crl
from mtlslab.plan.paths import CLIENT_CA, CLIENT_CA_KEY, CRL, FAULTS_DIRECTORY
from mtlslab.plan.shell import shell_line
from mtlslab.workspace.credentials import (
    DIRECTORY,
    OWN_NAMES,
    client_names,
    files_of,
    load_certificates,
    load_client_ca,
    require_client,
)
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.renewal import RENEW_BEFORE

Say = Callable[[str], None]

SPECIMEN = "revoked"
"""The credential of the zoo that is there to be revoked."""


class Condition(StrEnum):
    """How it stands with the list."""

    ABSENT = "absent"
    GOOD = "good"
    EXPIRES_SOON = "expires soon"
    EXPIRED = "expired"  # nginx then refuses every client: "CRL has expired"


@dataclasses.dataclass(frozen=True)
class CrlState:
    """The list of a lab.

    Attributes:
        condition: how it stands.
        configured: whether the mTLS service was last set up to check it (``ssl_crl``).
        info: what it says; None when there is none.
    """

    condition: Condition
    configured: bool
    info: CrlInfo | None


@dataclasses.dataclass(frozen=True)
class Revocation:
    """What became of a wish to revoke.

    Attributes:
        serial: the certificate's serial number.
        moment: when it was revoked (aware UTC); in the past if it already was.
        already: whether it was on the list before.
        state: the list as it is now.
    """

    serial: int
    moment: datetime.datetime
    already: bool
    state: CrlState


def crl_state(workspace: Workspace, now: datetime.datetime) -> CrlState:
    """How it stands with the list of a lab.

    Args:
        workspace: that of the lab.
        now: the time (aware UTC).

    Raises:
        SpecError: the list is damaged, or not of the lab's client CA.
    """
    record = workspace.record()
    configured = bool(record and record.spec.get("crl"))
    info = _read(workspace)
    return CrlState(_condition(info, now), configured, info)


def revoke(workspace: Workspace, serial: int, *, now: datetime.datetime, days: int | None = None) -> Revocation:
    """Enter a certificate into the list, which is made if there was none; earlier entries stay.

    Args:
        workspace: that of the lab.
        serial: the certificate's serial number.
        now: the time (aware UTC).
        days: until the list's next update; None for as many as before, or 30.

    Raises:
        SpecError: the list or the client CA is damaged, or the CA's key is missing.
    """
    before = _read(workspace)
    already = before is not None and serial in before.revoked
    if not already or days is not None:
        _write(workspace, before, (serial,), now, days)
    state = crl_state(workspace, now)
    moment = state.info.revoked[serial] if state.info else now
    return Revocation(serial, moment, already, state)


def keep_crl(workspace: Workspace, *, now: datetime.datetime, say: Say) -> None:
    """Have a list that can be used: one that revokes nothing if there is none, a new one before the old one expires.

    Raises:
        SpecError: the list is damaged or foreign, or it must be signed and the client CA's key is missing.
    """
    info = _read(workspace)
    condition = _condition(info, now)
    if condition is Condition.GOOD:
        return
    if condition is Condition.EXPIRES_SOON and workspace.read_key(CLIENT_CA_KEY) is None:
        say(f"{CRL} {_end(info)} and cannot be renewed: {CLIENT_CA_KEY} is missing.")
        return
    _write(workspace, info, (), now, None)
    if info:
        say(f"Issued a new {CRL}: the old one {_end(info)}.")


def serial_of(workspace: Workspace, name: str) -> int:
    """Serial number of a client credential: the lab's client, a further one, or ``revoked`` of the zoo.

    Raises:
        SpecError: there is none of that name, or another CA issued it, so that the list says nothing about it.
    """
    path, _ = files_of(name)
    if name in OWN_NAMES and name != "client":
        raise SpecError(
            f"{name!r} is no client credential.",
            why="the list is the client CA's, and speaks of clients only",
            hint="Everything anew, CAs too: mtlslab up --rotate-certs",
        )
    if name == SPECIMEN:
        path = f"{FAULTS_DIRECTORY}/{SPECIMEN}.crt"
        if workspace.read(path) is None:
            raise SpecError(f"There is no {path} yet.", hint=f"Issue it: mtlslab certs issue --fault {SPECIMEN}")
    else:
        require_client(workspace, name)
    return _serial_in(workspace, path)


def names_by_serial(workspace: Workspace) -> dict[int, str]:
    """Serial number -> path of the certificate, for all that the workspace holds and that can be read."""
    paths = [f"{DIRECTORY}/{name}.crt" for name in client_names(workspace)]
    paths.append(f"{FAULTS_DIRECTORY}/{SPECIMEN}.crt")
    found: dict[int, str] = {}
    for path in paths:
        try:
            found[pki.load_certificates(workspace.read(path) or b"")[0].serial_number] = path
        except (ValueError, LabError):
            continue  # what is missing or damaged, or no file at all, has no name to show
    return found


def is_revoked(workspace: Workspace, serial: int) -> bool:
    """Whether a serial number is on the list.

    Raises:
        SpecError: the list is damaged or foreign.
    """
    info = _read(workspace)
    return info is not None and serial in info.revoked


def _serial_in(workspace: Workspace, path: str) -> int:
    leaf, *chain = load_certificates(workspace, path)
    ca = load_certificates(workspace, CLIENT_CA)[0]
    if not pki.issued_by(leaf, ca):
        raise SpecError(
            f"{path} was not issued by {CLIENT_CA}.",
            why="only the CA that issued a certificate can revoke it (RFC 5280 section 5)"
            + ("; here it is an intermediate" if chain else ""),
            hint="mtlslab certs list",
        )
    return leaf.serial_number


def _read(workspace: Workspace) -> CrlInfo | None:
    pem = workspace.read(CRL)
    if pem is None:
        return None
    ca = load_certificates(workspace, CLIENT_CA)[0]
    hint = f"Put the right one there, or give up all revocations: {shell_line(['rm', workspace.directory / CRL])}"
    try:
        info, ours = read_crl(pem), is_crl_of(pem, ca)
    except ValueError as error:
        raise SpecError(f"{workspace.directory / CRL} is damaged.", why=str(error), hint=hint) from error
    if not ours:
        raise SpecError(
            f"{workspace.directory / CRL} was not issued by {CLIENT_CA}.",
            why="nginx would find no list of the client CA in it and refuse every client",
            hint=hint,
        )
    return info


def _condition(info: CrlInfo | None, now: datetime.datetime) -> Condition:
    if info is None:
        return Condition.ABSENT
    if info.expired(now):
        return Condition.EXPIRED
    if info.next_update is None:
        return Condition.GOOD
    # A list made for a day is not "about to expire" all day long.
    margin = min(RENEW_BEFORE, (info.next_update - info.this_update) / 3)
    return Condition.EXPIRES_SOON if info.next_update - now < margin else Condition.GOOD


def _write(
    workspace: Workspace, before: CrlInfo | None, serials: Iterable[int], now: datetime.datetime, days: int | None
) -> None:
    ca = load_client_ca(workspace)
    revoked = dict.fromkeys(serials, now) | dict(before.revoked if before else {})
    number = before.number + 1 if before else 1
    pem = issue_crl(ca, revoked, now=now, number=number, days=days or _usual_days(before))
    workspace.write(CRL, pem)


def _usual_days(before: CrlInfo | None) -> int:
    if before is None or before.next_update is None:
        return DAYS
    # Backdating makes a list of 30 days some minutes longer.
    return max(1, math.floor((before.next_update - before.this_update) / datetime.timedelta(days=1)))


def _end(info: CrlInfo | None) -> str:
    if info is None or info.next_update is None:
        return "does not expire"
    return f"expires at {info.next_update:%Y-%m-%d %H:%M} UTC"

"""The client CA's certificate revocation list (CRL), ``crl/client-ca.crl``: read, written, renewed.

A revocation is final: RFC 5280 section 5.3.1 has removeFromCRL for delta CRLs only, and for certificates on hold. A
client that was revoked by mistake needs a new certificate.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
from collections.abc import Callable, Iterable
from enum import StrEnum

from mtlslab import pki
from mtlslab.errors import LabError, SpecError
from mtlslab.pki.crl import DAYS, CrlInfo, is_crl_of, issue_crl, read_crl
from mtlslab.plan.paths import CLIENT_CA, CLIENT_CA_KEY, CRL, FAULTS_DIRECTORY
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.plan.shell import shell_line
from mtlslab.workspace.credentials import (
    DIRECTORY,
    OWN_NAMES,
    client_names,
    files_of,
    load_certificates,
    load_client_ca,
    load_client_ca_certificate,
    require_client,
)
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.renewal import RENEW_BEFORE
from mtlslab.workspace.revocation_note import read_note, write_note

Say = Callable[[str], None]

REVOKED_FAULT = "revoked"
"""The fault whose certificate is revoked."""


class Condition(StrEnum):
    """Condition of the list."""

    ABSENT = "absent"
    GOOD = "good"
    EXPIRES_SOON = "expires soon"
    EXPIRED = "expired"  # nginx then refuses every client: "CRL has expired"


@dataclasses.dataclass(frozen=True)
class CrlState:
    """The list of a lab.

    Attributes:
        condition: of the list.
        configured: whether the last rendered configuration checks it (``ssl_crl``).
        info: its content; None if there is no list.
    """

    condition: Condition
    configured: bool
    info: CrlInfo | None


@dataclasses.dataclass(frozen=True)
class Revocation:
    """Result of :func:`revoke`.

    Attributes:
        serial: the certificate's serial number.
        moment: revocation date (aware UTC); in the past if it was revoked before.
        already: whether it was on the list before.
        state: of the list after the revocation.
    """

    serial: int
    moment: datetime.datetime
    already: bool
    state: CrlState


def crl_state(workspace: Workspace, now: datetime.datetime) -> CrlState:
    """Read the list of a lab.

    Args:
        workspace: of the lab.
        now: current time (aware UTC).

    Raises:
        SpecError: the list is damaged, or another CA issued it.
    """
    record = workspace.record()
    configured = bool(record and record.spec.get("crl"))
    info = read_list(workspace)
    return CrlState(_condition(info, now), configured, info)


def revoke(workspace: Workspace, serial: int, *, now: datetime.datetime, days: int | None = None) -> Revocation:
    """Enter a certificate into the list; earlier entries stay. A missing list is created.

    Args:
        workspace: of the lab; the caller holds its lock.
        serial: the certificate's serial number.
        now: current time (aware UTC).
        days: from now to nextUpdate; None for as many as before, at first 30.

    Raises:
        SpecError: the list is damaged or another CA issued it, or the client CA or its key is missing or damaged.
    """
    before = read_list(workspace)
    already = before is not None and serial in before.revoked
    if not already or days is not None:
        _write(workspace, before, (serial,), now, days)
    state = crl_state(workspace, now)
    moment = state.info.revoked[serial] if state.info else now
    return Revocation(serial, moment, already, state)


def keep_crl(workspace: Workspace, *, now: datetime.datetime, say: Say) -> None:
    """Create an empty list if there is none, and renew a list that has expired or expires soon.

    Args:
        workspace: of the lab; the caller holds its lock.
        now: current time (aware UTC).
        say: gets a message when the list is renewed, or cannot be.

    Raises:
        SpecError: the list is damaged or another CA issued it, or it must be signed and the client CA's key is missing.
    """
    info = read_list(workspace)
    condition = _condition(info, now)
    if condition is Condition.GOOD:
        return
    if condition is Condition.EXPIRES_SOON and workspace.read_key(CLIENT_CA_KEY) is None:
        say(f"{CRL} {_end(info)} and cannot be renewed: {CLIENT_CA_KEY} is missing.")
        return
    _write(workspace, info, (), now, None)
    if info:
        say(f"Issued a new {CRL}: the old one {_end(info)}.")


def still_open(workspace: Workspace, state: CrlState) -> str:
    """What is missing until the mTLS service refuses those who are on the list, as one sentence with the command.

    Args:
        workspace: of the lab.
        state: of the list.

    Raises:
        LabError: nginx.conf is no file of ours.
    """
    if not state.configured:
        return "Still open: the mTLS service does not check a list yet (ssl_crl). Next: mtlslab up"
    conf = f"{MTLS_SERVICE}/nginx.conf"
    if not re.search(rb"^\s*ssl_crl\s", workspace.read(conf) or b"", re.MULTILINE):
        return f"Still open: {conf} was edited and has no ssl_crl. Next: mtlslab up --overwrite"
    return "Still open: a running mTLS service has not read this list. Next: mtlslab reload"


def serial_of(workspace: Workspace, name: str) -> int:
    """Serial number of a client certificate: ``client``, a further client, or the fault ``revoked``.

    Raises:
        SpecError: there is no client of that name, or another CA issued its certificate.
    """
    path, _ = files_of(name)
    if name in OWN_NAMES and name != "client":
        raise SpecError(
            f"{name!r} is no client credential.",
            why="the client CA's list can revoke client certificates only",
            hint="Everything anew, CAs too: mtlslab up --rotate-certs",
        )
    if name == REVOKED_FAULT:
        path = f"{FAULTS_DIRECTORY}/{REVOKED_FAULT}.crt"
        if workspace.read(path) is None:
            raise SpecError(f"There is no {path} yet.", hint=f"Issue it: mtlslab certs issue --fault {REVOKED_FAULT}")
    else:
        require_client(workspace, name)
    return _serial_in(workspace, path)


def names_by_serial(workspace: Workspace) -> dict[int, str]:
    """Serial number -> path, for every readable client certificate of the workspace."""
    paths = [f"{DIRECTORY}/{name}.crt" for name in client_names(workspace)]
    paths.append(f"{FAULTS_DIRECTORY}/{REVOKED_FAULT}.crt")
    found: dict[int, str] = {}
    for path in paths:
        try:
            found[pki.load_certificates(workspace.read(path) or b"")[0].serial_number] = path
        except (ValueError, LabError):
            continue  # the file is missing, damaged, or no regular file
    return found


def is_revoked(workspace: Workspace, serial: int) -> bool:
    """Whether a serial number is on the list.

    Raises:
        SpecError: the list is damaged, or another CA issued it.
    """
    info = read_list(workspace)
    return info is not None and serial in info.revoked


def _serial_in(workspace: Workspace, path: str) -> int:
    leaf, *chain = load_certificates(workspace, path)
    ca = load_client_ca_certificate(workspace)
    if not pki.issued_by(leaf, ca):
        raise SpecError(
            f"{path} was not issued by {CLIENT_CA}.",
            why="only the CA that issued a certificate can revoke it (RFC 5280 section 5)"
            + ("; here it is an intermediate" if chain else ""),
            hint="mtlslab certs list",
        )
    return leaf.serial_number


def read_list(workspace: Workspace) -> CrlInfo | None:
    """The list of a lab; None if there is none.

    Raises:
        SpecError: it is damaged, or another CA issued it.
    """
    pem = workspace.read(CRL)
    if pem is None:
        return None
    ca = load_client_ca_certificate(workspace)
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
    # A list with a validity of one day does not "expire soon" all day.
    margin = min(RENEW_BEFORE, (info.next_update - info.this_update) / 3)
    return Condition.EXPIRES_SOON if info.next_update - now < margin else Condition.GOOD


def _write(
    workspace: Workspace, before: CrlInfo | None, serials: Iterable[int], now: datetime.datetime, days: int | None
) -> None:
    ca, note = load_client_ca(workspace), read_note(workspace)
    # An older list in place of the last one has lost entries. Whoever removed the list has given up all of them.
    earlier = {**note.revoked, **before.revoked} if before else {}
    revoked = dict.fromkeys(serials, now) | earlier
    number = max(before.number if before else 0, note.number) + 1
    pem = issue_crl(ca, revoked, now=now, number=number, days=days or _usual_days(before))
    # The list first: a note of a list that was never written would be an alarm for ever.
    workspace.write(CRL, pem)
    write_note(workspace, read_crl(pem))


def _usual_days(before: CrlInfo | None) -> int:
    if before is None or before.next_update is None:
        return DAYS
    # thisUpdate is backdated: a list of 30 days spans some minutes more.
    return max(1, math.floor((before.next_update - before.this_update) / datetime.timedelta(days=1)))


def _end(info: CrlInfo | None) -> str:
    if info is None or info.next_update is None:
        return "does not expire"
    return f"expires at {info.next_update:%Y-%m-%d %H:%M} UTC"

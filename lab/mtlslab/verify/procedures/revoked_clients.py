"""Revocation in force: those who are on the list knock, and the list is the last one that there was."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from mtlslab import pki
from mtlslab.errors import LabError
from mtlslab.pki.crl import CrlInfo
from mtlslab.pki.describe import serial_hex
from mtlslab.plan.paths import CLIENT_CA, CRL, FAULTS_DIRECTORY
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import Attempt, KeyFiles, Observation
from mtlslab.verify.checks import Outcome
from mtlslab.verify.checks.judge import Verdict, outcome_of
from mtlslab.verify.checks.model import REFUSED_BY_SERVER, Check, Result
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.model import ProcedureResult, failed
from mtlslab.workspace.credentials import DIRECTORY
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.revocation import read_list
from mtlslab.workspace.revocation_note import Note, read_note

MOST_TRIED = 20
_SHOWN = 3


def revoked_clients(context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """Every client on the list whose key is here: with a full handshake, and with the session that it was given.

    Raises:
        SpecError: the list is damaged, or another CA issued it.
    """
    info = read_list(Workspace(context.directory))
    if info is None:
        return ProcedureResult(attempt, None, verdict=Verdict(Result.PASS, f"There is no {CRL}: nobody was revoked."))
    clients = _with_keys(context, info)
    facts = {"answer": "nobody to try", "tried": [path.name for path in (one.certificate for one in clients)]}
    resumed = 0
    for credential in clients[:MOST_TRIED]:
        name = credential.certificate.name
        fresh = dataclasses.replace(
            attempt, credential=credential, weak=True, nonce=secrets.token_hex(8), keep_session=True
        )
        for what, seen in _knock(fresh, probe):
            if outcome_of(seen) is Outcome.SERVED:
                how = ", with a resumed session" if seen.resumed else ""
                return ProcedureResult(
                    what, seen, facts=facts, verdict=failed(check, f"{name} is on the list, and is served{how}.")
                )
            if outcome_of(seen) not in (*REFUSED_BY_SERVER, Outcome.OTHER_STATUS):
                return ProcedureResult(what, seen, facts=facts)  # the usual judgement says why
            resumed += bool(seen.resumed)
            facts["answer"] = "refused"
    return ProcedureResult(attempt, None, facts=facts, verdict=Verdict(Result.PASS, _told(info, clients, resumed)))


def _knock(fresh: Attempt, probe: Probe) -> Iterator[tuple[Attempt, Observation]]:
    seen = probe(fresh)
    yield fresh, seen
    if seen.session is not None:
        again = dataclasses.replace(fresh, session=seen.session, nonce=secrets.token_hex(8), keep_session=False)
        yield again, probe(again)


def _told(info: CrlInfo, clients: Sequence[KeyFiles], resumed: int) -> str:
    if not clients:
        return f"Of the {len(info.revoked)} certificates on the list, no key is here."
    tried = min(len(clients), MOST_TRIED)
    left = f"; {len(clients) - tried} more were not tried" if len(clients) > tried else ""
    return (
        f"All {tried} revoked clients whose key is here were refused, {resumed} of them with a resumed session{left}."
    )


def _with_keys(context: VerifyContext, info: CrlInfo) -> list[KeyFiles]:
    """The credentials of the workspace that are on the list, the latest revocation first."""
    found: dict[int, KeyFiles] = {}
    for directory in dict.fromkeys((context.directory, context.issuer)):
        workspace = Workspace(directory)
        ca = pki.load_anchors(workspace.read(CLIENT_CA) or b"")[0]
        for path in _certificates(workspace):
            key = path.with_suffix(".key")
            with contextlib.suppress(LabError, ValueError):  # no file, or no certificate
                leaf = pki.load_certificates(workspace.read(path.as_posix()) or b"")[0]
                if leaf.serial_number in info.revoked and pki.issued_by(leaf, ca) and (directory / key).exists():
                    found.setdefault(leaf.serial_number, KeyFiles(directory / path, directory / key))
    return [found[serial] for serial in sorted(found, key=lambda serial: info.revoked[serial], reverse=True)]


def _certificates(workspace: Workspace) -> Iterator[Path]:
    for directory in (DIRECTORY, FAULTS_DIRECTORY):
        yield from (Path(directory, name) for name in workspace.names(directory) if name.endswith((".crt", ".pem")))


def revoked_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """The curl command with the latest client on the list whose key is here; with that of the zoo's where none is."""
    directory = context.issuer / FAULTS_DIRECTORY
    credential = KeyFiles(directory / "revoked.crt", directory / "revoked.key")
    with contextlib.suppress(LabError, ValueError):
        info = read_list(Workspace(context.directory))
        credential = next(iter(_with_keys(context, info) if info else ()), credential)
    return curl_command(dataclasses.replace(attempt, credential=credential), context.directory)


# --- the list itself


def newest_list(context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> ProcedureResult:
    """Compare the list with what was entered so far; no connection is made.

    Raises:
        SpecError: the list is damaged, or another CA issued it.
    """
    workspace = Workspace(context.directory)
    info, note = read_list(workspace), read_note(workspace)
    if info is None:
        return ProcedureResult(attempt, None, verdict=Verdict(Result.PASS, f"There is no {CRL}: nobody was revoked."))
    fault = _fault_of(info, note)
    facts = {"answer": f"number {info.number}", "number": info.number, "highest": max(info.number, note.number)}
    words = f"The list has number {info.number}, {len(info.revoked)} entries, and is the last one that was issued."
    verdict = failed(check, fault) if fault else Verdict(Result.PASS, words)
    return ProcedureResult(attempt, None, facts=facts, verdict=verdict)


def _fault_of(info: CrlInfo, note: Note) -> str:
    missing, removed = set(note.revoked) - set(info.revoked), info.removed
    if info.number < note.number:
        lost = f", and {_serials(missing)} missing" if missing else ""
        return f"This is an older list: its number is {info.number}, and number {note.number} was issued already{lost}."
    if missing:
        return f"Of those who were revoked, {_serials(missing)} missing."
    if removed:
        return f"{_serials(removed)} entered as removeFromCRL: nginx takes the certificate for good (RFC 5280 5.3.1)."
    return ""


def _serials(serials: set[int] | frozenset[int]) -> str:
    shown = [serial_hex(serial) for serial in sorted(serials)[:_SHOWN]]
    more = f" and {len(serials) - _SHOWN} more" if len(serials) > _SHOWN else ""
    return f"{', '.join(shown)}{more} {'is' if len(serials) == 1 else 'are'}"


def number_command(_context: VerifyContext, _attempt: Attempt) -> list[str]:
    """What openssl says about number and entries of the list."""
    return ["openssl", "crl", "-in", f"./{CRL}", "-noout", "-crlnumber", "-text"]

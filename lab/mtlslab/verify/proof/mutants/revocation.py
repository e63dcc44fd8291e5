"""Mutants in who was taken back: the list, its entries, and whether the server knows of them."""

from __future__ import annotations

import datetime
import os

from mtlslab import pki
from mtlslab.pki.crl import issue_crl, read_crl
from mtlslab.plan.paths import CRL
from mtlslab.verify.proof.mutants.model import RULES, mutant
from mtlslab.verify.proof.twins import Twin
from mtlslab.workspace.credentials import load_client_ca
from mtlslab.workspace.revocation import REVOKED_FAULT, serial_of
from mtlslab.workspace.revocation_note import write_note

_KNOCK, _LIST = ("mtls-refuses-every-revoked-client",), ("mtls-crl-is-the-newest",)
_DAYS = 30


def _write_list(twin: Twin, *serials: int, number: int = 1, removed: tuple[int, ...] = ()) -> None:
    revoked = dict.fromkeys((*serials, *removed), twin.now)
    pem = issue_crl(load_client_ca(twin.lab), revoked, now=twin.now, number=number, days=_DAYS, removed=removed)
    twin.workspace.write(CRL, pem)


def _remember(twin: Twin, *serials: int, number: int) -> None:
    """The list that is there was preceded by another one."""
    info = read_crl(issue_crl(load_client_ca(twin.lab), dict.fromkeys(serials, twin.now), now=twin.now, number=number))
    write_note(twin.workspace, info)


def _alice(twin: Twin) -> int:
    """A further client, whose files lie in the twin; returns its serial number."""
    leaf = pki.issue_client_leaf(load_client_ca(twin.lab), pki.new_key("ec-p256"), "alice", now=twin.now, days=1)
    twin.workspace.write_key("certs/alice.key", leaf.key_pem())
    twin.workspace.write("certs/alice.crt", leaf.certificate_pem())
    return leaf.certificate.serial_number


@mutant(only=_KNOCK)
def revoked_and_served(twin: Twin) -> None:
    """A client was revoked, and the server was never told to look at a list."""
    _write_list(twin, _alice(twin))


@mutant(crl=True, only=_KNOCK)
def revoked_for_another_list(twin: Twin) -> None:
    """The server reads another list than that into which a client was entered."""
    twin.workspace.write("nginx-mtls/other.crl", twin.workspace.read(CRL) or b"")
    twin.edit(r"ssl_crl [^;]*;", "ssl_crl other.crl;")
    _write_list(twin, _alice(twin), serial_of(twin.lab, REVOKED_FAULT), number=2)


@mutant(crl=True, only=_KNOCK)
def entry_that_takes_back_nothing(twin: Twin) -> None:
    """The entry of one client says removeFromCRL: OpenSSL takes the certificate for good."""
    _write_list(twin, serial_of(twin.lab, REVOKED_FAULT), removed=(_alice(twin),), number=2)


@mutant(crl=True, only=_LIST)
def entry_that_removes_somebody_unknown(twin: Twin) -> None:
    """An entry says removeFromCRL, of a client whose key is not here."""
    _write_list(twin, serial_of(twin.lab, REVOKED_FAULT), removed=(0x0BAD,), number=2)


@mutant(crl=True, only=_LIST)
def older_list_in_place(twin: Twin) -> None:
    """An older list of the same CA lies in place of the last one; all its entries are right."""
    _remember(twin, serial_of(twin.lab, REVOKED_FAULT), number=7)


@mutant(crl=True, only=_LIST)
def entry_is_missing(twin: Twin) -> None:
    """A newer list has lost the entry of a client whose key is not here."""
    _remember(twin, serial_of(twin.lab, REVOKED_FAULT), 0x0BAD, number=7)
    _write_list(twin, serial_of(twin.lab, REVOKED_FAULT), number=8)


@mutant(crl=True, only=RULES)
def list_that_nobody_has_read(twin: Twin) -> None:
    """The list was written after nginx has read it."""
    later = twin.now.timestamp() + datetime.timedelta(hours=1).total_seconds()
    os.utime(twin.workspace.directory / CRL, (later, later))


@mutant(only=_LIST)
def older_list_of_a_lab_without_one(twin: Twin) -> None:
    """The lab's list is older than the last one, and nobody looks at either."""
    _write_list(twin)
    _remember(twin, number=2)

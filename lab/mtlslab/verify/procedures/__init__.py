"""Procedures that show whether a check holds. Most checks need one attempt only: the procedure ``probe``."""

from __future__ import annotations

import dataclasses
import functools
import time

from mtlslab.pki.servers import SERVER_CREDENTIALS
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import Attempt
from mtlslab.probe.records import TLS_1_0, TLS_1_1
from mtlslab.verify.checks.model import CRL_PROCEDURE, PROBE, Check
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.doors.model import Group
from mtlslab.verify.procedures import (
    certificates,
    client_side,
    doors,
    identity,
    lab_files,
    protocol,
    resumption,
    revoked_clients,
)
from mtlslab.verify.procedures.configuration import follows, show_directives
from mtlslab.verify.procedures.knocking import as_printed, knocks_at
from mtlslab.verify.procedures.model import Command, Procedure, ProcedureResult
from mtlslab.verify.procedures.renegotiation import renegotiate, renegotiation_command
from mtlslab.verify.procedures.revocation_list import list_command, look_at_list
from mtlslab.verify.rules.catalogue import CATALOGUE

__all__ = ["PROCEDURES", "Procedure", "ProcedureResult", "command_of"]


_AS_PRINTED = ("1.3", None)  # once for each family of checks


def probe_once(_context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """The usual case: one attempt. Of each family one is made as the printed command makes it, the others bear a nonce.

    So a server that treats the two differently is found out, and none is asked more often than necessary.
    """
    what = as_printed(attempt) if check.tls_version in _AS_PRINTED else attempt
    begin = time.time()
    return ProcedureResult(what, probe(what), asked=(begin, time.time()))


def _usual_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    return curl_command(attempt, context.directory)


# The name that a check has for it -> the procedure, and the command that shows the same.
_PROCEDURES: dict[str, tuple[Procedure, Command]] = {
    PROBE: (probe_once, _usual_command),
    CRL_PROCEDURE: (look_at_list, list_command),
    "revoked-clients": (revoked_clients.revoked_clients, revoked_clients.revoked_command),
    "newest-list": (revoked_clients.newest_list, revoked_clients.number_command),
    # The client's side.
    **{
        f"server-{name}": (client_side.server_procedure(name), client_side.serve_command(name))
        for name in SERVER_CREDENTIALS
    },
    "server-common-name-only": (client_side.common_name_only, client_side.serve_command("common-name-only")),
    "any-server": (client_side.accept_any_server, client_side.serve_command("self-signed")),
    "client-ca-as-anchor": (client_side.with_client_ca, client_side.client_ca_command),
    "other-name": (client_side.by_other_name, client_side.other_name_command),
    # Other doors.
    "by-address": (doors.by_address, doors.by_address_command),
    "client-of-server-ca": (doors.client_of_server_ca, doors.client_of_server_ca_command),
    "announced-authorities": (doors.announced_authorities, doors.announced_authorities_command),
    **{f"door-{group.value}": (knocks_at(group), _usual_command) for group in Group},
    # Whom the server takes a client for.
    "two-clients": (identity.two_clients, identity.with_headers_command),
    "claimed-identity": (identity.claimed_identity, identity.claim_command),
    # Files.
    "private-keys": (lab_files.private_keys, lab_files.private_keys_command),
    "owners": (lab_files.owners, lab_files.owners_command),
    "one-role": (certificates.one_role, certificates.keys_command),
    "purposes": (certificates.purposes, certificates.purposes_command),
    "names": (certificates.names, certificates.names_command),
    "dates": (certificates.dates, certificates.dates_command),
    "shown": (certificates.shown, certificates.shown_command),
    # The protocol.
    "plain-http": (protocol.plain_http, protocol.plain_http_command),
    "tls10": (protocol.old_version(TLS_1_0), protocol.old_version_command(TLS_1_0)),
    "tls11": (protocol.old_version(TLS_1_1), protocol.old_version_command(TLS_1_1)),
    "broken-suites": (protocol.broken_suites, protocol.s_client_command("-cipher", "aNULL:eNULL:@SECLEVEL=0")),
    "fallback": (protocol.fallback, protocol.s_client_command("-fallback_scsv")),
    "best-version": (protocol.best_version, _usual_command),
    "alpn-http": (protocol.choose_http_1, protocol.http_2_command),
    "alpn-unknown": (protocol.unknown_protocol, protocol.s_client_command("-alpn", protocol.UNKNOWN_PROTOCOL)),
    "renegotiation": (renegotiate, renegotiation_command),
    # Resumption.
    "ticket-of-other-server": (resumption.ticket_of_other_server, resumption.other_server_command),
    "resume-here": (resumption.resume_here, resumption.resume_command),
    # The configuration.
    **{name: (follows(rule), show_directives(rule)) for name, rule in CATALOGUE.items()},
}


def command_of(check: Check, context: VerifyContext, attempt: Attempt) -> list[str]:
    """The command that shows the same as a check's procedure, as arguments, for the workspace. Runs nothing.

    Args:
        check: the check.
        context: the lab.
        attempt: the attempt that the check describes.
    """
    return _PROCEDURES[check.procedure][1](context, attempt)


def _complete(procedure: Procedure) -> Procedure:
    """The same procedure, with its command, and with how long all of it took unless it says so itself."""

    @functools.wraps(procedure)
    def complete(context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
        begin = time.perf_counter()
        result = procedure(context, check, attempt, probe)
        if result.command is None:
            result = dataclasses.replace(result, command=command_of(check, context, attempt))
        if result.seen is None or result.seen.duration:
            return result
        seen = dataclasses.replace(result.seen, duration=time.perf_counter() - begin)
        return dataclasses.replace(result, seen=seen)

    return complete


PROCEDURES: dict[str, Procedure] = {name: _complete(procedure) for name, (procedure, _) in _PROCEDURES.items()}
"""By the name that a check has for it."""

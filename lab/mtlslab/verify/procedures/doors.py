"""Other doors to the same server: another name, no name, another CA, and keys that lie open."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence

from mtlslab import pki
from mtlslab.handshake.authorities import announced_names
from mtlslab.plan.paths import CLIENT_CA, FAULTS_DIRECTORY
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import Attempt, KeyFiles
from mtlslab.probe.secret_files import secret_files
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.authority import load_server_ca
from mtlslab.verify.procedures.commands import s_client
from mtlslab.verify.procedures.model import ProcedureResult, failed
from mtlslab.workspace.credentials import load_anchors, load_client_ca_certificate
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.shape import are_brought

CLIENT_OF_SERVER_CA = "client-of-server-ca"


def by_address(_context: VerifyContext, _check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """The server, called by its address: no name is sent (RFC 6066 section 3)."""
    what = _by_address(attempt)
    return ProcedureResult(what, probe(what))


def by_address_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """The curl command with the address in the URL."""
    return curl_command(_by_address(attempt), context.directory)


def _by_address(attempt: Attempt) -> Attempt:
    return dataclasses.replace(attempt, host=attempt.address or "127.0.0.1")


def client_of_server_ca(context: VerifyContext, _check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """A client certificate that is right in everything, but issued by the server CA.

    Raises:
        SpecError: the server CA is not there to sign.
    """
    ca, now = load_server_ca(Workspace(context.issuer)), datetime.datetime.now(datetime.UTC)
    leaf = pki.issue_client_leaf(ca, pki.new_key("ec-p256"), CLIENT_OF_SERVER_CA, now=now, days=1)
    with secret_files() as keep:
        file = keep(leaf.certificate_pem() + leaf.key_pem())
        seen = probe(dataclasses.replace(attempt, credential=KeyFiles(file, file)))
    if context.issuer == context.directory:  # the command that the report prints is not for twins
        workspace, path = Workspace(context.directory), _path(attempt)
        workspace.write_key(f"{path}.key", leaf.key_pem())
        workspace.write(f"{path}.crt", leaf.certificate_pem())
    return ProcedureResult(_with_certificate(context, attempt), seen)


def client_of_server_ca_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """The curl command with the files that the procedure issues."""
    return curl_command(_with_certificate(context, attempt), context.directory)


def _with_certificate(context: VerifyContext, attempt: Attempt) -> Attempt:
    path = context.directory / _path(attempt)
    return dataclasses.replace(
        attempt, credential=KeyFiles(path.with_name(f"{path.name}.crt"), path.with_name(f"{path.name}.key"))
    )


def _path(attempt: Attempt) -> str:
    # Files for each TLS version: the two checks run side by side.
    return f"{FAULTS_DIRECTORY}/{CLIENT_OF_SERVER_CA}-tls{(attempt.tls_version or '').replace('.', '')}"


def announced_authorities(context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """The CA names in the server's CertificateRequest, compared with the subject of the lab's client CA."""
    expected = _to_announce(Workspace(context.issuer))
    seen = probe(attempt)
    if seen.certificate_requested is None:  # it did not come that far: the usual judgement says why
        return ProcedureResult(attempt, seen)
    names = announced_names(seen.certificate_request, tls13=seen.tls_version == "1.3")
    announced = _in_words(names, asked=seen.certificate_requested)
    if names and set(names) == set(expected):
        verdict = Verdict(Result.PASS, f"The server asks for a certificate of {announced}.")
    else:
        verdict = failed(check, f"The server must name {_in_words(expected)} and no other CA; it names {announced}.")
    return ProcedureResult(attempt, seen, facts={"answer": announced, "announced": announced}, verdict=verdict)


def _to_announce(workspace: Workspace) -> tuple[pki.Name, ...]:
    """The subject of the lab's client CA; of a file that the user brought, those of all trust anchors in it."""
    anchors = load_anchors(workspace, CLIENT_CA)
    meant = anchors if are_brought(workspace, anchors) else [load_client_ca_certificate(workspace)]
    return tuple(dict.fromkeys(one.subject for one in meant))


def _in_words(names: Sequence[pki.Name], *, asked: bool = True) -> str:
    if not asked:
        return "nothing: it does not ask for a certificate"
    return "; ".join(name.rfc4514_string() for name in names) or "none: any CA"


def announced_authorities_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """``openssl s_client``, which lists them as "Acceptable client certificate CA names"."""
    return s_client(attempt, context.directory)

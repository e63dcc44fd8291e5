"""The client's side: which servers does a client refuse? Asked of small servers of our own, and of the lab's two."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtlslab.pki.servers import HOST, OTHER_HOST, SERVER_CREDENTIALS
from mtlslab.plan.addresses import loopback_here
from mtlslab.plan.paths import CLIENT_CA, FAULTS_DIRECTORY
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import Attempt
from mtlslab.probe.secret_files import secret_files
from mtlslab.verify.checks import Outcome, observed_mapping, outcome_of
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.model import Command, Procedure, ProcedureResult
from mtlslab.verify.procedures.server import DEFAULT_PORT, SmallServer
from mtlslab.verify.procedures.server_files import build_files, paths_below
from mtlslab.workspace.directory import Workspace


def server_procedure(name: str) -> Procedure:
    """The procedure of a client with a server that shows this credential of ``SERVER_CREDENTIALS``."""

    def procedure(context: VerifyContext, _check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
        with running(context, name) as (port, anchor):
            what = _aimed(attempt, port, anchor)
            seen = probe(what)
        return ProcedureResult(what, seen)

    procedure.__doc__ = (
        f"""A client asks a small server of our own; of its certificate: {SERVER_CREDENTIALS[name].title}."""
    )
    return procedure


def accept_any_server(context: VerifyContext, _check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """With ``--insecure``, every one of the servers that a client must refuse; ends at the first that is refused."""
    answers: dict[str, str] = {}
    for name in SERVER_CREDENTIALS:
        with running(context, name) as (port, anchor):
            what = _aimed(attempt, port, anchor)
            seen = probe(what)
        answers[name] = outcome_of(seen).value
        if outcome_of(seen) is not Outcome.SERVED:
            return ProcedureResult(what, seen, serve_command(name)(context, attempt), {"servers": answers})
    verdict = Verdict(Result.PASS, f"The client took the page from all {len(answers)} servers, right and wrong.")
    return ProcedureResult(what, seen, facts={"servers": answers}, verdict=verdict)


def common_name_only(context: VerifyContext, _check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """The usual client, and beside it one that reads names from the subjectAltName alone."""
    with running(context, "common-name-only") as (port, anchor):
        what = _aimed(attempt, port, anchor)
        seen = probe(what)
        strict = probe(dataclasses.replace(what, strict_names=True))
    return ProcedureResult(what, seen, facts={"strict_client": observed_mapping(strict)})


def with_client_ca(context: VerifyContext, _check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """One of the lab's servers, asked by a client that mistook the client CA for its trust anchor."""
    what = _with_client_ca(context, attempt)
    return ProcedureResult(what, probe(what))


def by_other_name(context: VerifyContext, _check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """One of the lab's servers, asked under a name that its certificate does not hold."""
    what = _by_other_name(context, attempt)
    return ProcedureResult(what, probe(what))


@contextmanager
def running(context: VerifyContext, name: str) -> Iterator[tuple[int, Path | None]]:
    """A small server with a new credential of this name: its port, and the anchor if it is not the lab's server CA.

    Nothing is written into the workspace, and nothing is left behind.

    Raises:
        SpecError: the lab's server CA is not there to sign.
    """
    files = build_files(Workspace(context.issuer), name)
    with secret_files() as keep:
        file = keep(files.credential.certificate_pem() + files.credential.key_pem())
        anchor = keep(files.anchor_pem()) if files.anchor else None
        with SmallServer(file, file) as server:
            yield server.port, anchor


def _aimed(attempt: Attempt, port: int, anchor: Path | None) -> Attempt:
    """The attempt, made at a small server instead of at one of the lab's."""
    trust = anchor if anchor and attempt.cacert else attempt.cacert
    return dataclasses.replace(attempt, host=HOST, address=loopback_here(), port=port, cacert=trust, credential=None)


def _with_client_ca(context: VerifyContext, attempt: Attempt) -> Attempt:
    return dataclasses.replace(attempt, cacert=context.directory / CLIENT_CA)


def _by_other_name(_context: VerifyContext, attempt: Attempt) -> Attempt:
    return dataclasses.replace(attempt, host=OTHER_HOST, address=attempt.address or attempt.host)


# --- printed commands


def serve_command(name: str) -> Command:
    """``mtlslab serve`` with a curl command: the small server of a procedure is gone by the time that this is typed."""

    def command(context: VerifyContext, attempt: Attempt) -> list[str]:
        port = max(context.tls_port, context.mtls_port) + 1  # nobody knows what will be free
        anchor = paths_below(context.directory / FAULTS_DIRECTORY, name).anchor
        curl = curl_command(_aimed(attempt, port, anchor), context.directory)
        return ["mtlslab", "serve", name, *([] if port == DEFAULT_PORT else ["--port", str(port)]), "--", *curl]

    return command


def client_ca_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """The curl command of :func:`with_client_ca`."""
    return curl_command(_with_client_ca(context, attempt), context.directory)


def other_name_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """The curl command of :func:`by_other_name`."""
    return curl_command(_by_other_name(context, attempt), context.directory)

"""Whom the server takes a client for: two clients are told apart, and none is what it only claims to be."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import re
import secrets
from collections.abc import Iterator, Mapping

from mtlslab import pki
from mtlslab.errors import LabError
from mtlslab.pki.describe import CertificateInfo, describe
from mtlslab.plan.paths import CLIENT_CA_KEY
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import Attempt, KeyFiles, Observation
from mtlslab.probe.secret_files import secret_files
from mtlslab.verify.checks import Outcome
from mtlslab.verify.checks.judge import (
    FINGERPRINT_HEADER,
    SERIAL_HEADER,
    SUBJECT_HEADER,
    ServerSaid,
    Verdict,
    judge,
    outcome_of,
)
from mtlslab.verify.checks.model import MISSING, REFUSED_BY_SERVER, Check, Result
from mtlslab.verify.configuration.model import Configuration, Directive
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.model import ProcedureResult, failed
from mtlslab.workspace.credentials import client_names, files_of, load, load_client_ca
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.revocation import is_revoked

SECOND_CLIENT = "second-client"
Said = Mapping[str, ServerSaid]
"""What the log says, by nonce."""

# A subject that nginx and we write alike: no character that one of them escapes, no attribute without a short name.
_PLAIN_SUBJECT = re.compile(r"((CN|O|OU|C|L|ST)=[A-Za-z0-9 .@_-]+,?)+")
# Under such names, proxies tell the server behind them who the client is.
_FACTS = ("Verify", "Subject", "S-DN", "DN", "Serial", "Fingerprint", "Cert")
_USUAL_CLAIMS = (
    *(f"{prefix}-{fact}" for prefix in ("X-SSL-Client", "SSL-Client", "X-Client") for fact in _FACTS),
    *("X-Forwarded-Client-Cert", "X-Forwarded-User", "X-Remote-User", "Remote-User", "X-User", "Client-Cert"),
)
# Header fields that decide what becomes of the request itself.
_NO_CLAIMS = ("host", "connection", "content_length", "transfer_encoding", "upgrade", "te", "expect", "cookie", "range")
_VARIABLE = re.compile(r"\$\{?(http|cookie|arg)_([a-z0-9_]+)")


@dataclasses.dataclass(frozen=True)
class _Served:
    """A client that was served: who it is, and what it was answered."""

    who: CertificateInfo
    attempt: Attempt
    seen: Observation

    def faults(self, said: Said) -> Iterator[str]:
        """What answer and log say of the client and is not so."""
        headers, logged = self.seen.headers, said.get(self.attempt.nonce, ServerSaid())
        for place, subject, serial, fingerprint in (
            ("the answer", *(headers.get(one, "") for one in (SUBJECT_HEADER, SERIAL_HEADER, FINGERPRINT_HEADER))),
            ("the log", logged.subject, logged.serial, logged.fingerprint),
        ):
            of = f"Of the client {self.who.subject}, {place} says the"
            if subject and _PLAIN_SUBJECT.fullmatch(self.who.subject) and subject != self.who.subject:
                yield f"{of} subject {subject}."
            if serial and serial.upper().lstrip("0") != self.who.serial.lstrip("0"):
                yield f"{of} serial number {serial}, but it is {self.who.serial}."
            if fingerprint and fingerprint.lower() != self.who.sha1:
                yield f"{of} fingerprint {fingerprint}, but it is {self.who.sha1}."

    def named(self, said: Said) -> bool:
        """Whether answer or log tell who the client is."""
        logged = said.get(self.attempt.nonce, ServerSaid())
        headers = (self.seen.headers.get(one) for one in (SUBJECT_HEADER, SERIAL_HEADER, FINGERPRINT_HEADER))
        return any((*headers, logged.subject, logged.serial, logged.fingerprint))


def two_clients(context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """Two authorised clients, one after the other: of each the server must say subject, serial and fingerprint.

    The second one is made in memory where the client CA's key is at hand, else it is a further client of the lab.

    Raises:
        LabError: a file of the client CA cannot be used.
    """
    now = datetime.datetime.now(datetime.UTC)
    with _second_client(context, now) as second:
        if second is None:
            why = f"There is no second client: {CLIENT_CA_KEY} is not in the lab, and no further client was issued."
            return ProcedureResult(attempt, None, facts={MISSING: CLIENT_CA_KEY}, verdict=Verdict(Result.SKIP, why))
        served: list[_Served] = []
        for credential in (attempt.credential, second):
            if credential is None:
                raise ValueError("the check names no client")
            what = dataclasses.replace(attempt, credential=credential, nonce=secrets.token_hex(8))
            seen = probe(what)
            if outcome_of(seen) is not Outcome.SERVED:
                return _not_served(attempt, seen, first=not served)
            served.append(_Served(describe(credential.certificate.read_bytes(), now=now), what, seen))

    def verdict(said: Said) -> Verdict:
        faults = [fault for one in served for fault in one.faults(said)]
        if faults:
            return failed(check, faults[0])
        if not all(one.named(said) for one in served):
            return Verdict(Result.INCONCLUSIVE, "The server does not say which client it serves.")
        names = " and ".join(one.who.subject for one in served)
        return Verdict(Result.PASS, f"The server tells them apart: {names}.")

    facts = {"clients": [one.who.subject for one in served], "serials": [one.who.serial for one in served]}
    nonces = tuple(one.attempt.nonce for one in served)
    return ProcedureResult(
        attempt, served[-1].seen, facts=facts, verdict=verdict({}), nonces=nonces, verdict_by_log=verdict
    )


def _not_served(attempt: Attempt, seen: Observation, *, first: bool) -> ProcedureResult:
    if first or outcome_of(seen) not in (*REFUSED_BY_SERVER, Outcome.OTHER_STATUS):
        return ProcedureResult(attempt, seen)  # the usual judgement says why
    words = "Another client of the client CA is refused: the server is stricter than what was rendered."
    return ProcedureResult(attempt, seen, verdict=Verdict(Result.WARN, words))


@contextlib.contextmanager
def _second_client(context: VerifyContext, now: datetime.datetime) -> Iterator[KeyFiles | None]:
    workspace = Workspace(context.issuer)
    with secret_files() as keep:
        if workspace.read_key(CLIENT_CA_KEY) is not None:
            leaf = pki.issue_client_leaf(
                load_client_ca(workspace), pki.new_key("ec-p256"), SECOND_CLIENT, now=now, days=1
            )
            file = keep(leaf.certificate_pem() + leaf.key_pem())
            yield KeyFiles(file, file)
            return
        yield next(_further_clients(workspace, now), None)


def _further_clients(workspace: Workspace, now: datetime.datetime) -> Iterator[KeyFiles]:
    for name in client_names(workspace):
        certificate, key = files_of(name)
        with contextlib.suppress(LabError):
            leaf = load(workspace, certificate, key).certificate
            valid = leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc
            if name != "client" and valid and not is_revoked(workspace, leaf.serial_number):
                yield KeyFiles(workspace.directory / certificate, workspace.directory / key)


# --- claims


def claimed_identity(context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """A client that claims to be another one: in header fields with usual names, and wherever the configuration looks.

    It claims a verdict first (SUCCESS), and then a name that nobody has.
    """
    name = f"claimed-{secrets.token_hex(6)}"
    asked = [_claiming(context, attempt, value) for value in ("SUCCESS", name)]
    answers = [probe(what) for what in asked]

    def verdict(said: Said) -> Verdict:
        for what, seen in zip(asked, answers, strict=True):
            logged = said.get(what.nonce)
            repeated = _repeated(seen, logged, name)
            if repeated:
                return failed(check, f"The client claimed to be {name}, and {repeated} says so, too.")
            verdict = judge(check, seen, logged)
            if verdict.result is not Result.PASS:
                return verdict
        return Verdict(Result.PASS, f"{len(asked[0].headers)} claims in header fields changed nothing.")

    nonces = tuple(what.nonce for what in asked)
    facts = {"claims": [field for field, _ in asked[0].headers]}
    return ProcedureResult(
        asked[-1], answers[-1], facts=facts, verdict=verdict({}), nonces=nonces, verdict_by_log=verdict
    )


def _repeated(seen: Observation, logged: ServerSaid | None, name: str) -> str:
    """Where a name that was only claimed comes back; empty where it does not."""
    for header, value in seen.headers.items():
        if name in value and header != "location":
            return f"the header field {header} of the answer"
    if name in seen.body:
        return "the body of the answer"
    identity = (logged.verify, logged.subject, logged.issuer, logged.serial, logged.fingerprint) if logged else ()
    return "the log" if any(name in one for one in identity) else ""


def _claiming(context: VerifyContext, attempt: Attempt, value: str) -> Attempt:
    found: dict[str, dict[str, None]] = {"http": {}, "cookie": {}, "arg": {}}
    known = context.configuration() if context.configuration else None
    if known and known.facts:
        for kind, variable in _variables(known.facts.mtls):
            found[kind][variable] = None
    headers = dict.fromkeys(_USUAL_CLAIMS, value)
    for field in found["http"]:
        if field not in _NO_CLAIMS and not any(_same(field, usual) for usual in headers):
            headers[field.replace("_", "-")] = value
    if found["cookie"]:
        headers["Cookie"] = "; ".join(f"{cookie}={value}" for cookie in found["cookie"])
    query = "&".join(f"{argument}={value}" for argument in found["arg"] if argument != "probe")
    path = f"{attempt.path}?{query}" if query else attempt.path
    return dataclasses.replace(attempt, path=path, headers=tuple(headers.items()), nonce=secrets.token_hex(8))


def _same(variable: str, field: str) -> bool:
    return field.lower().replace("-", "_") == variable


def _variables(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Kind and name of each variable of the configuration that a client sets as it likes."""

    def words(directive: Directive) -> Iterator[str]:
        yield from (directive.name, *directive.args)
        for inner in directive.block or ():
            yield from words(inner)

    for http in configuration.http:
        for word in words(http.directive):
            yield from _VARIABLE.findall(word.lower())


# --- printed commands


def with_headers_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """The curl command, with the answer's header fields: there the server says whom it takes the client for."""
    return [*curl_command(attempt, context.directory), "--include"]


def claim_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """The same for a client that claims to be verified."""
    claims = (("X-SSL-Client-Verify", "SUCCESS"), ("X-SSL-Client-Subject", "CN=somebody"))
    return with_headers_command(context, dataclasses.replace(attempt, headers=claims))

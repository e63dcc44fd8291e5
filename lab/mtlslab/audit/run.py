"""Audits a server that is not ours: what it offers, what the authorised client gets, what unauthorised get."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from mtlslab.audit import findings
from mtlslab.audit.judge import judge_unauthorised, lets_in, outcome_of
from mtlslab.audit.report import AuditFinding, AuditReport, ClientAuth, Offer, ServerFacts
from mtlslab.audit.target import AuditTarget
from mtlslab.audit.unauthorised import LIFETIME, NO_CERTIFICATE, Forge, UnauthorisedClient, open_forge
from mtlslab.errors import MachineError
from mtlslab.handshake.authorities import announced_names
from mtlslab.lifecycle.interrupts import worker_pool
from mtlslab.pki import Name
from mtlslab.pki.faults import Outcome
from mtlslab.pki.mint import ClientCa
from mtlslab.probe.attempt import attempt
from mtlslab.probe.context import VERSIONS
from mtlslab.probe.model import DEFAULT_TIMEOUT, Attempt, KeyFiles, Observation, Side
from mtlslab.verify.checks.model import Result

WORKERS = 4  # as many connections at a time as a browser makes

Probe = Callable[[Attempt], Observation]
Key = TypeVar("Key")


@dataclasses.dataclass(frozen=True)
class AuditRequest:
    """What to audit, and with what.

    Attributes:
        target: the server.
        cacert: PEM file with the trust anchors for the server; None for those of the system.
        insecure: accept any server certificate.
        credential: the authorised client; None if there is none.
        client_ca: what is known of the CA that the server trusts for its clients.
        timeout: seconds that each attempt may take.
        strict: whether warnings count as failures.
    """

    target: AuditTarget
    cacert: Path | None = None
    insecure: bool = False
    credential: KeyFiles | None = None
    client_ca: ClientCa = dataclasses.field(default_factory=ClientCa)
    timeout: float = DEFAULT_TIMEOUT
    strict: bool = False


def audit(request: AuditRequest, *, probe: Probe = attempt) -> AuditReport:
    """Audit one server.

    Args:
        request: what to audit.
        probe: makes one attempt.

    Raises:
        OSError: there is no room for temporary files.
        MachineError: it took so long that the clients' certificates expired meanwhile.
    """
    started, begin = datetime.datetime.now(datetime.UTC), time.perf_counter()
    with open_forge(request.client_ca, now=started) as forge, worker_pool(WORKERS) as pool:
        server, found = _Audit(request, forge, probe, pool).run()
    _require_in_time(time.perf_counter() - begin)
    return AuditReport(
        url=request.target.url,
        started=started,
        server=server,
        findings=found,
        strict=request.strict,
        duration_ms=(time.perf_counter() - begin) * 1000,
    )


def _require_in_time(seconds: float) -> None:
    """Refuse to judge with certificates that have expired: a server then refuses everybody, for that reason alone."""
    if seconds > LIFETIME.total_seconds():
        raise MachineError(
            "The audit took too long to tell anything.",
            why=f"its clients' certificates live for {LIFETIME.total_seconds() / 60:.0f} minutes only",
            hint="Give each attempt less time: --timeout 5",
        )


class _Audit:
    """One audit under way."""

    def __init__(self, request: AuditRequest, forge: Forge, probe: Probe, pool: ThreadPoolExecutor) -> None:
        self._request = request
        self._forge = forge
        self._probe = probe
        self._pool = pool
        self._authorised_client = request.credential or forge.authorised_client()

    def run(self) -> tuple[ServerFacts, tuple[AuditFinding, ...]]:
        first = self._survey()
        facts = _facts(first)
        versions = tuple(version for version, offer in facts.tls_versions.items() if offer is Offer.ACCEPTED)
        found = list(findings.of_server(self._request.target, first, facts, insecure=self._request.insecure))
        if any(seen.verify_code is not None for seen in first.values()) or not versions:
            return facts, tuple(found)
        right = {version: first[version] for version in versions} if self._authorised_client else {}
        found += findings.of_authorised(right, self._authorised_attempts(versions), given=self._request.credential)
        unauthorised = self._unauthorised_found(first, versions, right)
        found += unauthorised
        served = [version for version in right if lets_in(right[version])]
        found += self._faults_found(served, right)
        return dataclasses.replace(facts, client_auth=_client_auth(facts, unauthorised)), tuple(found)

    def _survey(self) -> dict[str, Observation]:
        """Each TLS version alone: what is offered, and (if there is an authorised client) the positive control."""
        return self._try({version: self._attempt(version, self._authorised_client) for version in VERSIONS})

    def _authorised_attempts(self, versions: Iterable[str]) -> dict[str, Attempt]:
        return {version: self._attempt(version, self._authorised_client) for version in versions}

    def _unauthorised_found(
        self, first: Mapping[str, Observation], versions: Sequence[str], right: Mapping[str, Observation]
    ) -> list[AuditFinding]:
        unauthorised = self._forge.basic(_announced(first))
        # Without an authorised client, the survey was made without a certificate: that need not be asked twice.
        known = {} if right else {(NO_CERTIFICATE, version): first[version] for version in versions}
        return self._meet(unauthorised, versions, right, known)

    def _faults_found(self, versions: Sequence[str], right: Mapping[str, Observation]) -> list[AuditFinding]:
        if not versions:  # without the positive control, refusals of the CA's own certificates say nothing
            return []
        faults = self._forge.faults(self._authorised_client)
        minted = self._request.credential is None
        return self._meet([one for one in faults if not (minted and one.name == "another-client")], versions, right, {})

    def _meet(
        self,
        unauthorised: Sequence[UnauthorisedClient],
        versions: Sequence[str],
        right: Mapping[str, Observation],
        known: Mapping[tuple[str, str], Observation],
    ) -> list[AuditFinding]:
        """Have each unauthorised client knock, on each TLS version."""
        attempts = {
            (client.name, version): self._attempt(version, client.credential, weak=client.weak)
            for client in unauthorised
            for version in versions
            if not client.missing
        }
        seen = {**self._try({key: one for key, one in attempts.items() if key not in known}), **known}
        bare = {version: seen.get((NO_CERTIFICATE, version)) for version in versions}
        return [
            findings.of_unauthorised(
                client,
                version,
                attempts.get((client.name, version)),
                seen.get((client.name, version)),
                right.get(version),
                insists=_insists(bare[version]),
            )
            for client in unauthorised
            for version in versions
        ]

    def _try(self, attempts: Mapping[Key, Attempt]) -> dict[Key, Observation]:
        return dict(zip(attempts, self._pool.map(self._probe, attempts.values()), strict=True))

    def _attempt(self, version: str, credential: KeyFiles | None, *, weak: bool = False) -> Attempt:
        request, target = self._request, self._request.target
        return Attempt(
            port=target.port,
            host=target.host,
            path=target.path,
            tls_version=version,
            cacert=request.cacert,
            system_trust=request.cacert is None,
            insecure=request.insecure,
            credential=credential,
            weak=weak,
            timeout=request.timeout,
        )


def _insists(bare: Observation | None) -> bool:
    """Whether the server has refused a client for having no certificate, and not just hung up on it."""
    if bare is None or outcome_of(bare) is Outcome.CLOSED:
        return False
    return judge_unauthorised(bare, None, has_certificate=False).result is Result.PASS


def _facts(first: Mapping[str, Observation]) -> ServerFacts:
    asked = [seen.certificate_requested for seen in first.values() if seen.agreed]
    return ServerFacts(
        tls_versions={version: _offer(seen) for version, seen in first.items()},
        certificate_requested=True if True in asked else False if False in asked else None,
        ca_names=tuple(name.rfc4514_string() for name in _announced(first)),
    )


def _offer(seen: Observation) -> Offer:
    if seen.agreed or seen.tls_version:
        return Offer.ACCEPTED
    if seen.side is Side.LOCAL and not seen.heard:
        return Offer.UNTRIED
    # A server without this version ends the handshake with an alert, or answers with another version, or hangs up.
    said_no = seen.alert_from is Side.PEER or seen.alert == "protocol_version" or (seen.heard and seen.closed)
    return Offer.REFUSED if said_no else Offer.UNKNOWN


def _announced(first: Mapping[str, Observation]) -> tuple[Name, ...]:
    for version in sorted(first, reverse=True):
        names = announced_names(first[version].certificate_request, tls13=version == "1.3")
        if names:
            return names
    return ()


def _client_auth(facts: ServerFacts, unauthorised: Sequence[AuditFinding]) -> ClientAuth:
    """What the verdicts on the unauthorised come to; on several TLS versions, the most lenient counts."""
    without = {finding.result for finding in unauthorised if finding.family == findings.refuses(NO_CERTIFICATE)}
    with_other = {finding.result for finding in unauthorised if finding.family != findings.refuses(NO_CERTIFICATE)}
    bare, other = Result.FAIL in without, Result.FAIL in with_other
    if bare and facts.certificate_requested is False:
        return ClientAuth.NONE
    if bare and other:
        return ClientAuth.OPTIONAL_UNVERIFIED
    if without == {Result.PASS} and other:
        return ClientAuth.ANY_CERTIFICATE
    if not bare and not other and without == {Result.PASS} and Result.INCONCLUSIVE not in with_other:
        return ClientAuth.REQUIRED
    return ClientAuth.OPTIONAL if bare and Result.PASS in with_other else ClientAuth.UNKNOWN

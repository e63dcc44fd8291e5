"""Audits a server that is not ours: what it offers, what the authorised client gets, what unauthorised get."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mtlslab.audit import findings
from mtlslab.audit.addresses import addresses_of, finding_on_addresses, most_lenient
from mtlslab.audit.evidence import AddressFacts, ClientFacts, facts_of_client
from mtlslab.audit.judge import (
    Scene,
    is_vague,
    lets_in,
    refused_in_handshake,
    says_why,
    speaks_of_certificates,
)
from mtlslab.audit.report import AuditFinding, AuditReport, Offer, ServerFacts
from mtlslab.audit.request import AuditRequest
from mtlslab.audit.survey import (
    announced,
    asks_and_speaks_no_http,
    facts_of,
    fares_like,
    insists,
    needs_less,
    other_key_type,
    tells_more,
)
from mtlslab.audit.unauthorised import LIFETIME, NO_CERTIFICATE, Forge, UnauthorisedClient, open_forge
from mtlslab.audit.verdict import client_auth, worst
from mtlslab.audit.watch import Watch
from mtlslab.errors import MachineError
from mtlslab.lifecycle.interrupts import worker_pool
from mtlslab.probe.attempt import attempt
from mtlslab.probe.context import VERSIONS
from mtlslab.probe.model import ALPN_HTTP_1, Attempt, KeyFiles, Observation

_IDLE = 0.3  # seconds; servers hang up at once on whom they do not like
WORKERS = 4  # as many connections at a time as a browser makes

NOBODY = Watch()

Probe = Callable[[Attempt], Observation]
Key = TypeVar("Key")


def audit(request: AuditRequest, *, probe: Probe = attempt, watch: Watch = NOBODY) -> AuditReport:
    """Audit one server.

    Args:
        request: what to audit.
        probe: makes one attempt.
        watch: is told how it gets on.

    Raises:
        OSError: there is no room for temporary files.
        MachineError: it took so long that the clients' certificates expired meanwhile.
    """
    started, begin = datetime.datetime.now(datetime.UTC), time.perf_counter()
    with open_forge(request.client_ca, now=started) as forge, worker_pool(WORKERS) as pool:
        server, found = _at_every_address(request, forge, _watched(probe, watch), pool, watch)
        client = _client_facts(request, forge)
    _require_in_time(time.perf_counter() - begin)
    found = tuple(findings.with_advice_on_time(one, request.timeout) for one in found)
    if not request.has_commands:
        found = tuple(dataclasses.replace(one, command=()) for one in found)
    return AuditReport(
        url=request.target.url,
        started=started,
        server=server,
        findings=found,
        strict=request.strict,
        duration_ms=(time.perf_counter() - begin) * 1000,
        client=client,
        settings=request.settings,
    )


def _client_facts(request: AuditRequest, forge: Forge) -> ClientFacts | None:
    client = request.credential or forge.authorised_client
    return facts_of_client(client.certificate, minted=request.credential is None) if client else None


def _watched(probe: Probe, watch: Watch) -> Probe:
    def tried(what: Attempt) -> Observation:
        seen = probe(what)
        watch.tried()
        return seen

    return tried


def _at_every_address(
    request: AuditRequest, forge: Forge, probe: Probe, pool: ThreadPoolExecutor, watch: Watch
) -> tuple[ServerFacts, tuple[AuditFinding, ...]]:
    """One audit for each address of the host; the findings are those of the first that answers."""
    addresses = () if request.connect_host else addresses_of(request.target.host, request.target.port)
    if len(addresses) < 2:
        facts, found = _Audit(request, forge, probe, pool, watch).run()
        address = request.connect_host or next(iter(addresses), request.target.host)
        return dataclasses.replace(facts, addresses=(_at(address, facts),)), found
    done = {
        address: _Audit(dataclasses.replace(request, connect_host=address), forge, probe, pool, watch).run()
        for address in addresses
    }
    answering = {address: one for address, one in done.items() if Offer.ACCEPTED in one[0].tls_versions.values()}
    certificates = tuple(dict.fromkeys(one for server, _ in done.values() for one in server.certificates))
    tried = tuple(_at(address, server) for address, (server, _) in done.items())
    if not answering:
        facts, found = done[addresses[0]]
        return dataclasses.replace(facts, addresses=tried, certificates=certificates), found
    facts, found = next(iter(answering.values()))
    told = {address: server.client_auth for address, (server, _) in answering.items()}
    silent = tuple(address for address in addresses if address not in answering)
    facts = dataclasses.replace(facts, client_auth=most_lenient(told), addresses=tried, certificates=certificates)
    return facts, (*found, finding_on_addresses(told, silent))


def _at(address: str, server: ServerFacts) -> AddressFacts:
    answered = Offer.ACCEPTED in server.tls_versions.values()
    shown = tuple(one.sha256 for one in server.certificates)
    return AddressFacts(address, server.client_auth.value if answered else "", shown)


def _require_in_time(seconds: float) -> None:
    """Refuse to judge with certificates that have expired: a server then refuses everybody, for that reason alone."""
    if seconds > LIFETIME.total_seconds():
        raise MachineError(
            "The audit took too long to tell anything.",
            why=f"its clients' certificates live for {LIFETIME.total_seconds() / 60:.0f} minutes only",
            hint="Give each attempt less time: --timeout 5",
        )


class _Audit:
    """One audit under way.

    The order is: the authorised client, the others, the authorised client again, the others again. A limit or a ban
    that strikes in between is seen by the authorised client, and two servers behind one name by the repetition.
    """

    def __init__(
        self, request: AuditRequest, forge: Forge, probe: Probe, pool: ThreadPoolExecutor, watch: Watch
    ) -> None:
        self._request = request
        self._forge = forge
        self._probe = probe
        self._pool = pool
        self._watch = watch
        self._authorised_client = request.credential or forge.authorised_client
        self._http_version = "2"
        self._idle = 0.0
        self._seen: dict[str, list[Observation]] = {version: [] for version in VERSIONS}
        self._again: dict[str, Observation] = {}
        self._unsure: set[str] = set()

    def run(self) -> tuple[ServerFacts, tuple[AuditFinding, ...]]:
        self._watch.planned(len(VERSIONS))
        first = self._survey()
        if key_type := other_key_type(first):
            self._forge.use(key_type)
            if self._authorised_client and not self._request.credential:
                self._authorised_client = self._forge.authorised_client
                first = self._survey_again()
        if any(asks_and_speaks_no_http(seen) for seen in first.values()):
            self._idle = min(_IDLE, self._request.timeout / 2)
            first = self._survey_again()
        self._watch.surveyed()
        facts = facts_of(first)
        versions = tuple(version for version, offer in facts.tls_versions.items() if offer is Offer.ACCEPTED)
        found = list(findings.of_server(self._request.target, first, facts, insecure=self._request.insecure))
        found += findings.of_ca_names(announced(first))
        if any(seen.verify_code is not None for seen in first.values()) or not versions:
            return facts, tuple(found)
        right = {version: first[version] for version in versions} if self._authorised_client else {}
        self._watch.planned(len(versions) * self._forge.attempts_for(self._authorised_client))
        unauthorised = self._unauthorised_found(first, versions, right)
        served = [version for version in right if lets_in(right[version])]
        faults = self._faults_found(served, right)
        found += [findings.of_question(version, self._seen[version]) for version in versions]
        found += [one for version in versions for one in findings.of_steadiness(version, self._seen[version])]
        sure = set(versions) - self._unsure
        found += findings.of_authorised(
            right, self._authorised_attempts(versions), given=self._request.credential, sure=sure
        )
        asked = {one.certificate_requested for version in versions for one in self._seen[version]}
        facts = dataclasses.replace(
            facts, certificate_requested=True if True in asked else False if False in asked else None
        )
        auth = client_auth([*found, *unauthorised], faults)
        return dataclasses.replace(facts, client_auth=auth), (*found, *unauthorised, *faults)

    def _survey(self) -> dict[str, Observation]:
        """Each TLS version alone: what is offered, and (if there is an authorised client) the positive control."""
        first = self._try_versions(VERSIONS)
        for fallback in ("1.1", "1.0"):  # without HTTP/2, then without any application protocol
            if not needs_less(first):
                break
            before, self._http_version = self._http_version, fallback
            other = self._try_versions([version for version, seen in first.items() if needs_less({version: seen})])
            if not any(tells_more(seen, first[version]) for version, seen in other.items()):
                self._http_version = before
                break
            first |= other
        for version, seen in first.items():
            self._seen[version].append(seen)
        return first

    def _survey_again(self) -> dict[str, Observation]:
        """The survey, as if it were the first one."""
        for seen in self._seen.values():
            seen.clear()
        return self._survey()

    def _try_versions(self, versions: Iterable[str]) -> dict[str, Observation]:
        return self._try({version: self._attempt(version, self._authorised_client) for version in versions})

    def _authorised_attempts(self, versions: Iterable[str]) -> dict[str, Attempt]:
        return {version: self._attempt(version, self._authorised_client) for version in versions}

    def _unauthorised_found(
        self, first: Mapping[str, Observation], versions: Sequence[str], right: Mapping[str, Observation]
    ) -> list[AuditFinding]:
        unauthorised = (*self._forge.basic(announced(first)), *self._forge.copies(self._authorised_client))
        attempts = self._attempts_of(unauthorised, versions)
        # Without an authorised client, the survey was made without a certificate: that need not be asked twice.
        known = {} if right else {(NO_CERTIFICATE, version): first[version] for version in versions}
        once = {**self._try({key: one for key, one in attempts.items() if key not in known}), **known}
        self._come_again(right)
        twice = self._try(attempts)
        for (_, version), seen in (*once.items(), *twice.items()):
            self._seen[version].append(seen)
            if not speaks_of_certificates(seen):
                self._unsure.add(version)
        self._come_again(right)
        seen_twice = {key: (once[key], twice[key]) for key in attempts}
        return self._judged(unauthorised, versions, right, attempts, seen_twice)

    def _come_again(self, right: Mapping[str, Observation]) -> None:
        """Have the authorised client come once more; what is worse than before is kept."""
        for version, seen in self._try_versions(right).items():
            self._seen[version].append(seen)
            if version not in self._again or not lets_in(seen):
                self._again[version] = seen

    def _faults_found(self, versions: Sequence[str], right: Mapping[str, Observation]) -> list[AuditFinding]:
        if not versions:  # without the positive control, refusals of the CA's own certificates say nothing
            return []
        minted = self._request.credential is None
        everybody = self._forge.faults(self._authorised_client)
        faults = tuple(one for one in everybody if not (minted and one.name == "another-client"))
        attempts = self._attempts_of(faults, versions)
        once = self._try(attempts)
        self._come_again(right)
        return self._judged(faults, versions, right, attempts, {key: (seen,) for key, seen in once.items()})

    def _attempts_of(
        self, clients: Sequence[UnauthorisedClient], versions: Sequence[str]
    ) -> dict[tuple[str, str], Attempt]:
        return {
            (client.name, version): self._attempt(version, client.credential, weak=client.weak)
            for client in clients
            for version in versions
            if not client.missing
        }

    def _judged(
        self,
        clients: Sequence[UnauthorisedClient],
        versions: Sequence[str],
        right: Mapping[str, Observation],
        attempts: Mapping[tuple[str, str], Attempt],
        seen: Mapping[tuple[str, str], tuple[Observation, ...]],
    ) -> list[AuditFinding]:
        """One finding for each client on each TLS version."""
        bare = {version: seen.get((NO_CERTIFICATE, version), (None,))[0] for version in versions}
        scenes = {version: self._scene(version, right.get(version)) for version in versions}
        return [
            worst(
                [
                    findings.of_unauthorised(
                        client,
                        version,
                        attempts.get((client.name, version)),
                        one,
                        right.get(version),
                        insists=insists(bare[version]),
                        scene=scenes[version],
                    )
                    for one in seen.get((client.name, version), (None,))
                ]
            )
            for client in clients
            for version in versions
        ]

    def _scene(self, version: str, right: Observation | None) -> Scene:
        seen = self._seen[version]
        asked = {one.certificate_requested for one in seen}
        again = self._again.get(version)
        steady = again is None or right is None or fares_like(again, right)
        return Scene(
            asks=True in asked or False not in asked,
            steady=steady,
            repeated=steady and again is not None,
            speaks_http=any(one.alpn or one.status is not None for one in seen),
            authorised_found=right.found if right is not None else None,
            vague=any(is_vague(one) for one in seen) and not any(says_why(one) for one in seen),
            refuses_in_handshake=any(refused_in_handshake(one) for all_ in self._seen.values() for one in all_),
        )

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
            http_version="2" if self._http_version == "2" else "1.1",
            alpn=(ALPN_HTTP_1,) if self._http_version == "1.1" else (),
            post_handshake=version == "1.3",
            find=request.expect,
            address=request.connect_host,
            connect_port=request.connect_port,
            sni=request.sni,
            idle=self._idle,
        )

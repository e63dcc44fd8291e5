"""What an audit looks for: from observations to findings, each with its words."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtlslab.audit.judge import (
    Scene,
    gives_page,
    judge_authorised,
    judge_unauthorised,
    let_in_by_handshake,
    speaks_of_certificates,
)
from mtlslab.audit.report import (
    ASKS,
    REFUSED,
    REFUSES_OLD_TLS,
    SAME_EVERY_TIME,
    SERVES_AUTHORISED_CLIENT,
    AuditFinding,
    Offer,
    ServerFacts,
)
from mtlslab.audit.target import AuditTarget
from mtlslab.audit.unauthorised import BASIC, COPIES, NO_CERTIFICATE, UnauthorisedClient, Wanted
from mtlslab.audit.words import observed, sentence
from mtlslab.handshake.authorities import known_to_the_system
from mtlslab.pki import Name
from mtlslab.pki.faults import Severity
from mtlslab.probe.context import OLD_VERSIONS
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import MAX_TIMEOUT, OUT_OF_TIME, Attempt, KeyFiles, Observation
from mtlslab.verify.checks.answers import NO_DECISIONS
from mtlslab.verify.checks.hints import hint_for
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Result

SERVER = "The server"
AUTHORISED = "The authorised client"
UNAUTHORISED = "Unauthorised clients"
FAULTY = "Odd and broken certificates of the client CA"

_HINT_UNAUTHORISED = (
    "nginx: ssl_verify_client on; Apache: SSLVerifyClient require; Python: CERT_REQUIRED; Go: "
    "RequireAndVerifyClientCert; Node: requestCert and rejectUnauthorized; openssl s_server: -Verify with "
    "-verify_return_error."
)
_HINT_CONTROL = (
    "Is the certificate of a CA that the server trusts, valid today and for clients? May this client see the page? "
    "Name another one with --path."
)


def refuses(name: str) -> str:
    """The id (without TLS version) of the check that an unauthorised client is refused."""
    return "refuses-no-certificate" if name == NO_CERTIFICATE else f"refuses-{name}"


def of_server(
    target: AuditTarget, first: Mapping[str, Observation], facts: ServerFacts, *, insecure: bool
) -> Iterable[AuditFinding]:
    """What the server shows of itself.

    Args:
        target: the server.
        first: TLS version -> what an attempt with this version alone showed.
        facts: what follows from it.
        insecure: whether the client accepts any server.
    """
    accepted = [version for version, offer in facts.tls_versions.items() if offer is Offer.ACCEPTED]
    yield _answers(target, first, accepted)
    if not accepted:
        return
    trusted = _trusted([first[version] for version in accepted], insecure=insecure)
    yield trusted
    yield _no_old_version(facts)


def _answers(target: AuditTarget, first: Mapping[str, Observation], accepted: list[str]) -> AuditFinding:
    # The newest version is the one that a server most likely has something to say about.
    telling = first[accepted[-1]] if accepted else first[max(first)]
    spoken = f"TLS {', '.join(accepted)}"
    return AuditFinding(
        id="answers-tls",
        title="answers with TLS",
        category=SERVER,
        severity=Severity.REQUIRED,
        result=Result.PASS if accepted else Result.INCONCLUSIVE,
        expected={"outcome": "a TLS handshake"},
        observed={"answer": spoken} if accepted else observed(telling),
        reason=f"It speaks {spoken}." if accepted else sentence(telling),
        hint=f"Is it the right host and port? {target.url}",
    )


def _trusted(seen: list[Observation], *, insecure: bool) -> AuditFinding:
    broken = next((one for one in seen if one.verify_code is not None), None)
    if broken is not None:
        verdict = Verdict(Result.INCONCLUSIVE, sentence(broken))
    elif insecure:
        verdict = Verdict(Result.SKIP, "Not judged: --insecure accepts any server.")
    else:
        verdict = Verdict(Result.PASS, "Its certificate is trusted and names this host.")
    return AuditFinding(
        id="is-trusted",
        title="has a certificate that the client trusts",
        category=SERVER,
        severity=Severity.REQUIRED,
        result=verdict.result,
        expected={"outcome": "a trusted certificate for this host"},
        observed=observed(broken) if broken is not None else {},
        reason=verdict.reason,
        hint="Name the CA that issued the server's certificate: --cacert FILE. In a lab: --insecure.",
    )


def _no_old_version(facts: ServerFacts) -> AuditFinding:
    offers = {version: facts.tls_versions[version] for version in OLD_VERSIONS}
    spoken = [version for version, offer in offers.items() if offer is Offer.ACCEPTED]
    told = ", ".join(f"TLS {version}: {offer.value}" for version, offer in offers.items())
    result = Result.PASS if set(offers.values()) == {Offer.REFUSED} else Result.SKIP
    return AuditFinding(
        id=REFUSES_OLD_TLS,
        title="refuses TLS 1.0 and 1.1",
        category=SERVER,
        severity=Severity.ADVISORY,
        result=Result.WARN if spoken else result,
        expected=REFUSED,
        observed={"answer": told},
        reason=f"{told}.",
        hint="RFC 8996 forbids both. nginx: ssl_protocols TLSv1.2 TLSv1.3;",
    )


def of_ca_names(names: Sequence[Name]) -> Iterable[AuditFinding]:
    """A warning if the server announces CAs that this machine trusts for servers: the Web's, who issue to anybody."""
    public = known_to_the_system(names)
    if not public:
        return
    shown = "; ".join(name.rfc4514_string() for name in public[:2]) + (" ..." if len(public) > 2 else "")
    yield AuditFinding(
        id="announces-no-public-ca",
        title="announces no CA of the Web as a CA for clients",
        category=SERVER,
        severity=Severity.ADVISORY,
        result=Result.WARN,
        expected={"outcome": "CAs for clients only"},
        observed={"answer": f"{len(public)} of {len(names)}: {shown}"},
        reason=f"It announces {len(public)} CAs that this machine trusts for Web servers, of {len(names)}: {shown}.",
        hint="Whoever gets a certificate for clients from any of them gets in. Trust the CA of your clients alone.",
    )


def of_question(version: str, seen: Sequence[Observation]) -> AuditFinding:
    """Whether the server asks for a certificate, at any time.

    Args:
        version: the TLS version.
        seen: every attempt on it.
    """
    asked = {one.certificate_requested for one in seen}
    # Whoever was stopped before the page may not have come to the question.
    unasked = any(one.certificate_requested is False and _let_in(one) for one in seen)
    result = Result.FAIL if unasked else Result.WARN if False in asked else Result.INCONCLUSIVE
    result = Result.PASS if True in asked else result
    words = {
        Result.PASS: "It sends a CertificateRequest.",
        Result.FAIL: "Nobody was sent a CertificateRequest: neither in the handshake nor after it.",
        Result.WARN: "Nobody was sent a CertificateRequest, but nobody came as far as the page either.",
        Result.INCONCLUSIVE: "The handshake did not come that far.",
    }
    requested = True if True in asked else False if False in asked else None
    return AuditFinding(
        id=_versioned(ASKS, version),
        title="asks its clients for a certificate",
        category=SERVER,
        severity=Severity.REQUIRED if result is Result.FAIL else Severity.ADVISORY,
        result=result,
        expected={"outcome": "a CertificateRequest"},
        observed={
            "certificate_requested": requested,
            "answer": "CertificateRequest" if requested else "no CertificateRequest",
        },
        reason=words[result],
        hint=_HINT_UNAUTHORISED,
        tls_version=version,
    )


def of_steadiness(version: str, seen: Iterable[Observation]) -> Iterable[AuditFinding]:
    """A finding if the server asked some for a certificate, and let others in without asking."""
    asked = [one for one in seen if one.certificate_requested is not None]
    unasked = [one for one in asked if not one.certificate_requested and _let_in(one)]
    if not unasked or not any(one.certificate_requested for one in asked):
        return
    yield AuditFinding(
        id=_versioned(SAME_EVERY_TIME, version),
        title="does the same every time",
        category=SERVER,
        severity=Severity.REQUIRED,
        result=Result.FAIL,
        expected={"outcome": "the same every time"},
        observed=observed(unasked[0]),
        reason=f"Of {len(asked)} attempts, {len(unasked)} were not asked for a certificate and let in all the same.",
        hint="Are there several servers behind this name? One of them is set up otherwise.",
        tls_version=version,
    )


def _let_in(seen: Observation) -> bool:
    if seen.status is None:
        return let_in_by_handshake(seen)
    return 200 <= seen.status < 500 and seen.status not in NO_DECISIONS


def of_authorised(
    right: Mapping[str, Observation],
    attempts: Mapping[str, Attempt],
    *,
    given: KeyFiles | None,
    sure: Collection[str] = (),
) -> Iterable[AuditFinding]:
    """The positive control, for each TLS version.

    Args:
        right: TLS version -> what the authorised client met; empty without one.
        attempts: TLS version -> the attempt.
        given: the user's credential; None if there is none, or it was minted.
        sure: TLS versions on which all others were refused in words that can only be about the certificate.
    """
    for version, what in attempts.items():
        seen = right.get(version)
        why = "Not judged: nobody knows whether the authorised client gets in without one (--cert, --key)."
        past = version in sure and seen is not None and not speaks_of_certificates(seen)
        verdict = Verdict(Result.SKIP, why)
        if seen:
            verdict = judge_authorised(seen, minted=given is None, past_the_question=past)
        yield AuditFinding(
            id=_versioned(SERVES_AUTHORISED_CLIENT, version),
            title="serves the authorised client" + (" (minted for this audit)" if seen and given is None else ""),
            category=AUTHORISED,
            severity=Severity.REQUIRED,
            result=verdict.result,
            expected={"outcome": "served"},
            observed=_observed_of_authorised(seen, verdict) if seen else {},
            reason=verdict.reason,
            command=_command(what) if given is not None else (),
            hint=(hint_for(seen) if seen else "") or _HINT_CONTROL,
            tls_version=version,
            duration_ms=seen.duration * 1000 if seen else 0.0,
        )


def _observed_of_authorised(seen: Observation, verdict: Verdict) -> dict[str, Any]:
    """The facts: who is let in and finds nothing (404) is not served."""
    let_in = verdict.result in (Result.PASS, Result.WARN)
    return observed(seen, served=None if let_in and not gives_page(seen) else _meaning(verdict.result, yes=Result.PASS))


def of_unauthorised(
    client: UnauthorisedClient,
    version: str,
    what: Attempt | None,
    seen: Observation | None,
    right: Observation | None,
    *,
    insists: bool,
    scene: Scene | None = None,
) -> AuditFinding:
    """What became of one fault.

    Args:
        client: who it is.
        version: the TLS version.
        what: the attempt; None if something is missing for it.
        seen: what it showed; None the same.
        right: what the authorised client met; None without one.
        insists: as for ``judge_unauthorised``.
        scene: as for ``judge_unauthorised``.
    """
    if seen is None:
        verdict = unauthorised_verdict = Verdict(Result.SKIP, f"Not tried for want of {client.missing}.")
    else:
        has_certificate = client.credential is not None
        unauthorised_verdict = judge_unauthorised(
            seen, right, has_certificate=has_certificate, insists=insists, scene=scene
        )
        verdict = _graded(client, unauthorised_verdict)
    wanted_refused = client.wanted is Wanted.REFUSED
    return AuditFinding(
        id=_versioned(refuses(client.name) if wanted_refused else f"serves-{client.name}", version),
        title=f"{'refuses' if wanted_refused else 'serves'} {client.title}",
        category=UNAUTHORISED if client.name in (*BASIC, *COPIES) else FAULTY,
        severity=client.severity,
        result=verdict.result,
        expected={"outcome": client.wanted.value},
        observed=observed(seen, served=_meaning(unauthorised_verdict.result, yes=Result.FAIL)) if seen else {},
        reason=verdict.reason,
        command=_command(what) if what and client.credential is None else (),
        hint=_HINT_UNAUTHORISED if client.name in BASIC else client.why,
        tls_version=version,
        duration_ms=seen.duration * 1000 if seen else 0.0,
    )


def _graded(client: UnauthorisedClient, verdict: Verdict) -> Verdict:
    """The verdict on a client that must be refused, turned round for one that should be served, and softened."""
    result = verdict.result
    if client.wanted is Wanted.SERVED and result in (Result.PASS, Result.FAIL):
        result = Result.FAIL if result is Result.PASS else Result.PASS
    if client.severity is Severity.ADVISORY and result is Result.FAIL:
        result = Result.WARN
    return dataclasses.replace(verdict, result=result)


def _meaning(result: Result, *, yes: Result) -> bool | None:
    """Whether a verdict says that the client was served."""
    return result is yes if result in (Result.PASS, Result.FAIL) else None


def _versioned(family: str, version: str) -> str:
    return f"{family}.tls{version.replace('.', '')}"


def with_advice_on_time(finding: AuditFinding, timeout: float) -> AuditFinding:
    """The finding; if nobody could tell because the time was up, its reason says which option gives more.

    Args:
        finding: any.
        timeout: seconds that an attempt had.
    """
    timed_out = str(finding.observed.get("error", "")).startswith(OUT_OF_TIME)
    if finding.result is not Result.INCONCLUSIVE or not timed_out or "--timeout" in finding.reason:
        return finding
    advice = f"Give it more time: --timeout {min(4 * timeout, MAX_TIMEOUT):g}"
    return dataclasses.replace(finding, reason=f"{finding.reason} {advice}")


def _command(what: Attempt) -> tuple[str, ...]:
    """The curl command; none for versions that curl speaks only if its OpenSSL is talked into it."""
    return () if what.tls_version in OLD_VERSIONS else tuple(curl_command(what, Path.cwd()))

"""What the services speak: plain HTTP on the TLS port, old versions, broken cipher suites, downgrades, ALPN."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from mtlslab.probe import hello
from mtlslab.probe.curl import curl_command
from mtlslab.probe.model import Attempt, Observation, Phase, Side
from mtlslab.probe.policy import described, not_offered
from mtlslab.probe.records import TLS_1_2
from mtlslab.verify.checks import Outcome, outcome_of
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.commands import bare_curl, s_client
from mtlslab.verify.procedures.model import Command, Procedure, ProcedureResult, failed

HTTP_1, HTTP_2, UNKNOWN_PROTOCOL = "http/1.1", "h2", "mtlslab-unknown"
_VERSION_NUMBERS = {(3, 1): "1.0", (3, 2): "1.1"}
_SSL_3 = "0x0300"


# --- plain HTTP


def plain_http(_context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """A request without TLS, sent to the port that speaks TLS."""
    seen = probe(dataclasses.replace(attempt, plain=True))
    if seen.answered:
        served = outcome_of(seen) is Outcome.SERVED
        words = "The server gave the page without TLS, to a client that it cannot know."
        return ProcedureResult(attempt, seen, verdict=failed(check, words) if served else None)
    if seen.phase not in (Phase.SEND, Phase.READ) or seen.side is Side.NONE:
        return ProcedureResult(attempt, seen)
    verdict = Verdict(Result.PASS, "The server gave nothing without TLS, and no word of HTTP either.")
    # Whatever it said instead, a client without TLS is shut out.
    return ProcedureResult(attempt, seen, facts={"outcome": Outcome.CLOSED.value}, verdict=verdict)


# --- the first answer to a ClientHello


def old_version(version: tuple[int, int]) -> Procedure:
    """A client that speaks this version of TLS at most."""

    def procedure(_context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
        message = hello.client_hello(version, hello.USUAL_SUITES, attempt.host)
        return _first_answer(check, attempt, probe, message, ("protocol_version",))

    procedure.__doc__ = f"A client that speaks no more than TLS {_VERSION_NUMBERS[version]} says hello."
    return procedure


def broken_suites(_context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """A client that offers nothing but cipher suites that protect nothing, or no more."""
    message = hello.client_hello(TLS_1_2, hello.NO_PROTECTION_SUITES, attempt.host)
    return _first_answer(check, attempt, probe, message, ("handshake_failure", "insufficient_security"))


def fallback(_context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """A client that says: I speak more than TLS 1.2, but somebody may have torn my first attempt."""
    message = hello.client_hello(TLS_1_2, (*hello.USUAL_SUITES, hello.FALLBACK_SCSV), attempt.host)
    return _first_answer(check, attempt, probe, message, ("inappropriate_fallback",))


def _first_answer(
    check: Check, attempt: Attempt, probe: Probe, message: bytes, wanted: Iterable[str]
) -> ProcedureResult:
    seen = probe(dataclasses.replace(attempt, hello=message))
    facts = {"outcome": "agreed", "answer": _agreement(seen), "error": ""} if seen.agreed else {}
    return ProcedureResult(attempt, seen, facts=facts, verdict=_judge(check, seen, tuple(wanted)))


def _judge(check: Check, seen: Observation, wanted: tuple[str, ...]) -> Verdict | None:
    if seen.agreed:
        return failed(check, f"The server agreed to {_agreement(seen)}.")
    if seen.alert in wanted:
        return Verdict(Result.PASS, f"The server refused with the TLS alert {seen.alert}.")
    if seen.alert:
        expected = " or ".join(wanted)
        return Verdict(Result.WARN, f"Refused as it must be, but with the alert {seen.alert} instead of {expected}.")
    if seen.closed:
        return Verdict(Result.WARN, "Refused as it must be, but without a word: the server closed the connection.")
    return None


def _agreement(seen: Observation) -> str:
    version = "SSL 3.0" if seen.tls_version == _SSL_3 else f"TLS {seen.tls_version}"
    return f"{version} with {seen.cipher if seen.cipher.startswith('TLS') else f'cipher suite {seen.cipher}'}"


# --- versions and application protocols that a full handshake shows


def best_version(_context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """A client that offers everything it has."""
    seen = probe(attempt)
    verdict = None
    if outcome_of(seen) is Outcome.SERVED and seen.tls_version != "1.3" and "TLS 1.3" in not_offered():
        verdict = Verdict(Result.INCONCLUSIVE, f"Could not be judged here: {described()}.")
    elif outcome_of(seen) is Outcome.SERVED and seen.tls_version != "1.3":
        verdict = failed(check, f"The server chose TLS {seen.tls_version}, although the client offered 1.3.")
    return ProcedureResult(attempt, seen, verdict=verdict)


def choose_http_1(_context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """A client that would speak HTTP/2, and HTTP/1.1 as well."""
    seen = probe(dataclasses.replace(attempt, alpn=(HTTP_2, HTTP_1)))
    verdict = None
    if seen.alpn not in (HTTP_1, "", None):
        verdict = failed(check, f"The server chose {seen.alpn}: its nginx.conf differs from what the lab renders.")
    return ProcedureResult(attempt, seen, facts={"application_protocol": seen.alpn or None}, verdict=verdict)


def unknown_protocol(_context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """A client that offers nothing but an application protocol that nobody speaks."""
    seen = probe(dataclasses.replace(attempt, alpn=(UNKNOWN_PROTOCOL,)))
    verdict = None
    if seen.alert == "no_application_protocol":
        verdict = Verdict(Result.PASS, "The server refused with the TLS alert no_application_protocol.")
    elif seen.answered:
        verdict = failed(check, "The server spoke HTTP to a client that had not offered HTTP.")
    return ProcedureResult(attempt, seen, verdict=verdict)


# --- printed commands


def plain_http_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """The same URL with http instead of https."""
    return bare_curl(dataclasses.replace(attempt, plain=True), context.directory)


def old_version_command(version: tuple[int, int]) -> Command:
    """A curl that speaks no other version; at security level 0, or its own OpenSSL would not even try."""
    option = _VERSION_NUMBERS[version]
    options = [f"--tlsv{option}", "--tls-max", option, "--ciphers", "DEFAULT@SECLEVEL=0"]
    return lambda context, attempt: [*bare_curl(attempt, context.directory), *options]


def http_2_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """A curl that offers both; ``-v`` shows what was chosen."""
    return [*curl_command(attempt, context.directory), "--http2"]


def s_client_command(*options: str) -> Command:
    """``openssl s_client`` with these options."""
    return lambda context, attempt: s_client(attempt, context.directory, *options)

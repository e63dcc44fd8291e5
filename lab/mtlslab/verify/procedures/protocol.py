"""What the services speak: plain HTTP on the TLS port, old versions, broken cipher suites, downgrades, ALPN."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from mtlslab.probe import hello
from mtlslab.probe.attempt import Attempt, Observation, Phase, Side, request_bytes
from mtlslab.probe.connection import VERSIONS, Deadline, connect
from mtlslab.probe.curl import curl_command
from mtlslab.probe.hello import Answer
from mtlslab.verify.checks import Outcome, outcome_of
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.commands import bare_curl, s_client
from mtlslab.verify.procedures.exchange import Exchange, answered, exchange
from mtlslab.verify.procedures.model import Command, Trial, TrialResult, failed

HTTP_1, HTTP_2, UNKNOWN_PROTOCOL = "http/1.1", "h2", "mtlslab-unknown"
_MAX_ANSWER = 1 << 16


# --- plain HTTP


def plain_http(_context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> TrialResult:
    """A request without TLS, sent to the port that speaks TLS."""
    seen = _ask_plainly(attempt)
    outcome = outcome_of(seen)
    verdict = None
    if outcome is Outcome.SERVED:
        verdict = failed(check, "The server gave the page without TLS, to a client that it cannot know.")
    elif outcome in (Outcome.REFUSED_BY_ALERT, Outcome.CLOSED):
        verdict = Verdict(Result.PASS, "The server gave nothing without TLS, and no word of HTTP either.")
    return TrialResult(attempt, seen, verdict=verdict)


def _ask_plainly(what: Attempt) -> Observation:
    deadline = Deadline(what.timeout)
    try:
        with connect(what.address or what.host, what.port, deadline) as sock:
            sock.sendall(request_bytes(what))
            data = b""
            while len(data) < _MAX_ANSWER:
                sock.settimeout(deadline.remaining())
                more = sock.recv(4096)
                if not more:
                    break
                data += more
    except OSError as error:
        closed = isinstance(error, ConnectionResetError)
        return Observation(
            Phase.READ, Side.PEER if closed else Side.NONE, error=str(error), closed=closed, heard=closed
        )
    if not data or data[0] == hello.ALERT_RECORD:  # the TLS way to say "this is no TLS"
        return Observation(Phase.READ, Side.PEER, error="no HTTP answer", closed=True, heard=True)
    return answered(data)


# --- the first answer to a ClientHello


def old_version(version: tuple[int, int]) -> Trial:
    """A client that speaks this version of TLS at most."""

    def trial(_context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> TrialResult:
        message = hello.client_hello(version, hello.USUAL_SUITES, attempt.host)
        return _first_answer(check, attempt, message, ("protocol_version",))

    trial.__doc__ = f"A client that speaks no more than {hello.VERSION_NAMES[version]} says hello."
    return trial


def broken_suites(_context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> TrialResult:
    """A client that offers nothing but cipher suites that protect nothing, or no more."""
    message = hello.client_hello(hello.TLS_1_2, hello.NO_PROTECTION_SUITES, attempt.host)
    return _first_answer(check, attempt, message, ("handshake_failure", "insufficient_security"))


def fallback(_context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> TrialResult:
    """A client that says: I speak more than TLS 1.2, but somebody may have torn my first attempt."""
    message = hello.client_hello(hello.TLS_1_2, (*hello.USUAL_SUITES, hello.FALLBACK_SCSV), attempt.host)
    return _first_answer(check, attempt, message, ("inappropriate_fallback",))


def _first_answer(check: Check, attempt: Attempt, message: bytes, wanted: Iterable[str]) -> TrialResult:
    answer = hello.ask(attempt, message)
    facts = {}
    if answer.agreed:
        facts = {"outcome": "agreed", "answer": _agreement(answer), "error": ""}
    return TrialResult(attempt, answer.observation(), facts=facts, verdict=_judge(check, answer, tuple(wanted)))


def _judge(check: Check, answer: Answer, wanted: tuple[str, ...]) -> Verdict | None:
    if answer.agreed:
        return failed(check, f"The server agreed to {_agreement(answer)}.")
    if answer.alert in wanted:
        return Verdict(Result.PASS, f"The server refused with the TLS alert {answer.alert}.")
    if answer.alert:
        expected = " or ".join(wanted)
        return Verdict(Result.WARN, f"Refused as it must be, but with the alert {answer.alert} instead of {expected}.")
    if answer.closed:
        return Verdict(Result.WARN, "Refused as it must be, but without a word: the server closed the connection.")
    return None


def _agreement(answer: Answer) -> str:
    version = hello.VERSION_NAMES.get(answer.version or (0, 0), f"version {answer.version}")
    number = answer.suite or 0
    suite = hello.NO_PROTECTION_SUITES.get(number)
    return f"{version} with {f'TLS_{suite}' if suite else f'cipher suite 0x{number:04X}'}"


# --- versions and application protocols that a full handshake shows


def best_version(_context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> TrialResult:
    """A client that offers everything it has."""
    seen = probe(attempt)
    verdict = None
    if outcome_of(seen) is Outcome.SERVED and seen.tls_version != "1.3":
        verdict = failed(check, f"The server chose TLS {seen.tls_version}, although the client offered 1.3.")
    return TrialResult(attempt, seen, verdict=verdict)


def choose_http_1(_context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> TrialResult:
    """A client that would speak HTTP/2, and HTTP/1.1 as well."""
    done = _offer(attempt, [HTTP_2, HTTP_1])
    verdict = None
    if done.protocol not in (HTTP_1, None):
        verdict = failed(check, f"The server chose {done.protocol}: its nginx.conf differs from what the lab renders.")
    facts = {"application_protocol": done.protocol}
    return TrialResult(attempt, done.seen, facts=facts, verdict=verdict)


def unknown_protocol(_context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> TrialResult:
    """A client that offers nothing but an application protocol that nobody speaks."""
    done = _offer(attempt, [UNKNOWN_PROTOCOL])
    seen = done.seen
    verdict = None
    if seen.alert == "no_application_protocol":
        verdict = Verdict(Result.PASS, "The server refused with the TLS alert no_application_protocol.")
    elif seen.answered:
        verdict = failed(check, "The server spoke HTTP to a client that had not offered HTTP.")
    return TrialResult(attempt, seen, verdict=verdict)


def _offer(attempt: Attempt, protocols: list[str]) -> Exchange:
    context = ssl.create_default_context(cafile=attempt.cacert)
    if attempt.tls_version:
        context.minimum_version = context.maximum_version = VERSIONS[attempt.tls_version]
    if attempt.credential:
        context.load_cert_chain(attempt.credential.certificate, attempt.credential.key, password="")
    context.set_alpn_protocols(protocols)
    return exchange(attempt, context)


# --- printed commands


def plain_http_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """The same URL with http instead of https."""
    url = attempt.url.replace("https:", "http:", 1)
    return [url if part == attempt.url else part for part in bare_curl(attempt, context.directory)]


def old_version_command(version: tuple[int, int]) -> Command:
    """A curl that speaks no other version; at security level 0, or its own OpenSSL would not even try."""
    option = hello.VERSION_NAMES[version].removeprefix("TLS ")
    options = [f"--tlsv{option}", "--tls-max", option, "--ciphers", "DEFAULT@SECLEVEL=0"]
    return lambda context, attempt: [*bare_curl(attempt, context.directory), *options]


def http_2_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """A curl that offers both; ``-v`` shows what was chosen."""
    return [*curl_command(attempt, context.directory), "--http2"]


def s_client_command(*options: str) -> Command:
    """``openssl s_client`` with these options."""
    return lambda context, attempt: s_client(attempt, context.directory, *options)

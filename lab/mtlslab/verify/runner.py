"""Runs the checks against a lab: positive controls first, the rest side by side, results in the catalogue's order."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mtlslab.errors import LabError, MissingKeyError
from mtlslab.lifecycle.interrupts import worker_pool
from mtlslab.plan.paths import HELLO, SERVER_CA
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.plan.spec import LabSpec
from mtlslab.probe.attempt import attempt
from mtlslab.probe.model import MAX_BODY, Attempt
from mtlslab.probe.policy import described
from mtlslab.verify.advice import advice
from mtlslab.verify.checks import (
    Check,
    Outcome,
    Result,
    ServerSaid,
    Trust,
    Verdict,
    catalogue,
    judge,
    observed_mapping,
    select,
    with_controls,
)
from mtlslab.verify.checks.fitted import fitted
from mtlslab.verify.checks.judge import SERVED_STATUS, leaks
from mtlslab.verify.checks.model import CLIENT, MISSING, PAGES, PROBE
from mtlslab.verify.context import Probe, VerifyContext, credential_files
from mtlslab.verify.doors.protected import Protected
from mtlslab.verify.doors.survey import Survey
from mtlslab.verify.procedures import PROCEDURES, ProcedureResult, command_of
from mtlslab.verify.procedures.pages import other_page
from mtlslab.verify.report import Cause, VerifyFinding, VerifyReport
from mtlslab.verify.rules.load import Reading
from mtlslab.verify.server_log import ReadLog, Unmarked, read_server_log
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.shape import shape_of

# The alerts of a server that finds nothing in a ClientHello that it could use (RFC 8446 section 6.2).
_NOTHING_IN_COMMON = ("handshake_failure", "illegal_parameter", "insufficient_security", "protocol_version")
WORKERS = 4  # measured on two cores: 50 ms for 32 checks; 1 takes 65 ms, 8 take 70

Ready = Callable[[str], None]
"""Returns when the credential of that name is there."""
Issue = Callable[[Sequence[str]], Ready | None]
"""Sees to it that ``certs/faults/NAME.crt`` and ``NAME.key`` are there for each of the names, at once or when asked."""
Observer = Callable[[VerifyFinding, int], None]
"""Is told of each finding as it comes, and of how many there will be; not in the report's order, from one thread. What
the server's log says is not in it yet."""


@dataclasses.dataclass(frozen=True)
class _Shot:
    """A check with its attempt and what came of it."""

    check: Check
    result: ProcedureResult
    page: str = ""


def run_checks(
    context: VerifyContext,
    only: Iterable[str] = (),
    *,
    issue: Issue | None = None,
    probe: Probe = attempt,
    observer: Observer | None = None,
    checks: Sequence[Check] | None = None,
    read_log: ReadLog | None = None,
    strict: bool = False,
) -> VerifyReport:
    """Run the checks that ``only`` means (all without one), and their positive controls.

    Args:
        context: the lab.
        only: ids, ids without the TLS version, beginnings of ids, or patterns.
        issue: called once, before the first probe, with the names of the faulty credentials that are needed.
        probe: makes one attempt.
        observer: is told of every finding at once.
        checks: the catalogue to run from; None for the one that fits the lab.
        read_log: reads the last lines of the services' logs; None when they cannot be had.
        strict: whether a warning is as bad as a failure.

    Raises:
        SpecError: ``only`` means no check.
        LabError: whatever ``issue`` raises.
    """
    known = fitted(catalogue(crl=context.crl) if checks is None else checks, shape_of(Workspace(context.issuer)))
    chosen = select(known, only)
    asked_for = {check.id for check in chosen}
    needed = with_controls(known, chosen)
    started, begin = datetime.datetime.now(datetime.UTC), time.perf_counter()
    ready = issue(_faults(needed)) if issue else None
    context = with_doors(with_configuration(context))
    run = _Run(context, asked_for, probe, observer or _nobody, ready)
    run.probe_all(needed)
    logged = run.join(read_log) if read_log else False
    findings, causes = _with_causes(context, needed, run.findings(needed))
    return VerifyReport(
        lab=context.lab,
        runtime=context.runtime,
        nginx=_nginx(context, begun=bool(findings)),
        started=started,
        findings=findings,
        causes=causes,
        complete=len(chosen) == len(known),
        server_log=logged,
        strict=strict,
        duration_ms=(time.perf_counter() - begin) * 1000,
    )


def _nginx(context: VerifyContext, *, begun: bool) -> str:
    facts = context.configuration().facts if context.configuration and begun else None
    return facts.nginx if facts else ""


def _with_causes(
    context: VerifyContext, checks: Sequence[Check], findings: tuple[VerifyFinding, ...]
) -> tuple[tuple[VerifyFinding, ...], tuple[Cause, ...]]:
    """The findings, and what failures have in common; asks for the configuration only where something has failed."""
    if context.configuration is None or not any(one.result is Result.FAIL for one in findings):
        return findings, ()
    from mtlslab.verify.causes import find_causes, with_causes  # renders the files, to compare with them

    causes = find_causes(context.configuration().facts, {check.id: check for check in checks}, findings)
    return with_causes(findings, causes), causes


def make_attempt(context: VerifyContext, check: Check) -> Attempt:
    """The attempt that shows whether ``check`` holds, with a nonce of its own."""
    return Attempt(
        port=context.tls_port if check.service == TLS_SERVICE else context.mtls_port,
        host=context.host,
        address=context.address,
        path=context.path,
        tls_version=check.tls_version,
        cacert=context.directory / SERVER_CA if check.trust is Trust.SERVER_CA else None,
        insecure=check.trust is Trust.ANYONE,
        credential=credential_files(context.issuer, check.credential) if check.credential else None,
        weak=check.weak,
        timeout=context.timeout,
        nonce=secrets.token_hex(8),
    )


def with_configuration(context: VerifyContext) -> VerifyContext:
    """The same lab, with what lies in its workspace as its configuration where nobody has asked a runtime."""
    if context.configuration is not None:
        return context
    spec = LabSpec(
        name=context.lab,
        listen=context.address,
        tls_port=context.tls_port,
        mtls_port=context.mtls_port,
        crl=context.crl,
        log_token=context.log_token,
    )
    return dataclasses.replace(context, configuration=Reading(Workspace(context.directory), spec))


def with_doors(context: VerifyContext) -> VerifyContext:
    """The same lab, with what is behind its doors, and the doors of its configuration where nobody has looked."""
    return dataclasses.replace(context, doors=context.doors or Survey(context), protected=Protected(context.directory))


def protected_page(directory: Path) -> str:
    """Text of the page of the mTLS service in the workspace ``directory``; empty if it cannot be read."""
    try:
        content = Workspace(directory).read(f"{MTLS_SERVICE}/{HELLO}") or b""
    except LabError:
        return ""
    return content[:MAX_BODY].decode(errors="replace")


def _faults(checks: Iterable[Check]) -> tuple[str, ...]:
    names = (name for check in checks for name in (check.credential, *check.shows))
    return tuple(dict.fromkeys(name for name in names if name and name != CLIENT))


class _Run:
    """The state of one run: what is decided so far, and what it was decided from."""

    def __init__(
        self,
        context: VerifyContext,
        asked_for: set[str],
        probe: Probe,
        observer: Observer,
        ready: Ready | None,
    ) -> None:
        self._context = context
        self._ready = ready or _nobody_waits
        self._page = protected_page(context.directory)
        self._asked_for = asked_for
        self._probe = probe
        self._observer = observer
        self._shots: list[_Shot] = []
        self._decided: dict[str, VerifyFinding] = {}

    def probe_all(self, checks: Sequence[Check]) -> None:
        """Run in waves: a check is due once its positive control is decided."""
        waiting = list(checks)
        with worker_pool(WORKERS) as pool:
            while waiting:
                due = [check for check in waiting if check.depends is None or check.depends in self._decided]
                later = {check.id for check in waiting} - {check.id for check in due}
                self._wave(due, pool, total=len(checks))
                waiting = [check for check in waiting if check.id in later]

    def join(self, read_log: ReadLog) -> bool:
        """Look up in the server's log what was probed, and judge again; returns whether the log said anything."""
        answered = [shot for shot in self._shots if shot.result.seen and shot.result.seen.answered]
        # Only a plain probe's line is worth waiting for: other procedures may have talked to other servers.
        awaited = {shot.result.attempt.nonce for shot in answered if shot.check.procedure == PROBE} - {""}
        awaited |= {nonce for shot in answered for nonce in shot.result.nonces}
        welcome = {shot.result.attempt.nonce for shot in answered} - {""}
        unmarked = {shot.check.id: one for shot in answered if (one := _unmarked(shot))}
        known = read_server_log(read_log, self._context.log_token, awaited, welcome, unmarked=unmarked)
        for shot in answered:
            said = known.get(shot.result.attempt.nonce or shot.check.id)
            if said is not None or shot.result.verdict_by_log:
                self._decided[shot.check.id] = self._judged(shot, said, known)
        return bool(known)

    def findings(self, checks: Iterable[Check]) -> tuple[VerifyFinding, ...]:
        """The findings in the order of ``checks``."""
        return tuple(self._decided[check.id] for check in checks)

    def _wave(self, due: Sequence[Check], pool: ThreadPoolExecutor, *, total: int) -> None:
        lost = {check.id for check in due if self._control_lost(check) and not check.regardless}
        # What asks often takes longest: begun first, it does not go on alone when all else is done.
        begun = sorted((check for check in due if check.id not in lost), key=_asks_once)
        shots = pool.map(self._shoot, begun)
        for check in due:
            if check.id in lost:
                self._decide(self._skipped(check), total)
        for shot in shots:
            self._shots.append(shot)
            finding = self._judged(shot)
            # Without its control a refusal proves nothing; whoever is let in proves enough.
            in_vain = self._control_lost(shot.check) and finding.result is not Result.FAIL
            self._decide(self._skipped(shot.check) if in_vain else finding, total)

    def _control_lost(self, check: Check) -> bool:
        if check.depends is None:
            return False
        control = self._decided[check.depends]
        if control.result in (Result.PASS, Result.WARN):
            return control.lacks_version
        # A client that is let in, and finds no page, is none that was refused: the others may be compared with it.
        return not (control.accepted and check.procedure == PROBE and check.expect.outcome in PAGES)

    def _right_status(self, check: Check) -> int:
        """What the authorised client was answered, with whom the client of a check is compared."""
        status = self._decided[check.depends].observed.get("status") if check.depends in self._decided else None
        return status if isinstance(status, int) else SERVED_STATUS

    def _shoot(self, check: Check) -> _Shot:
        what = make_attempt(self._context, check)
        try:
            if check.credential:
                self._ready(check.credential)
            for name in check.shows:
                with contextlib.suppress(MissingKeyError):  # the others come all the same
                    self._ready(name)
            return _Shot(check, PROCEDURES[check.procedure](self._context, check, what, self._probe), self._page)
        except MissingKeyError as error:
            verdict = Verdict(Result.SKIP, f"Not tried: {error} Such a certificate cannot be issued here.")
            return _Shot(check, ProcedureResult(what, None, facts={MISSING: error.path}, verdict=verdict))
        except (LabError, OSError) as error:
            verdict = Verdict(Result.INCONCLUSIVE, f"The check could not be made: {error}.")
            return _Shot(check, ProcedureResult(what, None, verdict=verdict))

    def _decide(self, finding: VerifyFinding, total: int) -> None:
        self._decided[finding.id] = finding
        self._observer(finding, total)

    def _judged(
        self, shot: _Shot, said: ServerSaid | None = None, known: Mapping[str, ServerSaid] | None = None
    ) -> VerifyFinding:
        check, result, seen = shot.check, shot.result, shot.result.seen
        observed = {**(observed_mapping(seen) if seen else {}), **result.facts}
        if seen and leaks(seen, shot.page):
            observed["outcome"] = Outcome.SERVED.value
        if said:
            observed["server"] = said.to_mapping()
        command = result.command or command_of(check, self._context, result.attempt)
        right = self._right_status(check)
        verdict = other_page(self._context, check, result) or _verdict(shot, said, known, right)
        verdict = _not_the_servers_fault(verdict, observed)
        finding = self._finding(check, command, verdict, observed, seen.duration if seen else 0.0)
        hint = advice(self._context, check, verdict, seen, said)
        return dataclasses.replace(finding, hint=hint) if hint else finding

    def _skipped(self, check: Check) -> VerifyFinding:
        verdict, what = (
            Verdict(Result.SKIP, f"Not tried (because {check.depends})."),
            make_attempt(self._context, check),
        )
        control = self._decided[check.depends or ""]
        if MISSING in control.observed:  # nobody is to blame, and it is missing here, too
            verdict = Verdict(Result.SKIP, control.reason)
            return self._finding(check, command_of(check, self._context, what), verdict, control.observed, 0.0)
        finding = self._finding(check, command_of(check, self._context, what), verdict, {}, 0.0)
        return dataclasses.replace(finding, because=check.depends or "")

    def _finding(
        self, check: Check, command: Iterable[str], verdict: Verdict, observed: Mapping[str, object], seconds: float
    ) -> VerifyFinding:
        return VerifyFinding(
            id=check.id,
            title=check.title,
            category=check.category,
            service=check.service,
            severity=check.severity,
            result=verdict.result,
            expected=check.expect.to_mapping(),
            observed=observed,
            reason=verdict.reason,
            command=tuple(command),
            why=check.why,
            hint=check.hint,
            tls_version=check.tls_version or "",
            dependency=check.id not in self._asked_for,
            duration_ms=seconds * 1000,
        )


def _asks_once(check: Check) -> tuple[bool, bool]:
    return not check.shows, check.procedure == PROBE


def _verdict(
    shot: _Shot, said: ServerSaid | None, known: Mapping[str, ServerSaid] | None, right_status: int
) -> Verdict:
    result = shot.result
    if known and result.verdict_by_log:
        return result.verdict_by_log(known)
    if result.verdict is not None:
        return result.verdict
    if result.seen is None:
        raise ValueError(f"the procedure {shot.check.procedure!r} has neither seen anything nor given a verdict")
    return judge(shot.check, result.seen, said, shot.page, right_status=right_status)


def _unmarked(shot: _Shot) -> Unmarked | None:
    """What the line of a request without a nonce in the log must say; None for another request."""
    seen, asked = shot.result.seen, shot.result.asked
    if seen is None or asked is None or shot.result.attempt.nonce:
        return None
    shown = seen.sent_fingerprint if seen.presented else ""
    return Unmarked(shot.check.service, seen.local_port, *asked, status=str(seen.status or ""), fingerprint=shown)


def _nobody_waits(_name: str) -> None:
    """The credentials are there already."""


def _not_the_servers_fault(verdict: Verdict, observed: Mapping[str, object]) -> Verdict:
    """A failure that this machine's own OpenSSL policy explains is none of the server."""
    local = observed.get("outcome") == Outcome.LOCAL.value
    if verdict.result is Result.INCONCLUSIVE and local and (policy := described()):
        return Verdict(Result.INCONCLUSIVE, f"{verdict.reason} Perhaps because {policy}.")
    refused = observed.get("outcome") == Outcome.REFUSED_BY_ALERT.value and observed.get("alert") in _NOTHING_IN_COMMON
    if verdict.result is Result.FAIL and refused and (policy := described()):
        return Verdict(Result.INCONCLUSIVE, f"Could not be judged here: {policy}. {verdict.reason}")
    return verdict


def _nobody(_finding: VerifyFinding, _total: int) -> None:
    """The observer of a run that nobody watches."""

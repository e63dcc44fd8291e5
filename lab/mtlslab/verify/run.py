"""The use case ``verify``: issue the faulty credentials that the checks need, then run the checks against a lab."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from mtlslab.errors import CannotJudgeError, MachineError
from mtlslab.lifecycle.where import find_running, nothing_runs
from mtlslab.pki.keys import require_digests
from mtlslab.plan.paths import CLIENT_CERT, CLIENT_KEY, SERVER_CA
from mtlslab.plan.services import LabPlan, make_plan
from mtlslab.plan.spec import LabSpec, make_spec, reachable_address
from mtlslab.probe.policy import require_client
from mtlslab.runtime.base import Dump, LogLine, OpenSocket, Runtime, Surroundings
from mtlslab.runtime.choose import Runtimes
from mtlslab.verify.checks import Check, Outcome, catalogue, select
from mtlslab.verify.checks.fitted import fitted
from mtlslab.verify.context import VerifyContext
from mtlslab.verify.doors.model import DEFAULT_DOORS, DoorList
from mtlslab.verify.doors.survey import Survey
from mtlslab.verify.report import VerifyReport
from mtlslab.verify.rules.load import Ask, Look, Reading
from mtlslab.verify.runner import Observer, run_checks
from mtlslab.verify.server_log import ReadLog
from mtlslab.workspace.fault_cache import issued
from mtlslab.workspace.shape import shape_of
from mtlslab.workspace.target import Target

if TYPE_CHECKING:
    from mtlslab.verify.pictures import Picture

Find = Callable[[], Runtime | None]
"""Gives the runtime in which something of the lab exists; None without one."""


def verify(
    target: Target,
    only: Sequence[str] = (),
    *,
    strict: bool = False,
    observer: Observer | None = None,
    doors: int = DEFAULT_DOORS,
) -> VerifyReport:
    """Run the checks that ``only`` means against a lab, and the positive controls that they depend on.

    Args:
        target: the lab.
        only: ids of checks, beginnings of ids or patterns; empty for all.
        strict: whether a warning is as bad as a failure.
        observer: is told of each finding as it comes.
        doors: how many knocks at doors there may be.

    Raises:
        LabNotFoundError: there is no such lab.
        SpecError: ``only`` means no check, or a file of the lab is damaged.
        CannotJudgeError: this machine's OpenSSL has no algorithms for it.
    """
    _require_crypto()
    workspace = target.workspace
    record = workspace.require()
    spec = make_spec(record.spec)
    context = make_context(target, spec, record.runtime)

    with workspace.lock(), issued(workspace) as issue:
        runtimes = Runtimes(workspace.directory)
        # Looked at now, and not in the middle of the checks: it may be unknown, or out of reach.
        contained = bool(record.runtime) and runtimes.named(record.runtime).uses_image()
        find = _finder(target, runtimes)
        reading = Reading(workspace, spec, asker(target, find), looker(find), contained=contained)
        context = with_survey(dataclasses.replace(context, configuration=reading), target, spec, find, doors)
        return run_checks(
            context,
            only,
            issue=issue,
            observer=observer,
            checks=None if only or reading().heard else without_rules(context),
            read_log=log_reader(target, find),
            strict=strict,
        )


def listed_doors(target: Target, most: int = DEFAULT_DOORS) -> DoorList:
    """The doors at which ``verify`` would knock; nothing is tried.

    Raises:
        LabNotFoundError: there is no such lab.
    """
    workspace = target.workspace
    record = workspace.require()
    spec = make_spec(record.spec)
    runtimes = Runtimes(workspace.directory)
    contained = bool(record.runtime) and runtimes.named(record.runtime).uses_image()
    find = _finder(target, runtimes)
    reading = Reading(workspace, spec, asker(target, find), contained=contained)
    context = dataclasses.replace(make_context(target, spec, record.runtime), configuration=reading)
    survey = with_survey(context, target, spec, find, most).doors
    return survey() if survey else DoorList((), {})


def with_survey(context: VerifyContext, target: Target, spec: LabSpec, find: Find, most: int) -> VerifyContext:
    """The same lab, with its doors: those of its configuration and those of the sockets that are open."""

    def sockets() -> Sequence[OpenSocket]:
        runtime = find()
        if runtime is None:
            raise nothing_runs(target.name)
        return runtime.open_sockets(make_plan(spec, target.workspace.directory, image="", user=""))

    return dataclasses.replace(context, doors=Survey(context, sockets, most=most, listen=spec.listen))


def _require_crypto() -> None:
    try:
        require_digests()
        require_client()
    except MachineError as error:
        raise CannotJudgeError(f"Nothing could be judged here. {error.what}", why=error.why, hint=error.hint) from error


def without_rules(context: VerifyContext) -> tuple[Check, ...]:
    """The checks for a lab whose nginx does not tell what it reads: what nobody asked for must not decide then."""
    return tuple(check for check in catalogue(crl=context.crl) if check.expect.outcome is not Outcome.CONFIGURED)


def record_pictures(target: Target) -> tuple[Picture, ...]:
    """Real handshakes with the mTLS server of a lab, message by message, for a report that shows them.

    Raises:
        LabNotFoundError: there is no such lab.
    """
    from mtlslab.verify.pictures import record_examples

    workspace = target.workspace
    record = workspace.require()
    with workspace.lock(), issued(workspace) as issue:
        return record_examples(make_context(target, make_spec(record.spec), record.runtime), issue)


def make_context(target: Target, spec: LabSpec, runtime: str) -> VerifyContext:
    """A lab as the checks see it; ``runtime`` is what runs it, empty when that is not known.

    Raises:
        MachineError: what stands in place of a file that OpenSSL would read is none: it would wait for a FIFO forever.
    """
    for path in (SERVER_CA, CLIENT_CERT, CLIENT_KEY):
        target.workspace.read(path)
    return VerifyContext(
        directory=target.workspace.directory,
        lab=spec.name,
        runtime=runtime or "started by hand",
        tls_port=spec.tls_port,
        mtls_port=spec.mtls_port,
        address=reachable_address(spec.listen),
        crl=spec.crl,
        log_token=spec.log_token,
    )


def listed(target: Target, only: Sequence[str] = ()) -> tuple[Check, ...]:
    """The checks that ``only`` means for a lab; there need not be one.

    Raises:
        SpecError: ``only`` means no check.
    """
    crl = bool(target.record and target.record.spec.get("crl"))
    return select(fitted(catalogue(crl=crl), shape_of(target.workspace)), only)


def log_reader(target: Target, find: Find) -> ReadLog:
    """Reads the ends of the services' logs in the runtime in which the lab runs."""

    def read(tail: int) -> Iterable[LogLine]:
        runtime = find()
        return runtime.logs(target.name, tail=tail) if runtime else ()

    return read


def asker(target: Target, find: Find) -> Ask:
    """Asks the runtime in which the lab runs for the configurations of its services."""

    def ask(plan: LabPlan) -> Sequence[Dump]:
        runtime = find()
        if runtime is None:
            raise nothing_runs(target.name)
        return runtime.configurations(plan)

    return ask


def looker(find: Find) -> Look:
    """Asks the runtime in which the lab runs what its containers or processes may reach."""

    def look(plan: LabPlan) -> tuple[Surroundings, ...]:
        runtime = find()
        return runtime.surroundings(plan) if runtime else ()

    return look


def _finder(target: Target, runtimes: Runtimes) -> Find:
    """Looks for the runtime when it is first asked for, and keeps what it has found."""
    found: list[Runtime] = []

    def find() -> Runtime | None:
        if not found:
            found.extend(filter(None, [find_running(target, runtimes)]))
        return found[0] if found else None

    return find

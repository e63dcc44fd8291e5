"""The use case ``verify --prove``: start sabotaged twins of a lab and require that the checks go red on each."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fnmatch
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mtlslab.errors import ExitCode, MachineError, SpecError
from mtlslab.lifecycle.interrupts import undisturbed, worker_pool
from mtlslab.lifecycle.leftovers import end_twins
from mtlslab.pki.faults import FAULTS
from mtlslab.plan.spec import LabSpec, make_spec
from mtlslab.probe.attempt import attempt
from mtlslab.probe.model import Attempt, Observation
from mtlslab.runtime.base import Runtime
from mtlslab.runtime.choose import Runtimes
from mtlslab.runtime.table import other_runtimes
from mtlslab.verify.checks import Result
from mtlslab.verify.doors.model import DEFAULT_DOORS
from mtlslab.verify.proof.mutants import CONTROLS, MUTANTS, Mutant
from mtlslab.verify.proof.twins import StoppedError, Twin, make_twin, running
from mtlslab.verify.report import VerifyReport
from mtlslab.verify.rules.load import Reading
from mtlslab.verify.run import make_context, with_survey
from mtlslab.verify.runner import run_checks
from mtlslab.workspace.directory import TWINS_DIRECTORY, Workspace
from mtlslab.workspace.fault_cache import issued
from mtlslab.workspace.target import Target
from mtlslab.workspace.trust import refuse, require_trust

SCHEMA = "mtlslab.prove/1"
# A twin costs processor time (handshakes) and waiting (the engine); two at a time keep two cores busy.
SIDE_BY_SIDE = 2
_RENDERED = 2  # the first controls


@dataclasses.dataclass(frozen=True)
class TwinResult:
    """What the checks made of one twin.

    Attributes:
        name, title: the mutant's.
        control: whether it is a faithful twin, on which no check may fail.
        caught_by: ids of the checks that failed.
        checks: how many ran.
    """

    name: str
    title: str
    control: bool
    caught_by: tuple[str, ...]
    checks: int

    @property
    def good(self) -> bool:
        """Whether the checks did right by this twin."""
        return bool(self.caught_by) != self.control


@dataclasses.dataclass(frozen=True)
class Proof:
    """All twins of one lab.

    Attributes:
        lab: its name.
        runtime: what ran the twins.
        twins: what the checks made of each, the faithful ones first.
        duration_ms: milliseconds that all took together.
    """

    lab: str
    runtime: str
    twins: tuple[TwinResult, ...]
    duration_ms: float = 0.0

    @property
    def mutants(self) -> tuple[TwinResult, ...]:
        """The sabotaged twins."""
        return tuple(twin for twin in self.twins if not twin.control)

    @property
    def false_alarms(self) -> tuple[TwinResult, ...]:
        """The faithful twins on which a check failed, or could not tell."""
        return tuple(twin for twin in self.twins if twin.control and not twin.good)

    @property
    def survivors(self) -> tuple[TwinResult, ...]:
        """The sabotaged twins that no check caught."""
        return tuple(twin for twin in self.mutants if not twin.good)

    @property
    def score(self) -> float:
        """The share of mutants that were caught, from 0 to 1."""
        return 1 - len(self.survivors) / len(self.mutants) if self.mutants else 0.0

    @property
    def exit_code(self) -> ExitCode:
        """Inconclusive when a faithful twin is not green (then nothing is proved), else whether all were caught."""
        if not self.mutants or self.false_alarms:
            return ExitCode.INCONCLUSIVE
        return ExitCode.CHECK_FAILED if self.survivors else ExitCode.OK

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready values, schema ``mtlslab.prove/1``."""
        return {
            "schema": SCHEMA,
            "lab": self.lab,
            "runtime": self.runtime,
            "success": self.exit_code is ExitCode.OK,
            "exit_code": int(self.exit_code),
            "duration_ms": round(self.duration_ms, 1),
            "score": round(self.score, 4),
            "false_alarms": [twin.name for twin in self.false_alarms],
            "twins": [{**dataclasses.asdict(twin), "good": twin.good} for twin in self.twins],
        }


def prove(
    target: Target,
    runtime: Runtime,
    names: Iterable[str] = (),
    *,
    observer: Callable[[TwinResult], None] = lambda _: None,
) -> Proof:
    """Run the checks on sabotaged twins of a lab, which itself is left alone.

    Args:
        target: the lab; need not run.
        runtime: runs the twins.
        names: of mutants, of kinds of mutants, or patterns of either; all when empty.
        observer: is told of every twin as it is done.

    Raises:
        LabNotFoundError: there is no such lab.
        SpecError: there is no such mutant, or the lab came from elsewhere and is not trusted.
        MachineError, NotReadyError: a twin does not start.
    """
    workspace, begin = target.workspace, time.perf_counter()
    chosen = tuple(one for one in _chosen(names) if one.fits(runtime))
    # For a few mutants, the faithful twins as rendered will do.
    controls = tuple(CONTROLS.values())[: _RENDERED if names else None]
    _require_here(runtime)
    stop = threading.Event()
    workspace.require()
    with workspace.lock(), _no_twins_left(workspace):
        record = workspace.require()
        spec = make_spec(record.spec)
        # Twins are our own, but their image is the one that the lab names.
        require_trust(workspace, record, refuse, lambda _: None, command="up")

        def result_of(mutant: Mutant) -> TwinResult:
            result = _result_of_twin(workspace, spec, mutant, runtime, record.image or spec.image, stop)
            observer(result)
            return result

        # Issued once for the lab: a twin has no keys but the server's.
        with issued(workspace) as issue:
            issue(list(FAULTS))
        with worker_pool(SIDE_BY_SIDE) as pool:
            try:
                results = tuple(pool.map(result_of, (*controls, *chosen)))
            except BaseException:
                stop.set()
                raise
    return Proof(spec.name, runtime.name, results, (time.perf_counter() - begin) * 1000)


def _require_here(runtime: Runtime) -> None:
    if not runtime.publishes_here():
        raise MachineError(
            "The twins of a proof cannot be reached on another machine.",
            why="they let unauthorised clients in, so they listen on that machine's loopback address only",
            hint=f"Type the command there, or start the lab in another runtime: {other_runtimes(runtime.name)}",
        )


@contextlib.contextmanager
def _no_twins_left(workspace: Workspace) -> Iterator[None]:
    """End what an earlier proof has left when it was killed; at the end of the block, remove the twins' directories.

    To be called under the lock: a proof that is still at work holds it.
    """
    end_twins(workspace, Runtimes(workspace.directory).reachable())
    try:
        yield
    finally:
        with undisturbed():
            workspace.remove([TWINS_DIRECTORY])


def _chosen(names: Iterable[str]) -> tuple[Mutant, ...]:
    """The mutants that any of ``names`` means, in their order; all without one."""
    wanted = set(names)
    for name in sorted(wanted):
        if not any(_meant(name, mutant) for mutant in MUTANTS.values()):
            kinds = dict.fromkeys(mutant.kind for mutant in MUTANTS.values())
            hint = f"There are the kinds {', '.join(kinds)}, and of them: {', '.join(MUTANTS)}"
            raise SpecError(f"There is no mutant {name!r}.", hint=hint)
    return tuple(one for one in MUTANTS.values() if not wanted or any(_meant(name, one) for name in wanted))


def _meant(name: str, mutant: Mutant) -> bool:
    return any(fnmatch.fnmatchcase(word, name) for word in (mutant.name, mutant.kind))


def _result_of_twin(
    workspace: Workspace, spec: LabSpec, mutant: Mutant, runtime: Runtime, image: str, stop: threading.Event
) -> TwinResult:
    now = datetime.datetime.now(datetime.UTC)
    try:
        twin = make_twin(workspace, spec, mutant.name, crl=mutant.crl, now=now)
        mutant.sabotage(twin)
        with running(twin, runtime, image, stop):
            report = checked(twin, runtime, mutant.only, stop)
    except FileNotFoundError as error:
        why = f"{error.filename} has gone: was the lab's directory removed meanwhile?"
        raise MachineError(f"The twin {mutant.name!r} could not be checked.", why=why) from error
    caught = tuple(finding.id for finding in report.findings if finding.result is Result.FAIL)
    control = mutant.name in CONTROLS
    # A faithful twin must be judged in every respect: what could not be told there proves nothing elsewhere either.
    unjudged = control and report.uncertain
    unsure = tuple(f.id for f in report.findings if unjudged and f.result in (Result.INCONCLUSIVE, Result.SKIP))
    return TwinResult(mutant.name, mutant.title, control, caught + unsure, len(report.findings))


def checked(twin: Twin, runtime: Runtime, only: Iterable[str], stop: threading.Event) -> VerifyReport:
    """Run checks on a twin that runs.

    Args:
        twin: the twin.
        runtime: what it runs in.
        only: ids of checks, beginnings of ids or patterns; empty for all.
        stop: ends the run when it is set.

    Raises:
        StoppedError: ``stop`` was set.
    """
    spec, workspace = twin.spec, twin.workspace
    context = make_context(Target(spec.name, workspace, workspace.record()), spec, runtime.name)
    reading = Reading(workspace, spec, runtime.configurations, runtime.surroundings)
    context = dataclasses.replace(context, lab_directory=twin.lab.directory, configuration=reading)
    target = Target(spec.name, workspace, workspace.record())
    context = with_survey(context, target, spec, lambda: runtime, DEFAULT_DOORS)

    def probe(what: Attempt) -> Observation:
        if stop.is_set():
            raise StoppedError
        return attempt(what)

    return run_checks(context, only, probe=probe, read_log=lambda tail: runtime.logs(spec.name, tail=tail))

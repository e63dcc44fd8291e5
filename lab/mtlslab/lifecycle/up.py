"""The use case ``up``: from what is asked for to two services that answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mtlslab.errors import LabError
from mtlslab.lifecycle.asked import UpOptions, asked_spec, last_image, save_record
from mtlslab.lifecycle.files import write_certificates, write_files
from mtlslab.lifecycle.interrupts import undisturbed
from mtlslab.lifecycle.ready import wait_until_ready
from mtlslab.lifecycle.timings import Timings
from mtlslab.lifecycle.where import Say, recorded_runtime, refuse_foreign
from mtlslab.pki import KeyPool
from mtlslab.plan.render import load_templates
from mtlslab.plan.spec import LabSpec, make_spec
from mtlslab.runtime.base import Runtime, ServiceStatus
from mtlslab.runtime.choose import Runtimes
from mtlslab.runtime.ports import check_ports_free, pick_ports
from mtlslab.runtime.table import AUTO
from mtlslab.workspace.renewal import begin_keys
from mtlslab.workspace.target import Target, look_again
from mtlslab.workspace.trust import require_trust


@dataclasses.dataclass(frozen=True)
class UpResult:
    """What runs now: the spec with its settled ports, the runtime in words, what was started and what already ran."""

    spec: LabSpec
    runtime: str
    started: tuple[str, ...]
    kept: tuple[str, ...]


def up(target: Target, options: UpOptions, say: Say, timings: Timings) -> UpResult:
    """Bring a lab up, or bring what runs in line with what is asked; returns when both endpoints answer.

    Raises:
        SpecError, MachineError: what is asked cannot be had, or the lab came from elsewhere and is not trusted.
        NotReadyError: an endpoint did not answer in time; what this call started is gone again, unless ``retain``.
    """
    workspace = target.workspace
    # Where there is no lab yet, what is asked for is looked at before anything is written.
    outlook = None if workspace.exists() else _look(target, options, say, timings)
    workspace.create()
    with workspace.lock():
        target = look_again(target)
        if target.record:
            require_trust(workspace, target.record, options.trusts, say, command="up")
        if outlook is None or target.record is not None:
            outlook = _look(target, options, say, timings)
        for other in outlook.elsewhere:
            say(f"Stopping the lab in the runtime {other.name}: it runs in one at a time.")
            other.stop(outlook.spec.name)
        try:
            return _bring_up(target, outlook, options, say, timings)
        except BaseException:
            # Only a lab that did not run before is taken away again: what ran before is not ours to remove.
            if not outlook.running and not options.retain:
                _take_away(outlook.spec.name, outlook.runtime, say)
            raise


@dataclasses.dataclass(frozen=True)
class _Outlook:
    """What is asked for, with settled ports; what runs in the runtime that is meant, and in which others; new keys."""

    spec: LabSpec
    runtime: Runtime
    running: tuple[ServiceStatus, ...]
    elsewhere: tuple[Runtime, ...]
    keys: KeyPool | None


def _look(target: Target, options: UpOptions, say: Say, timings: Timings) -> _Outlook:
    spec = asked_spec(target, options, say)
    directory, keys = target.workspace.directory, None
    if options.rotate_certs or not (target.record and target.workspace.certificates()):
        keys = begin_keys(spec)
    with timings.step("choose the runtime"):
        runtimes = Runtimes(directory, nginx=options.nginx, pull=options.pull, say=say)
        runtime = _runtime_for_up(target, options, runtimes, say)
        running = runtime.status(spec.name)
        elsewhere = _running_elsewhere(target, runtimes, runtime)
    refuse_foreign(spec.name, directory, running)
    spec = _settled(spec, _own_ports(target) if running or elsewhere else (), here=runtime.publishes_here())
    return _Outlook(spec, runtime, running, elsewhere, keys)


def _take_away(lab: str, runtime: Runtime, say: Say) -> None:
    """Stop what a failed `up` started. Why it failed is what counts: a second error must not hide the first."""
    try:
        with undisturbed():
            runtime.stop(lab)
    except LabError as error:
        say(f"What was started may still be there, because it could not be stopped: {error.what}")


def _bring_up(target: Target, outlook: _Outlook, options: UpOptions, say: Say, timings: Timings) -> UpResult:
    workspace, spec, runtime = target.workspace, outlook.spec, outlook.runtime
    save_record(target, spec, say, runtime=runtime.name)
    # The engine fetches the image and makes the network while this machine's other core makes keys.
    with ThreadPoolExecutor(1) as pool:
        wanted = spec.image if runtime.uses_image() else last_image(target, spec)
        prepared = pool.submit(_timed, timings, "image and network", lambda: runtime.prepare(spec.name, wanted))
        # The keys may still be in the making: this costs no time then.
        with timings.step("templates"):
            load_templates()
        with timings.step("certificates"):
            write_certificates(workspace, spec, rotate=options.rotate_certs, say=say, keys=outlook.keys)
        image = prepared.result()
    save_record(target, spec, say, runtime=runtime.name, image=image)
    with timings.step("render"):
        copied = runtime.copies_files()
        plan = write_files(workspace, spec, image, overwrite=options.overwrite, say=say, copied=copied)
    with timings.step("start the services"):
        started = runtime.start(plan)
    try:
        with timings.step("ready"):
            wait_until_ready(plan, runtime, seconds=options.wait)
    except BaseException:
        if started.kept and started.created and not options.retain:
            with undisturbed():
                runtime.stop(spec.name, started.created)
        raise
    return UpResult(spec, runtime.describe(), started.created, started.kept)


def _timed(timings: Timings, step: str, work: Callable[[], str]) -> str:
    with timings.step(step):
        return work()


def _settled(spec: LabSpec, own: tuple[int, ...], *, here: bool) -> LabSpec:
    """The spec with free ports in place of 0; all other ports are checked, except those that the lab itself holds.

    Where the lab runs, 0 is content with the ``own`` ports (TLS, mTLS): the same `up` typed twice changes nothing.

    Ports that are not bound on this machine (``here`` False) are not checked: whoever holds them here forwards them.
    """
    spec = pick_ports(_with_own_ports(spec, *own) if own else spec)
    if not here:
        return spec
    ports = tuple(port for port in (spec.tls_port, spec.mtls_port) if port not in own)
    check_ports_free(spec.listen, ports, mtls_port=spec.mtls_port)
    return spec


def _with_own_ports(spec: LabSpec, own_tls: int, own_mtls: int) -> LabSpec:
    """The spec with the lab's own ports in place of 0, unless one of them is now asked for the other service."""
    tls = spec.tls_port or (own_tls if own_tls != spec.mtls_port else 0)
    mtls = spec.mtls_port or (own_mtls if own_mtls != tls else 0)
    return dataclasses.replace(spec, tls_port=tls, mtls_port=mtls)


def _own_ports(target: Target) -> tuple[int, ...]:
    if target.record is None:
        return ()
    stored = make_spec(target.record.spec)
    return stored.tls_port, stored.mtls_port


def _runtime_for_up(target: Target, options: UpOptions, runtimes: Runtimes, say: Say) -> Runtime:
    """The asked runtime; with ``auto`` the one in which the lab already runs, before any other."""
    recorded = recorded_runtime(target)
    if options.runtime == AUTO and not runtimes.meant and recorded:
        # Raises where that is out of reach: what runs in it may come back with it.
        runtime = next(runtimes.all(recorded))
        if runtime.status(target.name):
            say(f"Runtime: {runtime.name}, because the lab already runs there.")
            return runtime
    return runtimes.choose(options.runtime)


def _running_elsewhere(target: Target, runtimes: Runtimes, chosen: Runtime) -> tuple[Runtime, ...]:
    """The other runtimes in which something of the lab exists."""
    if target.record is None:
        return ()
    return tuple(other for other in runtimes.reachable() if other.name != chosen.name and other.status(target.name))

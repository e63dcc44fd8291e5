"""The use case ``up``: write the files of a lab, start its two services and wait until both answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mtlslab.errors import LabError, MachineError, SpecError
from mtlslab.lifecycle.asked import UpOptions, asked_spec, last_image, save_record
from mtlslab.lifecycle.control import why_not_served
from mtlslab.lifecycle.detours import detours
from mtlslab.lifecycle.files import write_certificates, write_files
from mtlslab.lifecycle.interrupts import undisturbed
from mtlslab.lifecycle.ready import wait_until_ready
from mtlslab.lifecycle.timings import Timings
from mtlslab.lifecycle.where import Say, may_remain, other_port, recorded_runtime, refuse_foreign, unreached_runtimes
from mtlslab.pki import KeyPool
from mtlslab.plan.render import load_templates
from mtlslab.plan.services import LabPlan
from mtlslab.plan.shell import shell_line
from mtlslab.plan.spec import LabSpec, make_spec
from mtlslab.probe.policy import require_client
from mtlslab.runtime.base import Runtime, ServiceStatus, State
from mtlslab.runtime.choose import Runtimes
from mtlslab.runtime.ports import check_ports_free, pick_ports
from mtlslab.runtime.table import AUTO
from mtlslab.workspace.renewal import begin_keys
from mtlslab.workspace.target import Target, look_again
from mtlslab.workspace.trust import require_trust


@dataclasses.dataclass(frozen=True)
class UpResult:
    """The lab as it runs now.

    Attributes:
        spec: the settings; no port is 0.
        runtime: description of the runtime, see :meth:`mtlslab.runtime.base.Runtime.describe`.
        started: names of the services that ``up`` started.
        kept: names of the services that already ran as the spec asks.
        refusal: why the lab's own client was not served; empty when it was.
    """

    spec: LabSpec
    runtime: str
    started: tuple[str, ...]
    kept: tuple[str, ...]
    refusal: str = ""


def up(target: Target, options: UpOptions, say: Say, timings: Timings) -> UpResult:
    """Start a lab, or change what runs to match the options; returns when both services answer.

    Args:
        target: the lab; its workspace is created if it does not exist.
        options: what the user asks for.
        say: told in a sentence each what the user may want to know.
        timings: gets the duration of each step.

    Raises:
        SpecError: an option or a file of the lab is invalid, or the lab came from elsewhere and is not trusted.
        MachineError: no runtime, image or port can be used, a service cannot be started, or OpenSSL makes no client.
        NotReadyError: a service did not answer in time. What this call started is removed, unless ``retain``.
    """
    require_client()
    workspace = target.workspace
    # Before a new lab is created, check that it could run: an error then leaves no files.
    outlook = None if workspace.exists() else _look(target, options, say, timings)
    workspace.create()
    with workspace.lock():
        target = look_again(target)
        if target.record:
            require_trust(workspace, target.record, options.trusts, say, command="up")
        if outlook is None or target.record is not None:
            outlook = _look(target, options, say, timings)
        for other in outlook.elsewhere:
            say(f"Stopping the lab in the runtime {other.name}: a lab runs in one runtime at a time.")
            other.stop(outlook.spec.name)
        if outlook.runtime.publishes_here():
            for sentence in detours(outlook.spec):
                say(f"WARNING: {sentence}")
        try:
            return _bring_up(target, outlook, options, say, timings)
        except BaseException:
            # A lab that ran before this call is not removed.
            if not outlook.running and not options.retain:
                _take_away(outlook.spec.name, outlook.runtime, say)
            raise


@dataclasses.dataclass(frozen=True)
class _Outlook:
    """What ``up`` finds out before it writes or starts anything.

    Attributes:
        spec: the settings; no port is 0.
        runtime: the runtime to use.
        running: the lab's services that exist in that runtime.
        elsewhere: other runtimes in which services of the lab exist.
        unreached: runtimes in which the lab was started, and that cannot be reached now.
        keys: private keys that are being generated in the background; None if no new ones are expected.
    """

    spec: LabSpec
    runtime: Runtime
    running: tuple[ServiceStatus, ...]
    elsewhere: tuple[Runtime, ...]
    unreached: tuple[str, ...]
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
    # Looked at again: another `up` may have made the lab and started it a moment ago.
    if running and look_again(target).record is None:
        raise _directory_is_gone(spec.name)
    unreached = unreached_runtimes(target, runtimes)
    if unreached:
        say(f"{may_remain(unreached)} mtlslab down ends it when that can be reached again.")
    try:
        spec = _settled(spec, _own_ports(target) if running or elsewhere else (), here=runtime.publishes_here())
    except MachineError:
        if target.record is None and any(other.status(spec.name) for other in runtimes.reachable()):
            raise _directory_is_gone(spec.name) from None
        raise
    return _Outlook(spec, runtime, running, elsewhere, unreached, keys)


def _directory_is_gone(lab: str) -> MachineError:
    return MachineError(
        f"Services of a lab called {lab!r} still run.",
        why="their directory is gone, or is no lab any more",
        hint=f"Take them away, then start the lab anew: {shell_line(['mtlslab', 'down', '--name', lab])}",
    )


def _take_away(lab: str, runtime: Runtime, say: Say) -> None:
    """Stop what a failed ``up`` started. An error here is only reported: it must not replace the first one."""
    try:
        with undisturbed():
            runtime.stop(lab)
    except LabError as error:
        say(f"What was started may still be there, because it could not be stopped: {error.what}")


def _bring_up(target: Target, outlook: _Outlook, options: UpOptions, say: Say, timings: Timings) -> UpResult:
    workspace, spec, runtime = target.workspace, outlook.spec, outlook.runtime
    save_record(target, spec, say, runtime=runtime.name, unreached=outlook.unreached)
    # In parallel: the engine pulls the image and creates the network while this program generates keys.
    with ThreadPoolExecutor(1) as pool:
        wanted = spec.image if runtime.uses_image() else last_image(target, spec)
        prepared = pool.submit(_timed, timings, "image and network", lambda: runtime.prepare(spec.name, wanted))
        # Templates are loaded while the keys are still being generated.
        with timings.step("templates"):
            load_templates()
        with timings.step("certificates"):
            write_certificates(workspace, spec, rotate=options.rotate_certs, say=say, keys=outlook.keys)
        image = prepared.result()
    save_record(target, spec, say, runtime=runtime.name, image=image)
    with timings.step("render"):
        copied = runtime.copies_files()
        plan = write_files(workspace, spec, image, overwrite=options.overwrite, say=say, copied=copied)
    _tell_of_other_ports(plan, outlook, say)
    with timings.step("nginx -t"):
        _test_what_is_to_be_replaced(plan, outlook)
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
    with timings.step("the client"):
        refusal = why_not_served(workspace, spec)
    return UpResult(spec, runtime.describe(), started.created, started.kept, refusal)


def _tell_of_other_ports(plan: LabPlan, outlook: _Outlook, say: Say) -> None:
    """Say which services answer elsewhere than planned, as after an edit of docker-compose.yml; they are replaced."""
    for item in outlook.running:
        if elsewhere := item.answers_elsewhere(plan.listen, plan.service(item.service).port):
            say(other_port(item.service, elsewhere, plan.listen, plan.service(item.service).port) + " It is put back.")


def _test_what_is_to_be_replaced(plan: LabPlan, outlook: _Outlook) -> None:
    """Refuse a configuration that nginx refuses, before the server that runs is taken down for it."""
    for item in outlook.running:
        service = plan.service(item.service)
        if item.state is not State.RUNNING or item.fingerprint == service.fingerprint:
            continue
        try:
            outlook.runtime.test(plan, service)
        except MachineError as error:
            raise SpecError(error.what, why=error.lines, hint=f"Correct {service.conf}, then: mtlslab up") from error


def _timed(timings: Timings, step: str, work: Callable[[], str]) -> str:
    with timings.step(step):
        return work()


def _settled(spec: LabSpec, own: tuple[int, ...], *, here: bool) -> LabSpec:
    """The spec with free ports in place of 0. The other ports are checked, except those that the lab itself uses.

    Args:
        spec: the settings, in which a port may be 0.
        own: the ports (TLS, mTLS) of the running lab; they replace 0, so that the same `up` twice changes nothing.
        here: whether the ports are bound on this machine. If not, they are not checked: a program that listens on them
            here may be the one that forwards them.
    """
    spec = pick_ports(_with_own_ports(spec, *own) if own else spec)
    if not here:
        return spec
    ports = tuple(port for port in (spec.tls_port, spec.mtls_port) if port not in own)
    check_ports_free(spec.listen, ports, mtls_port=spec.mtls_port)
    return spec


def _with_own_ports(spec: LabSpec, own_tls: int, own_mtls: int) -> LabSpec:
    """The spec with the lab's own ports in place of 0, unless the user asks for that port for the other service."""
    tls = spec.tls_port or (own_tls if own_tls != spec.mtls_port else 0)
    mtls = spec.mtls_port or (own_mtls if own_mtls != tls else 0)
    return dataclasses.replace(spec, tls_port=tls, mtls_port=mtls)


def _own_ports(target: Target) -> tuple[int, ...]:
    if target.record is None:
        return ()
    stored = make_spec(target.record.spec)
    return stored.tls_port, stored.mtls_port


def _runtime_for_up(target: Target, options: UpOptions, runtimes: Runtimes, say: Say) -> Runtime:
    """The runtime that the user named; with ``auto`` first the one in which the lab already runs."""
    recorded = recorded_runtime(target)
    if options.runtime == AUTO and not runtimes.meant and recorded:
        # Fails if that runtime cannot be reached: the lab may still run there, and must not run in two runtimes.
        runtime = next(runtimes.all(recorded))
        if runtime.status(target.name):
            say(f"Runtime: {runtime.name}, because the lab already runs there.")
            return runtime
    return runtimes.choose(options.runtime)


def _running_elsewhere(target: Target, runtimes: Runtimes, chosen: Runtime) -> tuple[Runtime, ...]:
    """The other runtimes in which services of the lab exist."""
    if target.record is None:
        return ()
    return tuple(other for other in runtimes.reachable() if other.name != chosen.name and other.status(target.name))

"""The use cases: render, up, down, status, logs, reload.

The only module that knows the whole chain from spec to readiness.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mtlslab.errors import LabError, LabNotFoundError, MachineError
from mtlslab.lifecycle.files import plan_of, write_certificates, write_files
from mtlslab.lifecycle.interrupts import undisturbed
from mtlslab.lifecycle.leftovers import end_twins, list_twins, remove_twin_directories
from mtlslab.lifecycle.ready import wait_until_ready
from mtlslab.lifecycle.timings import Timings
from mtlslab.plan.paths import CRL
from mtlslab.plan.render import load_templates
from mtlslab.plan.shell import shell_line
from mtlslab.plan.spec import LabSpec, make_spec, new_log_token
from mtlslab.runtime.base import LogLine, Runtime, ServiceStatus, State
from mtlslab.runtime.choose import Runtimes
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.refusals import at_work
from mtlslab.workspace.target import Target, look_again
from mtlslab.workspace.trust import Trusts, forget, refuse, register_new, require_trust

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class UpOptions:
    """How to bring a lab up; the lab itself is in ``settings``.

    Attributes:
        settings: what the user set of the spec; None stands for "not set".
        runtime: auto, docker or embedded.
        nginx: binary for the embedded runtime.
        pull: missing, always or never.
        wait: seconds until both endpoints must answer.
        rotate_certs: throw the certificates away and issue new ones.
        overwrite: render over files that a person edited.
        retain: leave what was started in place when ``up`` fails, for inspection.
        trusts: is asked about a lab that came from elsewhere.
    """

    settings: Mapping[str, Any]
    runtime: str = "auto"
    nginx: Path | None = None
    pull: str = "missing"
    wait: float = 60
    rotate_certs: bool = False
    overwrite: bool = False
    retain: bool = False
    trusts: Trusts = refuse


@dataclasses.dataclass(frozen=True)
class UpResult:
    """What runs now: the spec with its settled ports, the runtime in words, what was started and what already ran."""

    spec: LabSpec
    runtime: str
    started: tuple[str, ...]
    kept: tuple[str, ...]


def write_lab(target: Target, options: UpOptions, say: Say) -> LabSpec:
    """Write certificates and files, start nothing and ask no engine; returns the spec.

    Raises:
        SpecError, MachineError: see :mod:`mtlslab.workspace.directory`.
    """
    from mtlslab.runtime.ports import pick_ports

    spec = pick_ports(_spec(target, options, say))
    workspace = target.workspace
    workspace.create()
    with workspace.lock():
        now = look_again(target)
        if now.record != target.record:
            target, spec = now, pick_ports(_spec(now, options, say))
        image = _last_image(target, spec)
        _save_record(target, spec, say, image=image)
        write_certificates(workspace, spec, rotate=options.rotate_certs, say=say)
        write_files(workspace, spec, image, overwrite=options.overwrite, say=say)
    return spec


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
        spec, runtime = outlook.spec, outlook.runtime
        for other in outlook.elsewhere:
            say(f"Stopping the lab in the runtime {other.name}: it runs in one at a time.")
            other.stop(spec.name)
        try:
            return _bring_up(target, spec, runtime, options, say, timings)
        except BaseException:
            # Only a lab that did not run before is taken away again: what ran before is not ours to remove.
            if not outlook.running and not options.retain:
                _take_away(spec.name, runtime, say)
            raise


def down(target: Target, *, purge: bool, say: Say) -> tuple[str, ...]:
    """Take away all that runs of a lab and of its sabotaged twins, whatever runs it, also when the workspace is gone.

    With ``purge`` the workspace goes too. Returns the names of what was removed.

    Raises:
        MachineError: the lab was started in Docker and no engine answers.
        NotOursError: with ``purge``: somebody else made the lab, or may change it; what ran is stopped.
    """
    workspace = target.workspace
    if target.not_ours:
        removed = _stop_everywhere(target, say, locked=True)
        if purge:
            raise target.not_ours
        say(f"{target.not_ours.what} It is left alone, and not asked for the lab's name: that is {target.name!r}.")
        return removed
    if not workspace.exists():
        return _stop_everywhere(target, say, locked=False)
    with workspace.lock():
        removed = _stop_everywhere(target, say, locked=True)
        remove_twin_directories(workspace, say)
        if purge:
            if target.record:
                forget(workspace, target.record)
            stayed = workspace.purge()
            say(f"Removed {workspace.directory}." if not stayed else f"Kept {workspace.directory}: {', '.join(stayed)}")
        else:
            _forget_runtime(workspace)
        return removed


@dataclasses.dataclass(frozen=True)
class LabStatus:
    """What exists of a lab.

    Attributes:
        services: pairs of runtime name and service status.
        twins: the same of its sabotaged twins, each with the twin's lab name in front.
    """

    services: tuple[tuple[str, ServiceStatus], ...]
    twins: tuple[tuple[str, str, ServiceStatus], ...]


def status(target: Target) -> LabStatus:
    """What exists of a lab and of its sabotaged twins: `verify --prove` is at work on those, or was killed."""
    runtimes = _runtimes(target).all(_recorded(target))
    services = tuple((runtime.name, item) for runtime in runtimes for item in runtime.status(target.name))
    return LabStatus(services, list_twins(target.workspace, runtimes))


def logs(target: Target, service: str | None, *, follow: bool, tail: int | None) -> Iterator[LogLine]:
    """The lines that the services wrote.

    Raises:
        LabNotFoundError: nothing of the lab exists.
    """
    return running_runtime(target).logs(target.name, service, follow=follow, tail=tail)


def reload(target: Target, say: Say, trusts: Trusts = refuse) -> None:
    """Have the running services take their edited configuration; ``trusts`` is asked about a lab from elsewhere.

    Raises:
        LabNotFoundError: nothing of the lab runs.
        SpecError: the lab came from elsewhere and is not trusted.
        MachineError: nginx refuses a configuration; its own words are in ``why``, and the old one keeps running.
    """
    workspace = target.workspace
    workspace.require()
    runtime = running_runtime(target)
    with workspace.lock():
        record = look_again(target).record or workspace.require()
        require_trust(workspace, record, trusts, say, command="reload")
        spec = make_spec(record.spec)
        plan = plan_of(workspace, spec, record.image or spec.image)
        for item in runtime.status(target.name):
            if item.state is State.RUNNING:
                runtime.reload(plan, plan.service(item.service))
                say(f"{item.service}: the configuration is applied.")


def running_runtime(target: Target) -> Runtime:
    """The runtime in which something of the lab exists.

    Raises:
        LabNotFoundError: there is none.
    """
    for runtime in _runtimes(target).all(_recorded(target)):
        if runtime.status(target.name):
            return runtime
    raise LabNotFoundError(f"Nothing runs of the lab {target.name!r}.", hint="Start it with: mtlslab up")


# --- the steps of `up`


@dataclasses.dataclass(frozen=True)
class _Outlook:
    """What is asked for, with settled ports, and what runs: in the runtime that is meant, and in which others."""

    spec: LabSpec
    runtime: Runtime
    running: tuple[ServiceStatus, ...]
    elsewhere: tuple[Runtime, ...]


def _look(target: Target, options: UpOptions, say: Say, timings: Timings) -> _Outlook:
    spec = _spec(target, options, say)
    directory = target.workspace.directory
    if options.rotate_certs or not (target.record and target.workspace.certificates()):
        from mtlslab.workspace.renewal import make_keys_ahead

        make_keys_ahead(spec)
    with timings.step("choose the runtime"):
        runtimes = Runtimes(directory, nginx=options.nginx, pull=options.pull, say=say)
        runtime = _runtime_for_up(target, options, runtimes, say)
        running = runtime.status(spec.name)
        elsewhere = _running_elsewhere(target, runtimes, runtime)
    _refuse_foreign(spec.name, directory, running)
    spec = _settled(spec, _own_ports(target) if running or elsewhere else (), here=runtime.publishes_here())
    return _Outlook(spec, runtime, running, elsewhere)


def _take_away(lab: str, runtime: Runtime, say: Say) -> None:
    """Stop what a failed `up` started. Why it failed is what counts: a second error must not hide the first."""
    try:
        with undisturbed():
            runtime.stop(lab)
    except LabError as error:
        say(f"What was started may still be there, because it could not be stopped: {error.what}")


def _bring_up(
    target: Target, spec: LabSpec, runtime: Runtime, options: UpOptions, say: Say, timings: Timings
) -> UpResult:
    workspace = target.workspace
    _save_record(target, spec, say, runtime=runtime.name)
    # The engine fetches the image and makes the network while this machine's other core makes keys.
    with ThreadPoolExecutor(1) as pool:
        wanted = spec.image if runtime.name == "docker" else _last_image(target, spec)
        prepared = pool.submit(_timed, timings, "image and network", lambda: runtime.prepare(spec.name, wanted))
        # The keys may still be in the making: this costs no time then.
        with timings.step("templates"):
            load_templates()
        with timings.step("certificates"):
            write_certificates(workspace, spec, rotate=options.rotate_certs, say=say)
        image = prepared.result()
    _save_record(target, spec, say, runtime=runtime.name, image=image)
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


def _spec(target: Target, options: UpOptions, say: Say) -> LabSpec:
    stored = target.record.spec if target.record else {}
    found: dict[str, Any] = {}
    # A list that somebody made is meant to be checked; new CAs make the old one worthless.
    if target.record and not options.rotate_certs and target.workspace.read(CRL) is not None:
        found["crl"] = True
    # At the bottom: a lab keeps the token that it has, so that the lines of earlier runs are known, too.
    spec = make_spec({"log_token": new_log_token()}, stored, found, options.settings, {"name": target.name})
    if found and spec.crl and not stored.get("crl"):
        say(f"{CRL} is there: the mTLS service checks it (--no-crl leaves it out).")
    return spec


def _settled(spec: LabSpec, own: tuple[int, ...], *, here: bool) -> LabSpec:
    """The spec with free ports in place of 0; all other ports are checked, except those that the lab itself holds.

    Where the lab runs, 0 is content with the ``own`` ports (TLS, mTLS): the same `up` typed twice changes nothing.

    Ports that are not bound on this machine (``here`` False) are not checked: whoever holds them here forwards them.
    """
    from mtlslab.runtime.ports import check_ports_free, pick_ports

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


def _last_image(target: Target, spec: LabSpec) -> str:
    """The image that the lab last ran on, if it is still asked for: the wanted one, or what was had in its place."""
    record = target.record
    return record.image if record and record.image and record.spec.get("image") == spec.image else spec.image


def _own_ports(target: Target) -> tuple[int, ...]:
    if target.record is None:
        return ()
    stored = make_spec(target.record.spec)
    return stored.tls_port, stored.mtls_port


def _save_record(target: Target, spec: LabSpec, say: Say, *, runtime: str = "", image: str = "") -> None:
    record = target.workspace.record() or register_new(target.workspace, say)
    target.workspace.save(
        dataclasses.replace(
            record, spec=spec.to_mapping(), runtime=runtime or record.runtime, image=image or record.image
        )
    )


# --- which runtime


def _runtime_for_up(target: Target, options: UpOptions, runtimes: Runtimes, say: Say) -> Runtime:
    """The asked runtime; with ``auto`` the one in which the lab already runs, before any other."""
    recorded = _recorded(target)
    if options.runtime == "auto" and options.nginx is None and recorded:
        # Raises where the lab was started in Docker and no engine answers: its containers may come back with it.
        runtime = runtimes.all(recorded)[0]
        if runtime.status(target.name):
            say(f"Runtime: {runtime.name}, because the lab already runs there.")
            return runtime
    return runtimes.choose(options.runtime)


def _runtimes(target: Target, say: Say = lambda _: None) -> Runtimes:
    return Runtimes(None if target.not_ours else target.workspace.directory, say=say)


def _recorded(target: Target) -> str:
    return target.record.runtime if target.record else ""


def _stop_everywhere(target: Target, say: Say, *, locked: bool) -> tuple[str, ...]:
    removed: tuple[str, ...] = ()
    runtimes = _runtimes(target, say).all(_recorded(target))
    for runtime in runtimes:
        _refuse_foreign(target.name, target.workspace.directory, runtime.status(target.name))
        # Where there was no lab there was no lock: what runs may be that of an `up` that began a moment ago.
        if not locked and target.workspace.exists():
            raise at_work(f"{target.workspace.directory} has just been made")
        removed += runtime.stop(target.name)
    return removed + end_twins(target.workspace, runtimes)


def _forget_runtime(workspace: Workspace) -> None:
    """Note that nothing runs any more; a disk that is full or read-only is no reason to fail after that."""
    with contextlib.suppress(LabError):
        record = workspace.record()
        if record and record.runtime:
            workspace.save(dataclasses.replace(record, runtime=""))


def _running_elsewhere(target: Target, runtimes: Runtimes, chosen: Runtime) -> tuple[Runtime, ...]:
    """The other runtimes in which something of the lab exists."""
    if target.record is None:
        return ()
    usable = (runtimes.embedded,) if runtimes.docker_problem else (runtimes.embedded, runtimes.docker)
    return tuple(other for other in usable if other.name != chosen.name and other.status(target.name))


def _refuse_foreign(name: str, directory: Path, running: tuple[ServiceStatus, ...]) -> None:
    """Refuse when what runs belongs to another directory that still holds a lab: the two would share labels."""
    for item in running:
        other = item.directory
        if other is None or other == directory or not Workspace(other).exists():
            continue
        raise MachineError(
            f"A lab called {name!r} already runs from {other}.",
            why="a name belongs to one lab on this machine",
            hint="Choose another with --name, or take that one down: "
            + shell_line(["mtlslab", "down", "--dir", other]),
        )

"""Sabotaged twins: copies of a lab with one thing wrong, on free ports, that the checks must catch.

A twin lies below ``twins/`` in the workspace of its lab: an engine that sees the lab sees it too. It is rendered
from the templates, not copied from edited files: what is on trial are the checks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import re
import time
from collections.abc import Iterator

from lab.context import FAULTS_DIRECTORY
from lab.errors import NotReadyError
from lab.issuing import keep_specimen
from lab.labfiles import plan_of
from lab.plan import MTLS_SERVICE, SERVER_KEY, LabPlan, make_plan, with_fingerprints
from lab.ports import pick_ports
from lab.probe import Attempt, attempt
from lab.ready import LAST_LINES, POLL_SECONDS, reachable_address
from lab.render import render
from lab.renewal import PKI_FILES
from lab.revocation import keep_crl
from lab.runtime.base import Runtime, State
from lab.spec import LabSpec
from lab.workspace import TWINS_DIRECTORY, LabRecord, Workspace

READY_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Twin:
    """A copy of a lab: files only, until it is started.

    Attributes:
        workspace: its own directory.
        spec: its own name and ports, otherwise the lab's settings.
        now: the time (aware UTC) at which its certificates are made.
    """

    workspace: Workspace
    spec: LabSpec
    now: datetime.datetime

    def edit(self, pattern: str, replacement: str, service: str = MTLS_SERVICE) -> None:
        """Replace a directive of a service's nginx.conf (regular expression, whole file).

        Raises:
            ValueError: the pattern is not there: a mutant that changes nothing would prove nothing.
        """
        self.edit_file(f"{service}/nginx.conf", pattern, replacement)

    def edit_file(self, path: str, pattern: str, replacement: str) -> None:
        """Replace text of a file of the twin; raises ValueError where there is nothing to replace."""
        text = (self.workspace.read(path) or b"").decode()
        changed, count = re.subn(pattern, replacement, text)
        if not count:
            raise ValueError(f"nothing in {path} matches {pattern!r}")
        self.workspace.write(path, changed.encode())


def make_twin(lab: Workspace, spec: LabSpec, name: str, *, crl: bool, now: datetime.datetime) -> Twin:
    """Copy a lab's certificates and render its files for free ports.

    Args:
        lab: the workspace of the lab.
        spec: its settings.
        name: of the twin; becomes a directory and, with the lab's name, its label.
        crl: whether a revocation list is checked; it revokes one credential of the zoo.
        now: the time (aware UTC).
    """
    own = pick_ports(dataclasses.replace(spec, name=twin_name(lab, name), tls_port=0, mtls_port=0, crl=crl))
    workspace = Workspace(lab.directory / TWINS_DIRECTORY / name)
    lab.remove([f"{TWINS_DIRECTORY}/{name}"])
    workspace.create()
    workspace.save(LabRecord(spec=own.to_mapping()))
    for path in PKI_FILES:
        content = lab.read(path) or b""
        if path.endswith(".key"):
            workspace.write_key(path, content, owner=workspace.key_owner() if path == SERVER_KEY else None)
        else:
            workspace.write(path, content)
    _copy_faults(lab, workspace)
    if crl:
        keep_crl(workspace, now=now, say=lambda _: None)
        keep_specimen(workspace)
    plan = make_plan(own, workspace.directory, image="", user="")
    for path, text in render(plan, own).items():
        workspace.write(path, text.encode())
    return Twin(workspace, own, now)


def _copy_faults(lab: Workspace, twin: Workspace) -> None:
    """Hand over the faulty credentials that the lab has: the twin's CAs are the same."""
    directory = lab.directory / FAULTS_DIRECTORY
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        relative = f"{FAULTS_DIRECTORY}/{path.name}"
        write = twin.write_key if path.suffix == ".key" else twin.write
        write(relative, lab.read(relative) or b"")


def twin_name(lab: Workspace, name: str) -> str:
    """The lab name of a twin: of this lab alone, whatever other labs on the machine are called."""
    return f"twin-{hashlib.sha256(str(lab.directory).encode()).hexdigest()[:6]}-{name}"[:40].rstrip("-_")


@contextlib.contextmanager
def running(twin: Twin, runtime: Runtime, image: str) -> Iterator[None]:
    """Run a twin for the length of a ``with`` statement; nothing of it stays.

    Raises:
        NotReadyError: it did not say a word in time.
        MachineError: the runtime cannot start it.
    """
    workspace, name = twin.workspace, twin.spec.name
    try:
        used = runtime.prepare(name, image)
        plan = plan_of(workspace, twin.spec, used, copied=runtime.copies_files())
        runtime.start(with_fingerprints(plan))
        _wait_until_heard(plan, runtime)
        yield
    finally:
        runtime.stop(name)
        _parent(workspace).remove([f"{TWINS_DIRECTORY}/{workspace.directory.name}"])


def _parent(workspace: Workspace) -> Workspace:
    return Workspace(workspace.directory.parent.parent)


def _wait_until_heard(plan: LabPlan, runtime: Runtime) -> None:
    """Return when both ports say anything at all: a sabotaged one may never speak TLS."""
    deadline = time.monotonic() + READY_SECONDS
    for service in plan.services:
        what = Attempt(port=service.port, address=reachable_address(plan.listen), insecure=True, timeout=1.0)
        while not attempt(what).heard:
            states = [item.state for item in runtime.status(plan.lab) if item.service == service.name]
            if time.monotonic() > deadline or State.RUNNING not in states:
                words = "\n".join(line.text for line in runtime.logs(plan.lab, service.name, tail=LAST_LINES))
                raise NotReadyError(f"The twin {plan.lab!r} did not get ready.", why=words or "it says nothing")
            time.sleep(POLL_SECONDS)

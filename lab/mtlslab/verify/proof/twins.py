"""Sabotaged twins: copies of a lab with one thing wrong, on free ports, that the checks must catch.

A twin lies below ``twins/`` in the workspace of its lab: an engine that sees the lab sees it too. It is rendered
from the templates, not copied from edited files: the checks are under test. It listens on loopback, wherever the lab
listens, and of private keys it has the server's only: what needs a CA's key, or a client's, uses the lab's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import re
import threading
import time
from collections.abc import Callable, Iterator

from mtlslab.errors import MachineError, NotReadyError
from mtlslab.lifecycle.files import plan_of
from mtlslab.lifecycle.leftovers import twin_name
from mtlslab.lifecycle.ready import LAST_LINES, POLL_SECONDS
from mtlslab.pki.crl import DAYS, issue_crl
from mtlslab.plan.paths import CLIENT_CA, CRL, SERVER_CA, SERVER_CERT, SERVER_KEY
from mtlslab.plan.render import render
from mtlslab.plan.services import MTLS_SERVICE, SERVICES, LabPlan, make_plan, with_fingerprints
from mtlslab.plan.spec import LabSpec
from mtlslab.probe.attempt import attempt
from mtlslab.probe.model import Attempt
from mtlslab.runtime.base import Runtime, State
from mtlslab.runtime.ports import pick_ports
from mtlslab.workspace.credentials import load_client_ca
from mtlslab.workspace.directory import TWINS_DIRECTORY, LabRecord, Workspace
from mtlslab.workspace.revocation import REVOKED_FAULT, serial_of

LOOPBACK = "127.0.0.1"
READY_SECONDS = 30.0
_CERTIFICATES = (SERVER_CA, CLIENT_CA, SERVER_CERT)


class StoppedError(Exception):
    """The proof ends early; nobody wants to know about this twin any more."""


@dataclasses.dataclass(frozen=True)
class Twin:
    """A copy of a lab: files only, until it is started.

    Attributes:
        lab: the workspace of its lab, with the CAs.
        workspace: its own directory.
        spec: its own name and ports, otherwise the lab's settings.
        now: the time (aware UTC) at which its certificates are made.
        plan_edits: what somebody did to the containers' plan, as by an edit of docker-compose.yml.
    """

    lab: Workspace
    workspace: Workspace
    spec: LabSpec
    now: datetime.datetime
    plan_edits: list[Callable[[LabPlan], LabPlan]] = dataclasses.field(default_factory=list)

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
    """Copy what a lab's servers need and render the files for free ports.

    Args:
        lab: the workspace of the lab, with the revoked fault where there is to be a list.
        spec: its settings.
        name: of the twin; becomes a directory and, with the lab's name, its label.
        crl: whether a revocation list is checked; it revokes that one credential.
        now: the time (aware UTC).

    Raises:
        LabError: the lab is gone or damaged, or the disk refuses a file.
    """
    own = dataclasses.replace(spec, name=twin_name(lab, name), listen=LOOPBACK, tls_port=0, mtls_port=0, crl=crl)
    own = pick_ports(own)
    record = lab.require()  # somebody may have removed it meanwhile: nothing is made in its place
    workspace = Workspace(lab.directory / TWINS_DIRECTORY / name)
    lab.remove([f"{TWINS_DIRECTORY}/{name}"])
    workspace.create()
    workspace.save(LabRecord(spec=own.to_mapping(), issued=record.issued))
    for path in _CERTIFICATES:
        workspace.write(path, _content(lab, path))
    workspace.write_key(SERVER_KEY, _content(lab, SERVER_KEY), owner=workspace.key_owner())
    if crl:
        revoked = {serial_of(lab, REVOKED_FAULT): now}
        workspace.write(CRL, issue_crl(load_client_ca(lab), revoked, now=now, number=1, days=DAYS))
    plan = make_plan(own, workspace.directory, image="", user="")
    for path, text in render(plan, own).items():
        workspace.write(path, text.encode())
    return Twin(lab, workspace, own, now)


def _content(lab: Workspace, path: str) -> bytes:
    content = lab.read(path)
    if content is None:
        raise MachineError(f"{lab.directory / path} is missing.", hint="Issue it anew: mtlslab up")
    return content


@contextlib.contextmanager
def running(twin: Twin, runtime: Runtime, image: str, stop: threading.Event) -> Iterator[None]:
    """Run a twin for the length of a ``with`` statement; nothing of it stays.

    Raises:
        StoppedError: ``stop`` was set while it was being started.
        NotReadyError: it did not say a word in time.
        MachineError: the runtime cannot start it, or somebody has ended it before the end of the block.
    """
    workspace, name = twin.workspace, twin.spec.name
    try:
        used = runtime.prepare(name, image)
        plan = plan_of(workspace, twin.spec, used, copied=runtime.copies_files())
        for edit in twin.plan_edits:
            plan = edit(plan)
        runtime.start(with_fingerprints(plan))
        _wait_until_heard(plan, runtime, stop)
        yield
        _require_running(name, runtime)
    finally:
        runtime.stop(name)
        _parent(workspace).remove([f"{TWINS_DIRECTORY}/{workspace.directory.name}"])


def _parent(workspace: Workspace) -> Workspace:
    return Workspace(workspace.directory.parent.parent)


def _require_running(name: str, runtime: Runtime) -> None:
    """What was said of a twin that somebody ended in the middle of it proves nothing."""
    if {item.service for item in runtime.status(name) if item.state is State.RUNNING} != set(SERVICES):
        raise MachineError(
            f"The twin {name!r} was ended while it was being checked.",
            why="somebody took the lab or its twins away: mtlslab down, or by hand",
            hint="Prove it again: mtlslab verify --prove",
        )


def _wait_until_heard(plan: LabPlan, runtime: Runtime, stop: threading.Event) -> None:
    """Return when both ports say anything at all: a sabotaged one may never speak TLS."""
    deadline = time.monotonic() + READY_SECONDS
    for service in plan.services:
        what = Attempt(port=service.port, address=plan.listen, insecure=True, timeout=1.0)
        while not attempt(what).heard:
            if stop.is_set():
                raise StoppedError
            states = [item.state for item in runtime.status(plan.lab) if item.service == service.name]
            if time.monotonic() > deadline or State.RUNNING not in states:
                words = [line.text for line in runtime.logs(plan.lab, service.name, tail=LAST_LINES)]
                raise NotReadyError(f"The twin {plan.lab!r} did not get ready.", why=words or "it says nothing")
            time.sleep(POLL_SECONDS)

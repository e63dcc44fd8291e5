"""The use case ``certs import``: certificates that people bring become those of a lab, all of them or none.

All is read and judged before anything is written. The files then stand in a new directory, which takes the place of
``certs/`` in one step. What the lab had there is kept as ``NAME.crt.old-DATE``. The user's files are only read.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Mapping
from pathlib import Path

from mtlslab.errors import MachineError, SpecError
from mtlslab.lifecycle.asked import UpOptions, asked_spec, last_image, save_record
from mtlslab.lifecycle.files import existing_pki
from mtlslab.lifecycle.interrupts import undisturbed
from mtlslab.lifecycle.where import Say
from mtlslab.plan.paths import (
    CLIENT_CA,
    CLIENT_CERT,
    CLIENT_KEY,
    CRL,
    CRL_NOTE,
    FAULTS_DIRECTORY,
    SERVER_CA,
    SERVER_CERT,
    SERVER_KEY,
)
from mtlslab.plan.spec import LabSpec
from mtlslab.probe.rehearsal import Cast, refusals
from mtlslab.probe.secret_files import secret_files
from mtlslab.runtime.embedded.nginx import find_nginx
from mtlslab.runtime.embedded.trial import nginx_refuses
from mtlslab.workspace.brought import SIDES, Brought, Named, Password, read_side
from mtlslab.workspace.directory import CERTIFICATES, Workspace
from mtlslab.workspace.folder import PRIVATE, PUBLIC, Folder
from mtlslab.workspace.misfits import Misfit, misfits
from mtlslab.workspace.not_issued import move_aside, name_aside
from mtlslab.workspace.refusals import at_work
from mtlslab.workspace.renewal import issued_before, renew_pki
from mtlslab.workspace.swap import replace_directory
from mtlslab.workspace.target import Target, look_again


@dataclasses.dataclass(frozen=True)
class BringOptions:
    """What the user asks for.

    Attributes:
        named: side -> its files; a side without files stays as it is in the lab.
        password: asked for protected files.
        hosts: further names that the server's certificate should have; None for those of the lab.
        dry_run: judge, and write nothing.
        nginx: the program to ask; None looks for one.
    """

    named: Mapping[str, Named]
    password: Password
    hosts: tuple[str, ...] | None = None
    dry_run: bool = False
    nginx: Path | None = None


@dataclasses.dataclass(frozen=True)
class BringReport:
    """What was found, and what was done.

    Attributes:
        misfits: what is wrong or odd; with a grave one nothing was written.
        notes: what was done with the user's files to read them.
        nginx: which nginx was asked, or why none was; empty if it came to no question.
        written: paths in the lab that were written.
        aside: paths under which the lab's earlier files are kept.
        messages: what the lab issued itself, and why.
    """

    misfits: tuple[Misfit, ...]
    notes: tuple[str, ...] = ()
    nginx: str = ""
    written: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether a lab cannot work with it."""
        return any(one.grave for one in self.misfits)


def bring(target: Target, options: BringOptions, say: Say) -> BringReport:
    """Judge the files that the user named, and make them those of the lab.

    Args:
        target: the lab; it is made if it does not exist.
        options: what the user asks for.
        say: told in a sentence what the user may want to know.

    Raises:
        SpecError: a file cannot be read, or the lab is damaged.
        MachineError: the disk refuses it, or another program works on the lab.
    """
    now = datetime.datetime.now(datetime.UTC)
    brought = [read_side(side, options.named[side], options.password) for side in SIDES if options.named[side]]
    if not brought:
        raise SpecError("Nothing is named to import.", hint="mtlslab certs import --help")
    notes = tuple(dict.fromkeys(note for side in brought for note in side.notes))
    spec = asked_spec(target, UpOptions(settings={"hosts": options.hosts}), say)
    report = BringReport(misfits(brought, now), notes)
    if report.refused:
        return report
    try:
        plan = _complete(target, spec, brought, now)
    except SpecError as error:
        return _with(report, Misfit(f"{error.what} {error.why}".strip(), grave=True))
    report = dataclasses.replace(_tried(report, plan.files, options.nginx), messages=plan.messages)
    if report.refused or options.dry_run:
        return report
    target.workspace.create()
    with target.workspace.lock(), undisturbed():
        aside = _commit(target, spec, plan, say, now)
    return dataclasses.replace(report, written=tuple(sorted(plan.new)), aside=aside)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """All certificates and keys of the lab as they will be.

    Attributes:
        files: path -> PEM, complete.
        new: the paths that are written.
        gone: paths of the lab that have no place beside what is brought.
        messages: what the lab issues itself, and why.
        issued: fingerprints of what the lab issued.
        copied: path of what is brought -> the user's file, its SHA-256 and that of the copy.
        new_client_ca: whether the revocation list and the faults are of another CA then.
    """

    files: Mapping[str, bytes]
    new: frozenset[str]
    gone: frozenset[str]
    messages: tuple[str, ...]
    issued: frozenset[str]
    copied: Mapping[str, tuple[str, str, str]]
    new_client_ca: bool


def _complete(target: Target, spec: LabSpec, brought: list[Brought], now: datetime.datetime) -> _Plan:
    """What the lab will hold: what is brought, what it has beside that, and what it must issue then."""
    existing = existing_pki(target.workspace) if target.record else {}
    issued = target.record.issued if target.record else frozenset()
    paths = {path for side in brought for path in side.paths}
    files = {path: pem for path, pem in existing.items() if path not in paths}
    files |= {path: pem for side in brought for path, pem in side.files.items()}
    update = renew_pki(spec, files, now, issued=issued_before(existing) if issued is None else issued)
    complete = {**files, **update.files}
    new = frozenset(path for path, pem in complete.items() if existing.get(path) != pem)
    changed = existing.get(CLIENT_CA) not in (None, complete[CLIENT_CA])
    copied = {path: (*side.sources[path], _sha256(pem)) for side in brought for path, pem in side.files.items()}
    gone = frozenset(paths - complete.keys())
    return _Plan(complete, new, gone, update.messages, update.issued, copied, changed)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _tried(report: BringReport, files: Mapping[str, bytes], nginx: Path | None) -> BringReport:
    """Let client and server meet in memory, and ask nginx."""
    cast = Cast(
        server=files[SERVER_CERT],
        server_key=files[SERVER_KEY],
        server_ca=files[SERVER_CA],
        client=files[CLIENT_CERT],
        client_key=files[CLIENT_KEY],
        client_ca=files[CLIENT_CA],
        name="localhost",
    )
    for said in refusals(cast):
        report = _with(report, Misfit(said, grave=True))
    try:
        program = find_nginx(nginx)
        with secret_files() as keep:
            said = nginx_refuses(program, *(keep(files[path]) for path in (SERVER_CERT, SERVER_KEY, CLIENT_CA)))
    except MachineError as error:
        return dataclasses.replace(report, nginx=f"nginx was not asked: {error.what}")
    report = dataclasses.replace(report, nginx=f"{program} {'refuses' if said else 'loads'} them (nginx -t)")
    return _with(report, Misfit(f"nginx refuses them: {said}", grave=True)) if said else report


def _with(report: BringReport, misfit: Misfit) -> BringReport:
    found = sorted((*report.misfits, misfit), key=lambda one: not one.grave)
    return dataclasses.replace(report, misfits=tuple(found))


def _commit(target: Target, spec: LabSpec, plan: _Plan, say: Say, now: datetime.datetime) -> tuple[str, ...]:
    """Write it; returns the paths of what the lab had in its place."""
    workspace = target.workspace
    if look_again(target).record != target.record:
        raise at_work(f"{workspace.directory} has just been changed")
    if target.record is None:
        save_record(target, spec, say, image=last_image(target, spec))
    # Noted before it is there: a note too many does no harm.
    record = workspace.require()
    copied = {**record.copied, **plan.copied}
    workspace.save(dataclasses.replace(record, issued=plan.issued, copied=copied))
    moved: dict[str, str] = {}
    replace_directory(workspace, CERTIFICATES, lambda new, old: _fill(workspace, plan, new, old, moved, now))
    # What was a copy of the user's file is one under its new name, too.
    copied |= {new: record.copied[old] for old, new in moved.items() if old in record.copied}
    workspace.save(dataclasses.replace(workspace.require(), copied=copied))
    aside = list(moved.values())
    if plan.new_client_ca:
        # Until this is done, nginx refuses all clients, and `up` says why. The other way round, it would let in those
        # who were revoked.
        aside += move_aside(workspace, [CRL] if workspace.read(CRL) is not None else [], now)
        workspace.remove([CRL_NOTE, FAULTS_DIRECTORY])
    save_record(target, spec, say)
    return tuple(aside)


def _fill(
    workspace: Workspace, plan: _Plan, new: Folder, old: Folder | None, moved: dict[str, str], now: datetime.datetime
) -> None:
    """Write the new directory: what is brought, and what else was in the old one; ``moved`` gets old path -> new."""
    names = {Path(path).name: path for path in (*plan.new, *plan.gone)}
    for name in old.names() if old else ():
        if old is None or old.is_directory(name):
            continue
        if name in names:
            kept = name_aside(name, old.names(), now)
            new.take(old, name, kept)
            moved[names[name]] = f"{CERTIFICATES}/{kept}"
        else:
            new.take(old, name)
    for path in plan.new:
        owner = workspace.key_owner() if path == SERVER_KEY else None
        mode = PRIVATE if path.endswith(".key") else PUBLIC
        new.write(Path(path).name, plan.files[path], mode=mode, owner=owner)

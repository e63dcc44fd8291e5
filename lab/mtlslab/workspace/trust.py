"""Whether a lab may be run: our own, without a word; one that came from elsewhere, after a yes to it, once."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator

from mtlslab.errors import MachineError, SpecError
from mtlslab.plan.paths import CRL_DIRECTORY
from mtlslab.plan.render import render
from mtlslab.plan.services import SERVICES, make_plan
from mtlslab.plan.shell import shell_line
from mtlslab.plan.spec import LabSpec, make_spec
from mtlslab.workspace import own_labs as ownlabs
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.own_labs import OwnLab
from mtlslab.workspace.record import LabRecord, new_lab_id

Say = Callable[[str], None]
Trusts = Callable[[SpecError], None]
"""Is given the refusal of a lab that came from elsewhere: raises it, or returns to say yes."""

_MAX_DIFFERENCES = 40
_MAX_WIDTH = 160
_MAX_COMPARED = 64 * 1024  # bytes; ours have 3 KiB


def refuse(refusal: SpecError) -> None:
    """Say no."""
    raise refusal


def register_new(workspace: Workspace, say: Say) -> LabRecord:
    """The first record of a lab that is made now, under the lock of its workspace; the lab is known from now on.

    It is entered before its lab.json is written: whoever is killed in between leaves no lab of unknown origin.
    """
    record = LabRecord(spec={}, id=new_lab_id())
    _enter(workspace, record.id, say)
    return record


def require_trust(workspace: Workspace, record: LabRecord, trusts: Trusts, say: Say, *, command: str) -> None:
    """Return when a lab may be run; to be called under the lock of its workspace.

    Args:
        workspace: that of the lab.
        record: its lab.json, read under the lock.
        trusts: is asked where the lab was not made by this account.
        say: is told when the yes cannot be noted.
        command: what the user typed, such as ``up``; for the hint.

    Raises:
        SpecError: ``trusts`` said no.
    """
    if any(ownlabs.is_own(lab) for lab in _identities(workspace, record.id)):
        return
    again = shell_line(["mtlslab", command, "--dir", workspace.directory, "--trust"])
    trusts(
        SpecError(
            f"The lab in {workspace.directory} was not made by this account: it came from elsewhere.",
            why=tuple(_description(workspace, record)),
            hint=f"Look at these files. To run them all the same, once: {again}",
        )
    )
    _enter(workspace, record.id, say)


def forget(workspace: Workspace, record: LabRecord) -> None:
    """Strike a lab out of the register, before it is removed; to be called under the lock of its workspace."""
    for lab in _identities(workspace, record.id):
        ownlabs.strike_out(lab)


def _identities(workspace: Workspace, lab_id: str) -> tuple[OwnLab, ...]:
    """What the register may know the lab by, the best first."""
    inode, moments = workspace.moments_of_lock()
    return tuple(OwnLab(lab_id, inode, born, str(workspace.directory)) for born in moments)


def _enter(workspace: Workspace, lab_id: str, say: Say) -> None:
    try:
        ownlabs.enter(_identities(workspace, lab_id)[0])
    except OSError as error:
        why = f"{error.filename or 'no state directory'}: {os.strerror(error.errno or 0)}"
        say(f"It cannot be noted that this lab is yours ({why}): up and reload will want --trust.")


# --- what a lab from elsewhere would run


def _description(workspace: Workspace, record: LabRecord) -> Iterator[str]:
    """What would run, in words; all that is quoted from the lab is made printable."""
    yield "nginx would run these files as you:"
    yield from (f"  {_printable(path)}" for path in _files(workspace))
    spec = make_spec(record.spec)
    defaults = LabSpec(name=spec.name)
    for label, value, usual in (
        ("container image", record.image or spec.image, defaults.image),
        ("listen address", spec.listen, defaults.listen),
    ):
        if value != usual:
            yield f"  with the {label} {_printable(value)}"
    yield from _limited(list(_differences(workspace, spec)))
    yield "Its private keys are known to whoever made them: mtlslab up --rotate-certs issues new ones."


def _files(workspace: Workspace) -> list[str]:
    return [f"{path}/{name}" for path in (*SERVICES, CRL_DIRECTORY) for name in workspace.names(path)]


def _differences(workspace: Workspace, spec: LabSpec) -> Iterator[str]:
    """Each line in which a file differs from what would be rendered, after a plus or minus, with the file's path."""
    rendered = render(make_plan(spec, workspace.directory, image="", user=""), spec)
    for path in _files(workspace):
        if path.startswith(f"{CRL_DIRECTORY}/"):  # signed by a CA, and checked where it is used
            continue
        for line in _compared(workspace, path, rendered.get(path)):
            yield f"{path}: {line}"


def _compared(workspace: Workspace, path: str, expected: str | None) -> Iterator[str]:
    try:
        content = workspace.read(path) or b""
    except MachineError:
        yield "a link, a directory, or something else that is no file"
        return
    if expected is None or len(content) > _MAX_COMPARED:
        yield f"{len(content)} bytes that mtlslab would not write"
        return
    found = content.decode(errors="backslashreplace").split("\n")
    lines = list(difflib.unified_diff(expected.split("\n"), found, n=0, lineterm=""))
    yield from (line for line in lines[2:] if not line.startswith("@@"))  # after two lines with the names


def _limited(differences: list[str]) -> Iterator[str]:
    if not differences:
        yield "They are what mtlslab itself would write."
        return
    yield "They differ from what mtlslab itself would write (+ there, - missing):"
    for line in differences[:_MAX_DIFFERENCES]:
        cut = len(line) - _MAX_WIDTH
        yield f"  {_printable(line[:_MAX_WIDTH])}{f' ... and {cut} characters more' if cut > 0 else ''}"
    if len(differences) > _MAX_DIFFERENCES:
        yield f"  ... and {len(differences) - _MAX_DIFFERENCES} lines more"


def _printable(text: str) -> str:
    """Text without characters that steer a terminal or turn the direction of writing."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)

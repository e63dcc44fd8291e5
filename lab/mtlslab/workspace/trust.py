"""Decides whether a lab may run: our own always; one that came from elsewhere after the user agreed once."""

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
from mtlslab.workspace import own_labs
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.own_labs import OwnLab
from mtlslab.workspace.record import LabRecord, new_lab_id

Say = Callable[[str], None]
Trusts = Callable[[SpecError], None]
"""Is called with the refusal of a lab that came from elsewhere: raises it, or returns if the user agrees."""

_MAX_DIFFERENCES = 40
_MAX_WIDTH = 160
_MAX_COMPARED = 64 * 1024  # bytes; ours have 3 KiB


def refuse(refusal: SpecError) -> None:
    """Refuse every lab that came from elsewhere; see ``Trusts``."""
    raise refusal


def register_new(workspace: Workspace, say: Say) -> LabRecord:
    """Enter a new lab into the register, and return its first record. The caller holds the workspace's lock.

    The entry is written before lab.json: a program that is killed in between leaves no lab of unknown origin.
    """
    record = LabRecord(spec={}, id=new_lab_id())
    _enter(workspace, record.id, say)
    return record


def require_trust(workspace: Workspace, record: LabRecord, trusts: Trusts, say: Say, *, command: str) -> None:
    """Check that a lab may run; a lab that the user agrees to is entered into the register.

    Args:
        workspace: of the lab; the caller holds its lock.
        record: content of its lab.json, read under the lock.
        trusts: is called if this account did not create the lab.
        say: gets a message if the register cannot be written.
        command: name of the command, such as ``up``, for the hint.

    Raises:
        SpecError: ``trusts`` refused.
    """
    if any(own_labs.is_own(lab) for lab in _identities(workspace, record.id)):
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
    """Remove a lab from the register before its files are removed. The caller holds the workspace's lock."""
    for lab in _identities(workspace, record.id):
        own_labs.strike_out(lab)


def _identities(workspace: Workspace, lab_id: str) -> tuple[OwnLab, ...]:
    """Identities under which the lab may be registered, the most reliable first."""
    inode, moments = workspace.moments_of_lock()
    return tuple(OwnLab(lab_id, inode, born, str(workspace.directory)) for born in moments)


def _enter(workspace: Workspace, lab_id: str, say: Say) -> None:
    try:
        own_labs.enter(_identities(workspace, lab_id)[0])
    except OSError as error:
        why = f"{error.filename or 'no state directory'}: {os.strerror(error.errno or 0)}"
        say(f"It cannot be noted that this lab is yours ({why}): up and reload will want --trust.")


# --- what a lab from elsewhere would run


def _description(workspace: Workspace, record: LabRecord) -> Iterator[str]:
    """Lines that describe what would run; text from the lab is made printable."""
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
    yield from _limited(list(differences(workspace, spec)))
    yield "Its private keys are known to whoever made them: mtlslab up --rotate-certs issues new ones."


def _files(workspace: Workspace) -> list[str]:
    return [f"{path}/{name}" for path in (*SERVICES, CRL_DIRECTORY) for name in workspace.names(path)]


def differences(workspace: Workspace, spec: LabSpec) -> Iterator[str]:
    """Each line in which a file of the services differs from what would be rendered: ``PATH: +LINE``, ``PATH: -LINE``.

    Args:
        workspace: that of the lab.
        spec: its settings.
    """
    rendered = render(make_plan(spec, workspace.directory, image="", user=""), spec)
    for path in _files(workspace):
        if path.startswith(f"{CRL_DIRECTORY}/"):  # a CRL is signed by the CA, and checked where it is used
            continue
        for line in compared(workspace, path, rendered.get(path)):
            yield f"{path}: {line}"


def compared(workspace: Workspace, path: str, expected: str | None) -> Iterator[str]:
    """The lines in which a file differs from a text (None: it is not expected at all), after a plus or minus."""
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
    yield from (line for line in lines[2:] if not line.startswith("@@"))  # without the two lines of file names


def _limited(found: list[str]) -> Iterator[str]:
    if not found:
        yield "They are what mtlslab itself would write."
        return
    yield "They differ from what mtlslab itself would write (+ there, - missing):"
    for line in found[:_MAX_DIFFERENCES]:
        cut = len(line) - _MAX_WIDTH
        yield f"  {_printable(line[:_MAX_WIDTH])}{f' ... and {cut} characters more' if cut > 0 else ''}"
    if len(found) > _MAX_DIFFERENCES:
        yield f"  ... and {len(found) - _MAX_DIFFERENCES} lines more"


def _printable(text: str) -> str:
    """Text in which terminal control and bidirectional characters are shown as escapes."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)

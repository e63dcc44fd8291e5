"""What was entered into the revocation list so far (``crl/issued.json``): an older list in its place is noticed by it.

A list says of itself only when it was made. An older one is signed by the same CA and may still be in its time: nothing
but its number tells (RFC 5280 section 5.2.3), to whoever remembers the highest one.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Mapping

from mtlslab.pki.credential import key_id, load_anchors
from mtlslab.pki.crl import CrlInfo
from mtlslab.plan.paths import CLIENT_CA, CRL_NOTE
from mtlslab.workspace.directory import Workspace


@dataclasses.dataclass(frozen=True)
class Note:
    """What is remembered of the lists of one client CA.

    Attributes:
        number: the highest CRL number; 0 when nothing is remembered.
        revoked: serial number -> when it was revoked (aware UTC), for all entries.
    """

    number: int = 0
    revoked: Mapping[int, datetime.datetime] = dataclasses.field(default_factory=dict)


def read_note(workspace: Workspace) -> Note:
    """What is remembered of the present client CA's lists; an empty note where there is none, or it is damaged.

    Raises:
        LabError: the note, or the client CA's certificate, is no file of ours.
    """
    try:
        document = json.loads(workspace.read(CRL_NOTE) or b"{}")
        if document["ca"] != _ca_of(workspace):
            return Note()
        revoked = {
            int(serial, 16): datetime.datetime.fromisoformat(moment).astimezone(datetime.UTC)
            for serial, moment in document["revoked"].items()
        }
        return Note(int(document["number"]), revoked)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Note()


def write_note(workspace: Workspace, info: CrlInfo) -> None:
    """Remember a list that was just written.

    Raises:
        LabError: it cannot be written.
    """
    revoked = {f"{serial:x}": moment.isoformat(timespec="seconds") for serial, moment in sorted(info.revoked.items())}
    document = {"ca": _ca_of(workspace), "number": info.number, "revoked": revoked}
    workspace.write(CRL_NOTE, json.dumps(document, indent=1).encode())


def _ca_of(workspace: Workspace) -> str:
    return key_id(load_anchors(workspace.read(CLIENT_CA) or b"")[0])

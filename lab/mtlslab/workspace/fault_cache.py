"""The credentials of the zoo in a workspace: used again while they are right, and issued when they are not.

What was issued last is noted beside them, with the certificates that it depends on. A note that is missing or does not
fit costs a moment, never a wrong answer.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from mtlslab.errors import LabError, MachineError
from mtlslab.plan.paths import CLIENT_CA, CLIENT_CERT, CRL, FAULTS_DIRECTORY, SERVER_CERT
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.issue import IssuedFault, issue_faults
from mtlslab.workspace.revocation import SPECIMEN, is_revoked, serial_of

NOTE = f"{FAULTS_DIRECTORY}/issued.json"
# Far below the validity of 30 days, and of the day after which "not valid yet" is no longer true.
KEPT = datetime.timedelta(hours=12)
OF_THE_MOMENT = ("expired-a-second-ago",)
# What takes an RSA key to make, each group in one go: impostors share a key of the client CA's type. A key of 4096 bits
# takes half a second, or three: that is a matter of luck.
SLOW = (
    ("other-ca", "other-ca-with-root", "other-ca-same-name", "other-ca-same-name-without-aki",
     "forged-authority-key-identifier", "look-alike"),
    ("md5-signature",),
    ("rsa-4096",),
)  # fmt: skip

Ready = Callable[[str], None]
"""Returns when the credential of that name is there; raises MachineError if this machine cannot make it."""


@contextlib.contextmanager
def issued(workspace: Workspace) -> Iterator[Callable[[Sequence[str]], Ready]]:
    """Yields a function that sees to it that credentials are there; it returns while slow ones are still being made.

    Raises:
        SpecError: when the function is called: the client CA, the server's credential or the list is damaged.
    """
    with ThreadPoolExecutor(1) as pool:
        pending: dict[str, Future[tuple[IssuedFault, ...]]] = {}
        failures: dict[str, MachineError] = {}

        def ready(name: str) -> None:
            if name in pending:
                pending[name].result()
            if name in failures:
                raise failures[name]

        def issue(names: Sequence[str]) -> Ready:
            note = _Note(workspace)
            needed = [name for name in names if not note.fits(name)]
            for group in SLOW:
                slow = [name for name in group if name in needed]
                later = pool.submit(issue_faults, workspace, slow, failed=failures.__setitem__)
                pending.update(dict.fromkeys(slow, later))
            at_once = [name for name in needed if name not in pending]
            issue_faults(workspace, at_once, failed=failures.__setitem__)
            made.extend(needed)
            return ready

        made: list[str] = []
        yield issue
        for future in pending.values():
            future.result()
        if made:
            _Note(workspace).enter([name for name in made if name not in failures])


class _Note:
    """What was issued last: for which CAs, and when."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._now = datetime.datetime.now(datetime.UTC)
        # The server's certificate is itself one of the zoo, and the client's is imitated by one.
        base = (CLIENT_CA, SERVER_CERT, CLIENT_CERT)
        self._base = _hash(b"".join(workspace.read(path) or b"" for path in base))
        self._entries = self._read()

    def fits(self, name: str) -> bool:
        """Whether the files of a credential are those that were issued, and still say what they are meant to say."""
        entry = self._entries.get(name)
        if not isinstance(entry, dict) or name in OF_THE_MOMENT:
            return False
        try:
            age = self._now - datetime.datetime.fromisoformat(entry["time"])
            right = datetime.timedelta(0) <= age < KEPT and entry["files"] == self._files(name)
        except (KeyError, TypeError, ValueError, LabError):
            return False
        return right and self._is_listed(name)

    def enter(self, names: Sequence[str]) -> None:
        """Note that these were issued just now."""
        moment = self._now.isoformat(timespec="seconds")
        new = {name: {"time": moment, "files": files} for name in names if (files := self._files(name))}
        document = {"base": self._base, "credentials": {**self._entries, **new}}
        self._workspace.write(NOTE, json.dumps(document, indent=1).encode())

    def _files(self, name: str) -> str:
        certificate = self._workspace.read(f"{FAULTS_DIRECTORY}/{name}.crt")
        key = self._workspace.read_key(f"{FAULTS_DIRECTORY}/{name}.key")
        crl = self._workspace.read(f"{FAULTS_DIRECTORY}/{name}.crl") or b""
        return _hash(certificate + key + crl) if certificate and key else ""

    def _is_listed(self, name: str) -> bool:
        if name != SPECIMEN or self._workspace.read(CRL) is None:
            return True
        return is_revoked(self._workspace, serial_of(self._workspace, name))

    def _read(self) -> Mapping[str, Any]:
        try:
            document = json.loads(self._workspace.read(NOTE) or b"{}")
            entries = document["credentials"] if document["base"] == self._base else {}
        except (ValueError, KeyError, TypeError, RecursionError):
            return {}
        return entries if isinstance(entries, dict) else {}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

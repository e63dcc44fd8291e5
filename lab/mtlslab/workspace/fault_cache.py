"""Issues the faults that ``verify`` needs, and uses them again as long as they are valid for their purpose.

A note beside them (``certs/faults/issued.json``) says when each was issued, with hashes of its files and of the
certificates that it depends on. If the note is missing or does not match, the faults are issued again.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from mtlslab.errors import LabError
from mtlslab.plan.paths import CLIENT_CA, CLIENT_CERT, CRL, FAULTS_DIRECTORY, SERVER_CERT
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.issue import IssuedFault, issue_faults
from mtlslab.workspace.revocation import REVOKED_FAULT, is_revoked, serial_of

NOTE = f"{FAULTS_DIRECTORY}/issued.json"
# Far below the faults' validity of 30 days. A fault that is "not valid yet" becomes valid after a day.
KEPT = datetime.timedelta(hours=12)
OF_THE_MOMENT = ("expired-a-second-ago",)
# Faults that need an RSA key, each group issued in one go: impostors share a key of the client CA's type. A key of 4096
# bits takes 0.5 to 3 seconds: the search for two large primes is random.
SLOW = (
    ("other-ca", "other-ca-with-root", "other-ca-same-name", "other-ca-same-name-without-aki",
     "forged-authority-key-identifier", "look-alike"),
    ("md5-signature",),
    ("rsa-4096",),
)  # fmt: skip

Ready = Callable[[str], None]
"""Waits until the fault of that name is issued; raises MachineError if this machine cannot make it, MissingKeyError if
it needs a key of the client CA that is not there."""


@contextlib.contextmanager
def issued(workspace: Workspace) -> Iterator[Callable[[Sequence[str]], Ready]]:
    """Yields issue(names). Slow keys continue in the background; call ready(name), which issue returns, before use.

    At the end, waits for the background and writes the note. The caller holds the workspace's lock.

    Raises:
        SpecError: from issue and ready: the client CA, the server's credential or the revocation list is missing or
            damaged.
    """
    with ThreadPoolExecutor(1) as pool:
        pending: dict[str, Future[tuple[IssuedFault, ...]]] = {}
        failures: dict[str, LabError] = {}

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
    """The note about the faults that were issued last."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._now = datetime.datetime.now(datetime.UTC)
        # The server's certificate is itself the credential of one of the faults; the client's is imitated by one.
        base = (CLIENT_CA, SERVER_CERT, CLIENT_CERT)
        self._base = _hash(b"".join(workspace.read(path) or b"" for path in base))
        self._entries = self._read()

    def fits(self, name: str) -> bool:
        """Whether the files of a fault are those that were issued, recent enough, and revoked where needed."""
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
        """Note that these faults were issued just now."""
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
        if name != REVOKED_FAULT or self._workspace.read(CRL) is None:
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

"""The lab that is verified, and how one attempt is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mtlslab.plan.paths import CLIENT_CERT, CLIENT_KEY, FAULTS_DIRECTORY
from mtlslab.probe.model import DEFAULT_PATH, DEFAULT_TIMEOUT, Attempt, KeyFiles, Observation
from mtlslab.verify.checks.model import CLIENT

if TYPE_CHECKING:
    from mtlslab.verify.doors.model import DoorList
    from mtlslab.verify.doors.protected import Protected
    from mtlslab.verify.rules.load import Known

Probe = Callable[[Attempt], Observation]
"""Makes one attempt."""


@dataclasses.dataclass(frozen=True)
class VerifyContext:
    """The lab that is verified.

    Attributes:
        directory: absolute path of the workspace.
        lab: its name.
        runtime: what runs it, as the report shows it.
        tls_port: port of the service with ordinary TLS.
        mtls_port: port of the service with mutual TLS.
        host: name in the URLs; one of the server certificate's names.
        address: where to connect.
        path: path of the page that both services serve.
        timeout: seconds that each attempt may take.
        crl: whether the mTLS service is set up to check a revocation list.
        log_token: what each line of the services' access logs begins with.
        lab_directory: of a sabotaged twin: absolute path of its lab's workspace; None for a lab itself.
        configuration: gives what nginx reads, for the rules; None when nobody has it.
        doors: gives the doors at which unauthorised clients knock; None for those that the configuration names.
        protected: what nobody unauthorised may be given; None where nobody has looked.
    """

    directory: Path
    lab: str
    runtime: str
    tls_port: int
    mtls_port: int
    host: str = "localhost"
    address: str = "127.0.0.1"
    path: str = DEFAULT_PATH
    timeout: float = DEFAULT_TIMEOUT
    crl: bool = False
    log_token: str = ""
    lab_directory: Path | None = None
    configuration: Callable[[], Known] | None = None
    doors: Callable[[], DoorList] | None = None
    protected: Protected | None = None

    @property
    def issuer(self) -> Path:
        """The workspace with the CAs' keys and the clients' credentials: a twin has none, and uses its lab's."""
        return self.lab_directory or self.directory


def credential_files(directory: Path, name: str) -> KeyFiles:
    """The files of a credential in the workspace ``directory``: the lab's client, or a faulty one by its name."""
    if name == CLIENT:
        return KeyFiles(directory / CLIENT_CERT, directory / CLIENT_KEY)
    faults = directory / FAULTS_DIRECTORY
    return KeyFiles(faults / f"{name}.crt", faults / f"{name}.key")

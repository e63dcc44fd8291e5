"""What is to be audited, and with what."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mtlslab.audit.target import AuditTarget
from mtlslab.pki.mint import ClientCa
from mtlslab.probe.model import DEFAULT_TIMEOUT, KeyFiles


@dataclasses.dataclass(frozen=True)
class AuditRequest:
    """What to audit, and with what.

    Attributes:
        target: the server.
        cacert: PEM file with the trust anchors for the server; None for those of the system.
        cacert_name: the file as the user named it.
        insecure: accept any server certificate.
        credential: the authorised client; None if there is none.
        client_ca: what is known of the CA that the server trusts for its clients.
        timeout: seconds that each attempt may take.
        strict: whether warnings count as failures.
        expect: text that the protected page contains; empty if it is not known.
        connect_host: where to connect if not to the URL's host.
        connect_port: the port there; 0 for the URL's.
        sni: name in SNI if it is not the host's; empty sends none.
    """

    target: AuditTarget
    cacert: Path | None = None
    insecure: bool = False
    credential: KeyFiles | None = None
    client_ca: ClientCa = dataclasses.field(default_factory=ClientCa)
    timeout: float = DEFAULT_TIMEOUT
    strict: bool = False
    expect: str = ""
    connect_host: str = ""
    connect_port: int = 0
    sni: str | None = None
    cacert_name: str = ""

    @property
    def has_commands(self) -> bool:
        """Whether the user can repeat an attempt with curl: it takes the files that he has."""
        converted = self.cacert is not None and str(self.cacert) != (self.cacert_name or str(self.cacert))
        return not converted and (self.credential is None or self.credential.curl != ())

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the result beside the target and the certificates: option -> value; secrets are not in it."""
        host = f"[{self.connect_host}]" if ":" in self.connect_host else self.connect_host
        given = {
            "connect-to": f"{host}:{self.connect_port or self.target.port}" if host else None,
            "sni": self.sni,
            "expect": self.expect or None,
            "insecure": self.insecure or None,
            "cacert": self.cacert_name or None,
            "timeout": self.timeout,
        }
        return {name: value for name, value in given.items() if value is not None}

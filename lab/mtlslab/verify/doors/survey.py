"""Makes the list of doors of a lab, once, when it is first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mtlslab.errors import LabError
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.runtime.base import OpenSocket
from mtlslab.verify.configuration.model import Configuration
from mtlslab.verify.doors.listing import Ground, list_doors
from mtlslab.verify.doors.model import DEFAULT_DOORS, Door, DoorList
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.shape import shape_of

if TYPE_CHECKING:
    from mtlslab.verify.context import VerifyContext

Sockets = Callable[[], Sequence[OpenSocket]]
"""Gives the sockets that are open; raises LabError where nobody can tell."""


class Survey:
    """Looks for the doors of a lab.

    Args:
        context: the lab, with what tells its configuration.
        sockets: tells the open sockets; None where nobody can.
        most: of the knocks.
        listen: the address on which the lab is to listen; empty for where it is reached.
    """

    def __init__(
        self, context: VerifyContext, sockets: Sockets | None = None, *, most: int = DEFAULT_DOORS, listen: str = ""
    ) -> None:
        self._context = context
        self._sockets = sockets
        self._most = most
        self._listen = listen or context.address
        self._lock = threading.Lock()
        self._list: DoorList | None = None

    def __call__(self) -> DoorList:
        """The list; never raises. Without the configuration it holds the usual doors."""
        with self._lock:
            if self._list is None:
                self._list = self._look()
            return self._list

    def _look(self) -> DoorList:
        configurations, unread = self._configurations()
        sockets, unseen = self._open()
        context = self._context
        shape = shape_of(Workspace(context.issuer))
        ground = Ground(
            tls=Door(TLS_SERVICE, context.address, context.tls_port, sni=context.host, path=context.path),
            mtls=Door(MTLS_SERVICE, context.address, context.mtls_port, sni=context.host, path=context.path),
            configurations=configurations,
            sockets=sockets,
            crl=context.crl,
            listen=self._listen,
            server_is_client=shape.server_is_client and shape.same_ca,
        )
        return list_doors(ground, self._most, "; ".join(filter(None, (unread, unseen))))

    def _configurations(self) -> tuple[tuple[Configuration, ...], str]:
        known = self._context.configuration() if self._context.configuration else None
        if known is None or known.facts is None:
            return (), f"the configuration is not known: {known.problem if known else 'nobody has read it'}"
        return known.facts.both, known.problem and f"nginx itself was not heard: {known.problem}"

    def _open(self) -> tuple[Sequence[OpenSocket], str]:
        if self._sockets is None:
            return (), ""
        try:
            return self._sockets(), ""
        except LabError as error:
            return (), f"the open sockets are not known: {error.what}"

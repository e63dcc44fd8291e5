"""A small TLS server of our own: one certificate, one page. What a client thinks of a server is seen best with it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from mtlslab.errors import MachineError
from mtlslab.plan.addresses import loopback_here

DEFAULT_PORT = 8890  # next to the two of a lab
_PATIENCE = 2.0  # seconds that a client may take for its handshake, and again for its request
_AT_ONCE = 8  # a browser opens several connections ahead
_PAGE = b"Hello from mtlslab serve\n"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"


class SmallServer:
    """Serves on loopback from ``with`` to the end of its block; threads and sockets are gone then.

    Args:
        certificate: PEM file of the leaf and what to send along.
        key: PEM file of its private key.
        port: TCP port; 0 for a free one.
    """

    def __init__(self, certificate: Path, key: Path, port: int = 0) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key, password="")
        try:
            address = loopback_here()
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            self._listener = socket.create_server((address, port), family=family)
        except OSError as error:
            raise MachineError(
                f"Cannot listen on port {port}.", why=error.strerror or str(error), hint="Choose another one: --port"
            ) from error
        self.port: int = self._listener.getsockname()[1]
        self._stopped, self._stop = socket.socketpair()
        self._listener.setblocking(False)
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(_AT_ONCE)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.send(b"!")
        for thread in self._threads:
            thread.join()
        for sock in (self._listener, self._stopped, self._stop):
            sock.close()

    def _serve(self) -> None:
        """Answer one client after the other, beside other threads that do so.

        Whoever waits for his turn waits in the kernel's queue: silent clients take no memory and do not delay the end.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while all(key.fileobj is self._listener for key, _ in selector.select()):
                with contextlib.suppress(OSError):  # another thread was faster, or the client has gone again
                    self._answer(self._listener.accept()[0])

    def _answer(self, connection: socket.socket) -> None:
        # A client that does not like the certificate leaves in the middle of the handshake: that is the lesson.
        # Of one that has gone before its handshake, ssl says ValueError.
        with contextlib.suppress(OSError, ValueError), connection:
            connection.settimeout(_PATIENCE)
            with self._context.wrap_socket(connection, server_side=True) as tls:
                if tls.recv(8192):
                    tls.sendall(_ANSWER % (len(_PAGE), _PAGE))

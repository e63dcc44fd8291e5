"""PostgreSQL: TLS begins only after a request in its own protocol, so an audit of TLS alone cannot tell."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.servers.launch import find, program
from tests.servers.model import Cell, Place, Truth

# The server refuses to run as root.
_NOBODY = 65534
_AS = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups") if os.getuid() == 0 else ()


def _initialise(place: Place) -> None:
    data = place.directory / "data"
    if _AS:
        os.chown(place.directory, _NOBODY, _NOBODY)
    command = [
        *_AS,
        find("initdb") or "initdb",
        "--pgdata",
        str(data),
        "--auth",
        "trust",
        "--username",
        "afar",
        "--no-sync",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300, cwd=place.directory)
    for name in ("server.crt", "server.key", "client-ca.crt"):
        copy = Path(shutil.copy(place.certs / name, data / name))
        copy.chmod(0o600)
        if _AS:
            os.chown(copy, _NOBODY, _NOBODY)
    rules = "hostssl all all 127.0.0.1/32 trust clientcert=verify-ca\n"
    (data / "pg_hba.conf").write_text(rules)


_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "@DIR@",
    "ssl": "on",
    "ssl_ca_file": "client-ca.crt",
}
_SERVER = program(
    *(*_AS, find("postgres") or "postgres", "-D", "@DIR@/data", "-p", "@PORT@"),
    *(option for name, value in _OPTIONS.items() for option in ("-c", f"{name}={value}")),
    prepare=_initialise,
)


@contextlib.contextmanager
def _start(place: Place) -> Iterator[None]:
    """In a directory that another user can reach."""
    name = tempfile.mkdtemp(prefix="mtlslab-postgres-")
    try:
        with _SERVER(dataclasses.replace(place, directory=Path(name))):
            yield
    finally:
        shutil.rmtree(name, ignore_errors=True)


CELLS = [Cell("PostgreSQL", "clientcert=verify-ca", Truth.OPEN, _start, needs=("postgres", "initdb"))]

"""Servers of Python: the standard library and those that take an ASGI or WSGI application."""

from __future__ import annotations

from tests.servers.launch import program, python_program
from tests.servers.model import Cell, Start, Truth
from tests.servers.wires import http2

_MODES = {"none": Truth.NONE, "optional": Truth.REQUESTED, "required": Truth.REQUIRED}
_CERT_REQS = {"none": "0", "optional": "1", "required": "2"}
_FILES = ("@CERTS@/server.crt", "@CERTS@/server.key", "@CERTS@/client-ca.crt")


def _own(product: str, mode: str) -> Start:
    return python_program("python_servers.py", product, mode, "@PORT@", "@CERTS@")


def _uvicorn(mode: str) -> Start:
    certfile, keyfile, cafile = _FILES
    return program(
        *("@PYTHON@", "-m", "uvicorn", "apps:asgi", "--app-dir", "@PROGRAMS@", "--port", "@PORT@"),
        *("--ssl-certfile", certfile, "--ssl-keyfile", keyfile, "--ssl-ca-certs", cafile),
        *("--ssl-cert-reqs", _CERT_REQS[mode]),
    )


def _gunicorn(mode: str) -> Start:
    certfile, keyfile, cafile = _FILES
    return program(
        *("@PYTHON@", "-m", "gunicorn", "apps:wsgi", "--pythonpath", "@PROGRAMS@", "--bind", "127.0.0.1:@PORT@"),
        *("--certfile", certfile, "--keyfile", keyfile, "--ca-certs", cafile, "--cert-reqs", _CERT_REQS[mode]),
    )


def _hypercorn(mode: str) -> Start:
    certfile, keyfile, cafile = _FILES
    verify = {"none": "CERT_NONE", "optional": "CERT_OPTIONAL", "required": "CERT_REQUIRED"}[mode]
    conf = f'bind = ["127.0.0.1:@PORT@"]\ncertfile = "{certfile}"\nkeyfile = "{keyfile}"\nca_certs = "{cafile}"\n'
    return program(
        "@PYTHON@",
        "-m",
        "hypercorn",
        "--config",
        "@DIR@/h.toml",
        "--verify-mode",
        verify,
        "apps:asgi",
        files={"h.toml": conf},
        variables={"PYTHONPATH": "@PROGRAMS@"},
    )


def _granian(mode: str) -> Start:
    certfile, keyfile, cafile = _FILES
    verify = ("--ssl-ca", cafile, "--ssl-client-verify") if mode == "required" else ()
    return program(
        *("@PYTHON@", "-m", "granian", "--interface", "asgi", "--port", "@PORT@"),
        *("--ssl-certificate", certfile, "--ssl-keyfile", keyfile, *verify, "apps:asgi"),
        variables={"PYTHONPATH": "@PROGRAMS@"},
    )


def _cells(product: str, module: str, starts: dict[str, Start], *, light: bool = False, **more: object) -> list[Cell]:
    return [
        Cell(product, mode, _MODES[mode], start, modules=(module,), light=light, **more)  # type: ignore[arg-type]
        for mode, start in starts.items()
    ]


_OWN = {
    "aiohttp": "aiohttp",
    "tornado": "tornado",
    "twisted": "twisted",
    "cheroot": "cheroot",
}
_GRPC = http2(marker=b"\x00\x00\x00\x04\x01")
CELLS = [
    *_cells("Python http.server", "ssl", {mode: _own("stdlib", mode) for mode in _MODES}, light=True),
    Cell("Python http.server", "required, TLS 1.2 only", Truth.REQUIRED, _own("stdlib", "required-1.2"), light=True),
    Cell("Python http.server", "required, TLS 1.3 only", Truth.REQUIRED, _own("stdlib", "required-1.3"), light=True),
    *(
        cell
        for product, module in _OWN.items()
        for cell in _cells(product, module, {mode: _own(product, mode) for mode in _MODES})
    ),
    *_cells("uvicorn", "uvicorn", {mode: _uvicorn(mode) for mode in _MODES}),
    *_cells("gunicorn", "gunicorn", {mode: _gunicorn(mode) for mode in _MODES}),
    *_cells("hypercorn", "hypercorn", {mode: _hypercorn(mode) for mode in _MODES}),
    *_cells("granian (rustls)", "granian", {mode: _granian(mode) for mode in ("none", "required")}),
    *_cells("gRPC (BoringSSL)", "grpc", {mode: _own("grpc", mode) for mode in ("none", "required")}, wire=_GRPC),
    *_cells("pyOpenSSL", "OpenSSL", {mode: _own("pyopenssl", mode) for mode in _MODES}),
    Cell("pyOpenSSL", "a callback that always agrees", Truth.ANY, _own("pyopenssl", "any"), modules=("OpenSSL",)),
    Cell("pyOpenSSL", "a callback that compares the CN", Truth.NAME, _own("pyopenssl", "name"), modules=("OpenSSL",)),
    *_cells("tlslite-ng", "tlslite", {"none": _own("tlslite", "none")}),
    Cell("tlslite-ng", "reqCert, nobody looks", Truth.REQUESTED, _own("tlslite", "asks"), modules=("tlslite",)),
    Cell("tlslite-ng", "any certificate", Truth.ANY, _own("tlslite", "any"), modules=("tlslite",)),
]

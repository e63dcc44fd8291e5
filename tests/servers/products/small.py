"""Small TLS servers of the command line: openssl s_server, gnutls-serv, socat, ncat, stunnel, hitch."""

from __future__ import annotations

from tests.servers.launch import program, python_program
from tests.servers.model import MARKER, Cell, Start, Truth, Wire

NONE, REQUESTED, ANY, REQUIRED = Truth.NONE, Truth.REQUESTED, Truth.ANY, Truth.REQUIRED
_OPENSSL_PAGE = Wire(b"GET / HTTP/1.0\r\n\r\n", b"s_server")
_GNUTLS_PAGE = Wire(b"GET / HTTP/1.0\r\n\r\n", b"GnuTLS")
_LINE = Wire(b"ping\n", b"gnip")
_ECHO = Wire(b"ping\n", b"ping")
_ANSWER = f"HTTP/1.1 200 OK\r\nContent-Length: {len(MARKER)}\r\nConnection: close\r\n\r\n{MARKER}"
_BACK_END = python_program("backend.py", "@PORT@", MARKER)


def _openssl(*options: str, kind: str = "-www") -> Start:
    return program(
        *("openssl", "s_server", "-accept", "127.0.0.1:@PORT@", kind, "-cert", "@CERTS@/server.crt"),
        *("-key", "@CERTS@/server.key", "-CAfile", "@CERTS@/client-ca.crt", *options),
    )


def _gnutls(*options: str, kind: str = "--http") -> Start:
    return program(
        *("gnutls-serv", kind, "--port", "@PORT@", "--x509certfile", "@CERTS@/server.crt"),
        *("--x509keyfile", "@CERTS@/server.key", "--x509cafile", "@CERTS@/client-ca.crt", *options),
    )


def _socat(options: str) -> Start:
    listen = "OPENSSL-LISTEN:@PORT@,bind=127.0.0.1,reuseaddr,fork,cert=@CERTS@/server.pem,cafile=@CERTS@/client-ca.crt"
    return program("socat", f"{listen},{options}", "TCP:127.0.0.1:@SPARE@", before=_BACK_END)


def _stunnel(options: str) -> Start:
    conf = (
        "foreground = yes\npid =\nsyslog = no\n[afar]\naccept = 127.0.0.1:@PORT@\nconnect = 127.0.0.1:@SPARE@\n"
        f"cert = @CERTS@/server.pem\nCAfile = @CERTS@/client-ca.crt\n{options}"
    )
    return program("stunnel4", "@DIR@/stunnel.conf", files={"stunnel.conf": conf}, before=_BACK_END)


def _hitch(options: str) -> Start:
    conf = (
        'frontend = "[127.0.0.1]:@PORT@"\nbackend = "[127.0.0.1]:@SPARE@"\npem-file = "@CERTS@/server.pem"\n'
        f'user = "@USER@"\nworkers = 1\ntls-protos = TLSv1.2 TLSv1.3\n{options}'
    )
    return program("hitch", "--config=@DIR@/hitch.conf", files={"hitch.conf": conf}, before=_BACK_END)


def _cell(product: str, needs: str, configuration: str, truth: Truth, start: Start, **more: object) -> Cell:
    return Cell(product, configuration, truth, start, needs=(needs,), **more)  # type: ignore[arg-type]


def _s_server(configuration: str, truth: Truth, *options: str, kind: str = "-www", wire: Wire = _OPENSSL_PAGE) -> Cell:
    return _cell(
        "openssl s_server", "openssl", configuration, truth, _openssl(*options, kind=kind), wire=wire, light=True
    )


def _gnutls_serv(
    configuration: str, truth: Truth, *options: str, kind: str = "--http", wire: Wire = _GNUTLS_PAGE, expect: str = ""
) -> Cell:
    start = _gnutls(*options, kind=kind)
    return _cell("gnutls-serv", "gnutls-serv", configuration, truth, start, wire=wire, light=True, expect=expect)


CELLS = [
    _s_server("no client authentication", NONE),
    _s_server("-Verify, errors returned", REQUIRED, "-Verify", "1", "-verify_return_error"),
    _s_server("-Verify", ANY, "-Verify", "1"),
    _s_server("-verify", REQUESTED, "-verify", "1"),
    _s_server("-verify, errors returned", REQUESTED, "-verify", "1", "-verify_return_error"),
    _s_server("-Verify, TLS 1.2 only", REQUIRED, "-Verify", "1", "-verify_return_error", "-tls1_2"),
    _s_server("-Verify, TLS 1.3 only", REQUIRED, "-Verify", "1", "-verify_return_error", "-tls1_3"),
    _s_server("-verify, TLS 1.2 only", REQUESTED, "-verify", "1", "-tls1_2"),
    _s_server("-verify, TLS 1.3 only", REQUESTED, "-verify", "1", "-tls1_3"),
    _s_server("-Verify, lines", REQUIRED, "-Verify", "1", "-verify_return_error", kind="-rev", wire=_LINE),
    _s_server("no client authentication, lines", NONE, kind="-rev", wire=_LINE),
    _gnutls_serv("asks by default", REQUESTED, expect="GnuTLS"),
    _gnutls_serv("asks nobody", NONE, "--disable-client-cert"),
    _gnutls_serv("required and verified", Truth.HOLES, "--require-client-cert", "--verify-client-cert"),
    _gnutls_serv("required", ANY, "--require-client-cert"),
    _gnutls_serv(
        "required and verified, echo",
        Truth.HOLES,
        "--require-client-cert",
        "--verify-client-cert",
        kind="--echo",
        wire=_ECHO,
    ),
    _cell("socat", "socat", "verify=1", REQUIRED, _socat("verify=1")),
    _cell("socat", "socat", "verify=0", NONE, _socat("verify=0")),
    _cell("socat", "socat", "verify=1 and a common name", REQUIRED, _socat("verify=1,commonname=alice"), pinned=True),
    _cell(
        "ncat",
        "ncat",
        "--ssl",
        NONE,
        program(
            "ncat",
            "-l",
            "127.0.0.1",
            "@PORT@",
            "--ssl",
            "--ssl-cert",
            "@CERTS@/server.crt",
            "--ssl-key",
            "@CERTS@/server.key",
            "-k",
            "-c",
            "cat @DIR@/page",
            files={"page": _ANSWER},
        ),
    ),
    _cell("stunnel", "stunnel4", "no client authentication", NONE, _stunnel("")),
    _cell(
        "stunnel", "stunnel4", "verifyChain, requireCert", REQUIRED, _stunnel("verifyChain = yes\nrequireCert = yes\n")
    ),
    _cell(
        "stunnel",
        "stunnel4",
        "verifyChain, requireCert, TLS 1.2 only",
        REQUIRED,
        _stunnel("verifyChain = yes\nrequireCert = yes\nsslVersionMax = TLSv1.2\n"),
    ),
    _cell("stunnel", "stunnel4", "verifyChain", REQUIRED, _stunnel("verifyChain = yes\n")),  # implies requireCert
    _cell("stunnel", "stunnel4", "requireCert", ANY, _stunnel("requireCert = yes\n")),
    _cell("hitch", "hitch", "none", NONE, _hitch("")),
    _cell(
        "hitch",
        "hitch",
        "required",
        REQUIRED,
        _hitch('client-verify = required\nclient-verify-ca = "@CERTS@/client-ca.crt"\n'),
    ),
    _cell(
        "hitch",
        "hitch",
        "optional",
        REQUESTED,
        _hitch('client-verify = optional\nclient-verify-ca = "@CERTS@/client-ca.crt"\n'),
    ),
]

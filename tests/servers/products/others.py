"""Brokers, stores and programs of other languages: mosquitto, redis, memcached, slapd, Node, Go."""

from __future__ import annotations

from tests.servers.launch import program
from tests.servers.model import Cell, Start, Truth, Wire
from tests.servers.wires import http2

NONE, REQUESTED, ANY = Truth.NONE, Truth.REQUESTED, Truth.ANY
NAME, REQUIRED = Truth.NAME, Truth.REQUIRED
_REDIS = Wire(b"PING\r\n", b"+PONG")
_MEMCACHED = Wire(b"version\r\n", b"VERSION")
_MQTT = Wire(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04afar", b"\x20\x02\x00\x00")
_LDAP = Wire(b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", b"\x61")
_LINE = Wire(b"", b"hello from afar")


def _redis(clients: str) -> Start:
    return program(
        *("redis-server", "--port", "0", "--tls-port", "@PORT@", "--bind", "127.0.0.1", "--save", "", "--dir", "@DIR@"),
        *("--tls-cert-file", "@CERTS@/server.crt", "--tls-key-file", "@CERTS@/server.key"),
        *("--tls-ca-cert-file", "@CERTS@/client-ca.crt", "--tls-auth-clients", clients),
    )


def _memcached(mode: str) -> Start:
    options = f"ssl_chain_cert=@CERTS@/server.crt,ssl_key=@CERTS@/server.key,ssl_ca_cert=@CERTS@/client-ca.crt,ssl_verify_mode={mode}"
    return program("memcached", "-u", "root", "-l", "127.0.0.1", "-p", "@PORT@", "-Z", "-o", options)


def _mosquitto(options: str) -> Start:
    text = f"listener @PORT@ 127.0.0.1\nallow_anonymous true\nuser root\ncertfile @CERTS@/server.crt\nkeyfile @CERTS@/server.key\ncafile @CERTS@/client-ca.crt\n{options}\n"
    return program("mosquitto", "-c", "@DIR@/m.conf", files={"m.conf": text})


def _slapd(verify: str) -> Start:
    text = f"include /etc/ldap/schema/core.schema\nTLSCertificateFile @CERTS@/server.crt\nTLSCertificateKeyFile @CERTS@/server.key\nTLSCACertificateFile @CERTS@/client-ca.crt\nTLSVerifyClient {verify}\npidfile @DIR@/pid\nargsfile @DIR@/args\ndatabase ldif\ndirectory @DIR@\nsuffix dc=afar\n"
    return program("slapd", "-d", "0", "-f", "@DIR@/s.conf", "-h", "ldaps://127.0.0.1:@PORT@", files={"s.conf": text})


def _node(module: str, mode: str) -> Start:
    return program("node", "@PROGRAMS@/server.js", module, mode, "@PORT@", "@CERTS@")


def _cells(product: str, needs: str, rows: list[tuple[str, Truth, Start]], **more: object) -> list[Cell]:
    return [
        Cell(product, configuration, truth, start, needs=(needs,), **more)  # type: ignore[arg-type]
        for configuration, truth, start in rows
    ]


_NODE = {"none": NONE, "request": REQUESTED, "forbid": REQUIRED, "reject": REQUIRED, "name": NAME, "any": ANY}
CELLS = [
    *_cells(
        "Redis",
        "redis-server",
        [
            (f"tls-auth-clients {mode}", truth, _redis(mode))
            for mode, truth in (("no", NONE), ("optional", REQUESTED), ("yes", REQUIRED))
        ],
        wire=_REDIS,
    ),
    *_cells(
        "memcached",
        "memcached",
        [
            (f"ssl_verify_mode {mode}", truth, _memcached(mode))
            for mode, truth in (("0", NONE), ("1", REQUESTED), ("2", REQUIRED))
        ],
        wire=_MEMCACHED,
    ),
    *_cells(
        "mosquitto",
        "mosquitto",
        [
            (f"require_certificate {mode}", truth, _mosquitto(f"require_certificate {mode}"))
            for mode, truth in (("true", REQUIRED), ("false", NONE))
        ],
        wire=_MQTT,
    ),
    *_cells(
        "slapd",
        "slapd",
        [
            (f"TLSVerifyClient {mode}", truth, _slapd(mode))
            for mode, truth in (("never", NONE), ("allow", REQUESTED), ("try", REQUESTED))
        ],
        wire=_LDAP,
    ),
    *_cells(
        "slapd",
        "slapd",
        [("TLSVerifyClient demand", Truth.HOLES, _slapd("demand"))],
        wire=_LDAP,
    ),
    *_cells("Node https", "node", [(mode, truth, _node("https", mode)) for mode, truth in _NODE.items()], light=True),
    *_cells(
        "Node http2",
        "node",
        [(mode, _NODE[mode], _node("http2", mode)) for mode in ("none", "reject", "request")],
        wire=http2(),
        light=True,
    ),
    *_cells(
        "Node tls",
        "node",
        [(mode, _NODE[mode], _node("tls", mode)) for mode in ("none", "reject", "request")],
        wire=_LINE,
        light=True,
    ),
]

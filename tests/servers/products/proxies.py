"""Web servers and proxies: Apache, lighttpd, HAProxy, Caddy, nghttpx, nghttpd, Envoy."""

from __future__ import annotations

import dataclasses
import json

from tests.servers.launch import program, python_program
from tests.servers.model import MARKER, Cell, Start, Truth, http
from tests.servers.wires import http2

NONE, REQUESTED, ANY = Truth.NONE, Truth.REQUESTED, Truth.ANY
NAME, REQUIRED = Truth.NAME, Truth.REQUIRED
_BACK_END = python_program("backend.py", "@PORT@", MARKER)

_APACHE_MODULES = "".join(
    f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
    for name in ("mpm_event", "authz_core", "socache_shmcb", "ssl", "rewrite", "alias", "info")
)
_APACHE = f"""{_APACHE_MODULES}ServerName localhost
PidFile @DIR@/apache.pid
ErrorLog @DIR@/error.log
DefaultRuntimeDir @DIR@
DocumentRoot @DIR@
Listen 127.0.0.1:@PORT@
SSLSessionCache none
SSLEngine on
SSLCertificateFile @CERTS@/server.crt
SSLCertificateKeyFile @CERTS@/server.key
SSLCACertificateFile @CERTS@/client-ca.crt
ErrorDocument 404 "{MARKER}"
"""


def _apache(directives: str) -> Start:
    # The page is that of a resource gone: it needs no file that the workers' user may read.
    text = _APACHE + directives + "\nRedirect 200 /"
    text = text.replace("ErrorDocument 404", "ErrorDocument 200")
    return program("apache2", "-X", "-d", "@DIR@", "-f", "@DIR@/apache.conf", files={"apache.conf": text})


def _apache_location(directives: str) -> Start:
    """Asked for a location only: mod_ssl asks after the request, so a real content handler must give the page."""
    location = '<Location "/">\nSSLVerifyClient require\nSetHandler server-info\n</Location>'
    text = f"{_APACHE}{directives}\n{location}"
    return program("apache2", "-X", "-d", "@DIR@", "-f", "@DIR@/apache.conf", files={"apache.conf": text})


_LIGHTTPD = f"""
server.document-root = "@DIR@"
server.bind = "127.0.0.1"
server.port = @PORT@
server.errorfile-prefix = "@DIR@/"
server.modules = ("mod_%s")
ssl.engine = "enable"
ssl.pemfile = "@CERTS@/server-chain.crt"
ssl.privkey = "@CERTS@/server.key"
ssl.%s = "@CERTS@/client-ca.crt"
index-file.names = ("index.txt")
mimetype.assign = ("" => "text/plain")
# {MARKER}
"""


def _lighttpd(library: str, directives: str) -> Start:
    text = _LIGHTTPD % (library, "verifyclient.ca-file") + directives
    return program("lighttpd", "-D", "-f", "@DIR@/l.conf", files={"l.conf": text, "index.txt": MARKER})


def _haproxy(bind: str, rules: str = "") -> Start:
    text = f"""
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 5s
frontend afar
  bind 127.0.0.1:@PORT@ ssl crt @CERTS@/server.pem {bind}
  {rules}
  http-request return status 200 content-type text/plain string "{MARKER}"
"""
    return program("haproxy", "-db", "-f", "@DIR@/h.cfg", files={"h.cfg": text})


def _caddy(binary: str, mode: str) -> Start:
    trust = "trusted_ca_cert_file @CERTS@/client-ca.crt" if "verify" in mode else ""
    client_auth = f"{{\n client_auth {{\n mode {mode}\n {trust}\n }}\n }}" if mode else ""
    text = f"""{{
 admin off
 auto_https off
}}
https://localhost:@PORT@ {{
 bind 127.0.0.1
 tls @CERTS@/server.crt @CERTS@/server.key {client_auth}
 respond "{MARKER}"
}}
"""
    command = (binary, "run", "--config", "@DIR@/Caddyfile", "--adapter", "caddyfile")
    return program(*command, files={"Caddyfile": text}, variables={"HOME": "@DIR@", "XDG_DATA_HOME": "@DIR@"})


def _nghttpx(*options: str) -> Start:
    return program(
        *("nghttpx", "-f", "127.0.0.1,@PORT@", "-b", "127.0.0.1,@SPARE@", "--no-ocsp", "--workers=1"),
        *("--errorlog-file=@DIR@/log", "--conf=/dev/null", *options, "@CERTS@/server.key", "@CERTS@/server.crt"),
        before=_BACK_END,
    )


def _nghttpd(*options: str) -> Start:
    command = (
        "nghttpd",
        "-a",
        "127.0.0.1",
        "-d",
        "@DIR@",
        *options,
        "@PORT@",
        "@CERTS@/server.key",
        "@CERTS@/server.crt",
    )
    return program(*command, files={"index.html": MARKER})


def _envoy(*, require: bool, validate: bool, accept_untrusted: bool = False, alpn: str = "http/1.1") -> Start:
    common: dict[str, object] = {
        "alpn_protocols": [alpn],
        "tls_certificates": [
            {"certificate_chain": {"filename": "@CERTS@/server.crt"}, "private_key": {"filename": "@CERTS@/server.key"}}
        ],
    }
    if validate:
        context: dict[str, object] = {"trusted_ca": {"filename": "@CERTS@/client-ca.crt"}}
        if accept_untrusted:
            context["trust_chain_verification"] = "ACCEPT_UNTRUSTED"
        common["validation_context"] = context
    kind = "type.googleapis.com/envoy.extensions"
    manager = {
        "@type": f"{kind}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "afar",
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{kind}.filters.http.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "afar",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/"},
                            "direct_response": {"status": 200, "body": {"inline_string": MARKER}},
                        }
                    ],
                }
            ]
        },
    }
    tls = {
        "@type": f"{kind}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": require,
        "common_tls_context": common,
    }
    chain = {
        "transport_socket": {"name": "tls", "typed_config": tls},
        "filters": [{"name": "http", "typed_config": manager}],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": "@PORT@"}}
    text = json.dumps({"static_resources": {"listeners": [{"address": address, "filter_chains": [chain]}]}})
    text = text.replace('"@PORT@"', "@PORT@")
    command = ("envoy", "-c", "@DIR@/envoy.json", "--concurrency", "1", "--use-dynamic-base-id", "-l", "error")
    return program(*command, files={"envoy.json": text})


def _cells(product: str, needs: str, rows: list[tuple[str, Truth, Start]], **more: object) -> list[Cell]:
    return [
        Cell(product, configuration, truth, start, needs=(needs,), **more)  # type: ignore[arg-type]
        for configuration, truth, start in rows
    ]


_FORBID = "RewriteEngine on\nRewriteCond %%{SSL:SSL_CLIENT_VERIFY} !=SUCCESS\nRewriteRule .* - [%s]"
_CADDY = {"": NONE, "request": REQUESTED, "require": ANY, "verify_if_given": REQUESTED, "require_and_verify": REQUIRED}
_LIGHTTPD_ENFORCE = 'ssl.verifyclient.activate = "enable"\nssl.verifyclient.enforce = "%s"\n'
_VERIFY = "ca-file @CERTS@/client-ca.crt verify"
# With GnuTLS, it looks at no purpose; not enforced, it hangs up on who has none and takes any that comes.
_ENFORCED = {"gnutls": Truth.HOLES}
_NOT_ENFORCED = {"gnutls": ANY}
CELLS = [
    *_cells(
        "Apache",
        "apache2",
        [
            ("no client authentication", NONE, _apache("")),
            ("require", REQUIRED, _apache("SSLVerifyClient require")),
            ("optional", REQUESTED, _apache("SSLVerifyClient optional")),
            ("optional_no_ca", REQUESTED, _apache("SSLVerifyClient optional_no_ca")),
            ("optional, TLS 1.2 only", REQUESTED, _apache("SSLVerifyClient optional\nSSLProtocol TLSv1.2")),
            ("optional, TLS 1.3 only", REQUESTED, _apache("SSLVerifyClient optional\nSSLProtocol TLSv1.3")),
            ("optional, 403 for others", REQUIRED, _apache("SSLVerifyClient optional\n" + _FORBID % "F")),
            ("require, TLS 1.2 only", REQUIRED, _apache("SSLVerifyClient require\nSSLProtocol TLSv1.2")),
            ("require, TLS 1.3 only", REQUIRED, _apache("SSLVerifyClient require\nSSLProtocol TLSv1.3")),
            (
                "optional_no_ca, the CN is compared",
                NAME,
                _apache(
                    "SSLVerifyClient optional_no_ca\nRewriteEngine on\nRewriteCond %{SSL:SSL_CLIENT_S_DN_CN} !=alice\nRewriteRule .* - [F]"
                ),
            ),
        ],
    ),
    *_cells(
        "Apache (asks after the request)",
        "apache2",
        [
            ("require for a location", REQUIRED, _apache_location("")),
            ("require for a location, TLS 1.2 only", REQUIRED, _apache_location("SSLProtocol TLSv1.2")),
            ("require for a location, TLS 1.3 only", REQUIRED, _apache_location("SSLProtocol TLSv1.3")),
        ],
        wire=dataclasses.replace(http(), marker=b"Apache Server Information"),
    ),
    *(
        cell
        for library in ("openssl", "gnutls", "mbedtls", "wolfssl")
        for cell in _cells(
            f"lighttpd ({library})",
            f"/usr/lib/lighttpd/mod_{library}.so",
            [
                ("no client authentication", NONE, _lighttpd(library, "")),
                ("enforced", _ENFORCED.get(library, REQUIRED), _lighttpd(library, _LIGHTTPD_ENFORCE % "enable")),
                (
                    "not enforced",
                    _NOT_ENFORCED.get(library, REQUESTED),
                    _lighttpd(library, _LIGHTTPD_ENFORCE % "disable"),
                ),
            ],
        )
    ),
    *_cells(
        "HAProxy",
        "haproxy",
        [
            ("no client authentication", NONE, _haproxy("")),
            ("required", REQUIRED, _haproxy(f"{_VERIFY} required")),
            ("required, TLS 1.2 only", REQUIRED, _haproxy(f"{_VERIFY} required ssl-max-ver TLSv1.2")),
            ("required, TLS 1.3 only", REQUIRED, _haproxy(f"{_VERIFY} required ssl-min-ver TLSv1.3")),
            ("optional, TLS 1.2 only", REQUESTED, _haproxy(f"{_VERIFY} optional ssl-max-ver TLSv1.2")),
            ("optional", REQUESTED, _haproxy(f"{_VERIFY} optional")),
            (
                "optional, 403 for others",
                REQUIRED,
                _haproxy(f"{_VERIFY} optional", "http-request deny unless { ssl_c_used }"),
            ),
            (
                "optional, others redirected",
                REQUIRED,
                _haproxy(
                    f"{_VERIFY} optional",
                    "http-request redirect location https://sso.example.test/ code 303 unless { ssl_c_used }",
                ),
            ),
            ("required, errors ignored", ANY, _haproxy(f"{_VERIFY} required crt-ignore-err all ca-ignore-err all")),
            (
                "errors ignored, the CN is compared",
                NAME,
                _haproxy(
                    f"{_VERIFY} required crt-ignore-err all ca-ignore-err all",
                    "http-request deny unless { ssl_c_s_dn(cn) -m str alice }",
                ),
            ),
        ],
    ),
    *_cells(
        "HAProxy (HTTP/2)",
        "haproxy",
        [
            ("required, h2 only", REQUIRED, _haproxy(f"{_VERIFY} required alpn h2")),
            ("no client authentication, h2 only", NONE, _haproxy("alpn h2")),
        ],
        wire=http2(),
    ),
    *_cells(
        "Caddy 2.6",
        "/usr/bin/caddy",
        [(mode or "no client authentication", truth, _caddy("/usr/bin/caddy", mode)) for mode, truth in _CADDY.items()],
    ),
    *_cells(
        "Caddy 2.11",
        "@VENV@/bin/caddy",
        [
            (mode or "no client authentication", truth, _caddy("@VENV@/bin/caddy", mode))
            for mode, truth in _CADDY.items()
        ],
    ),
    *_cells(
        "nghttpx",
        "nghttpx",
        [
            ("no client authentication", NONE, _nghttpx()),
            ("verify-client", REQUIRED, _nghttpx("--verify-client", "--verify-client-cacert=@CERTS@/client-ca.crt")),
            (
                "verify-client, expired ones tolerated",
                Truth.HOLES,
                _nghttpx(
                    "--verify-client",
                    "--verify-client-cacert=@CERTS@/client-ca.crt",
                    "--verify-client-tolerate-expired",
                ),
            ),
        ],
    ),
    *_cells(
        "nghttpd",
        "nghttpd",
        [
            ("no client authentication", NONE, _nghttpd()),
            ("any certificate", ANY, _nghttpd("--verify-client")),
        ],
        wire=http2(),
    ),
    *_cells(
        "Envoy (BoringSSL)",
        "envoy",
        [
            ("no client authentication", NONE, _envoy(require=False, validate=False)),
            ("required", REQUIRED, _envoy(require=True, validate=True)),
            ("verified if given", REQUESTED, _envoy(require=False, validate=True)),
            ("required, untrusted accepted", ANY, _envoy(require=True, validate=True, accept_untrusted=True)),
        ],
    ),
]

"""nginx: whether it refuses by a page, by a rule of its own, by hanging up, or not at all."""

from __future__ import annotations

from tests.servers.launch import program
from tests.servers.model import MARKER, Cell, Start, Truth, Wire
from tests.servers.wires import http2

_HEAD = """
daemon off; master_process off; pid nginx.pid; error_log stderr;
events { worker_connections 256; }
http {
  access_log off; client_body_temp_path t1; proxy_temp_path t2;
  fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
  ssl_certificate @CERTS@/server.crt; ssl_certificate_key @CERTS@/server.key;
  ssl_client_certificate @CERTS@/client-ca.crt;
  default_type text/html;
  limit_req_zone $binary_remote_addr zone=slow:1m rate=1r/m;
"""
LISTEN = "listen 127.0.0.1:@PORT@ ssl;"
PAGE = f'location / {{ return 200 "{MARKER}"; }}'
REFUSE = "if ($ssl_client_verify != SUCCESS) { return %s; }"
NONE, REQUESTED, ANY = Truth.NONE, Truth.REQUESTED, Truth.ANY
NAME, REQUIRED, VARIES, OPEN = Truth.NAME, Truth.REQUIRED, Truth.VARIES, Truth.OPEN


def nginx(*servers: str) -> Start:
    """Nginx with these server blocks."""
    blocks = "".join(f"  server {{ {server} }}\n" for server in servers)
    return program("nginx", "-p", "@DIR@/", "-c", "@DIR@/nginx.conf", files={"nginx.conf": f"{_HEAD}{blocks}}}\n"})


def usual(directives: str, page: str = PAGE) -> Start:
    """One server on the usual address."""
    return nginx(f"{LISTEN} {directives} {page}")


def name_rule(variable: str, pattern: str) -> str:
    """Whoever's name does not match is turned away, and nobody asks who says so."""
    return f"ssl_verify_client optional_no_ca; if (${variable} !~ {pattern}) {{ return 403; }}"


_ON = "ssl_verify_client on;"
_OPTIONAL = "ssl_verify_client optional;"
_NO_CA = "ssl_verify_client optional_no_ca;"
_RSA_ONLY = "ssl_conf_command ClientSignatureAlgorithms RSA-PSS+SHA256:RSA+SHA256;"
_SAYS_IT_TO_ALL = 'location / { return 400 "<title>400 No required SSL certificate was sent</title>"; }'
_LIMITED = 'location / { limit_req zone=slow burst=1 nodelay; limit_req_status %s; root @DIR@; try_files /none @page; } location @page { return 200 "%s"; }'
_BACK_END_DOWN = "location / { proxy_pass http://127.0.0.1:@SPARE@; }"
_PRIVATE = f'location / {{ return 200 open; }} location /private {{ {REFUSE % 403} return 200 "{MARKER}"; }}'
_SIX = "listen [::1]:@PORT@ ssl;"


def _cell(configuration: str, truth: Truth, start: Start, **more: object) -> Cell:
    return Cell("nginx", configuration, truth, start, needs=("nginx",), **more)  # type: ignore[arg-type]


CELLS = [
    _cell("no client authentication", NONE, usual(""), light=True),
    _cell("on", REQUIRED, usual(_ON), light=True),
    _cell("optional", REQUESTED, usual(_OPTIONAL), light=True),
    _cell("optional_no_ca", REQUESTED, usual(_NO_CA), light=True),
    _cell("on, TLS 1.2 only", REQUIRED, usual(f"{_ON} ssl_protocols TLSv1.2;")),
    _cell("on, TLS 1.3 only", REQUIRED, usual(f"{_ON} ssl_protocols TLSv1.3;")),
    _cell("no client authentication, TLS 1.3 only", NONE, usual("ssl_protocols TLSv1.3;")),
    _cell("optional, TLS 1.2 only", REQUESTED, usual(f"{_OPTIONAL} ssl_protocols TLSv1.2;")),
    _cell("optional, TLS 1.3 only", REQUESTED, usual(f"{_OPTIONAL} ssl_protocols TLSv1.3;")),
    _cell("optional_no_ca, TLS 1.3 only", REQUESTED, usual(f"{_NO_CA} ssl_protocols TLSv1.3;")),
    _cell("optional, HTTP/2", REQUESTED, nginx(f"listen 127.0.0.1:@PORT@ ssl http2; {_OPTIONAL} {PAGE}"), wire=http2()),
    _cell("on, RSA signatures only", REQUIRED, usual(_ON + _RSA_ONLY), rsa=True),
    _cell("on, HTTP/2", REQUIRED, nginx(f"listen 127.0.0.1:@PORT@ ssl http2; {_ON} {PAGE}"), wire=http2()),
    _cell("on, the Web's CAs as client CAs", REQUIRED, usual(f"ssl_client_certificate @CERTS@/web-cas.crt; {_ON}")),
    _cell("on, no list of CAs", REQUIRED, usual(f"ssl_trusted_certificate @CERTS@/client-ca.crt; {_ON}")),
    _cell("on, refusal redirected", REQUIRED, usual(f"{_ON} error_page 495 496 =302 https://login.example.test/;")),
    _cell(
        "on, refusal as a page with 200",
        REQUIRED,
        usual(f"{_ON} error_page 495 496 =200 /denied;", f"location = /denied {{ return 200 denied; }} {PAGE}"),
        hidden=True,
    ),
    _cell(
        "on, refusal as 404",
        REQUIRED,
        usual(f"{_ON} error_page 495 496 =404 /none;", f"location = /none {{ return 404; }} {PAGE}"),
    ),
    _cell("on, back end down", REQUIRED, usual(_ON, _BACK_END_DOWN), oracle=False),
    _cell("optional, 401 for others", REQUIRED, usual(_OPTIONAL + REFUSE % 401)),
    _cell("optional, 403 for others", REQUIRED, usual(_OPTIONAL + REFUSE % 403), light=True),
    _cell("optional, 404 for others", REQUIRED, usual(_OPTIONAL + REFUSE % 404)),
    _cell("optional, 421 for others", REQUIRED, usual(_OPTIONAL + REFUSE % 421)),
    _cell("optional, hangs up on others", REQUIRED, usual(_OPTIONAL + REFUSE % 444)),
    _cell("optional, 503 for others", REQUIRED, usual(_OPTIONAL + REFUSE % 503)),
    _cell("optional, 526 for others", REQUIRED, usual(_OPTIONAL + REFUSE % 526)),
    _cell(
        "optional, login page with 200 for others",
        REQUIRED,
        usual(_OPTIONAL + REFUSE % "200 'please log in'"),
        hidden=True,
    ),
    _cell(
        "optional, login page with 200 for others, --expect",
        REQUIRED,
        usual(_OPTIONAL + REFUSE % "200 'please log in'"),
        expect=MARKER,
    ),
    _cell(
        "optional, others redirected with a nonce",
        REQUIRED,
        usual(_OPTIONAL + REFUSE % "302 /login?next=$request_id", f"location / {{ return 200 '{MARKER}'; }}"),
    ),
    _cell(
        "optional, everybody redirected with a nonce",
        REQUESTED,
        usual(_OPTIONAL, "location / { return 302 /login?next=$request_id; }"),
        oracle=False,
    ),
    _cell("optional_no_ca, 403 unless verified", REQUIRED, usual(_NO_CA + REFUSE % 403)),
    _cell(
        "optional_no_ca, 403 without a certificate",
        ANY,
        usual(f"{_NO_CA} if ($ssl_client_verify = NONE) {{ return 403; }}"),
        light=True,
    ),
    _cell("optional_no_ca, the CN is compared", NAME, usual(name_rule("ssl_client_s_dn", "CN=alice")), light=True),
    _cell("optional_no_ca, the issuer is compared", NAME, usual(name_rule("ssl_client_i_dn", "client"))),
    _cell(
        "optional_no_ca, the key is pinned",
        REQUIRED,
        usual(
            _NO_CA
            + "if ($ssl_client_serial = '') { return 403; } if ($ssl_client_fingerprint != @PIN@) { return 403; }"
        ),
        pinned=True,
    ),
    _cell(
        "on, the CN is compared, too",
        REQUIRED,
        usual(f"{_ON} if ($ssl_client_s_dn !~ CN=alice) {{ return 403; }}"),
        pinned=True,
    ),
    _cell("on, 404 for everybody", REQUIRED, usual(_ON, "location / { return 404; }"), oracle=False),
    _cell("optional, 404 for everybody", REQUESTED, usual(_OPTIONAL, "location / { return 404; }"), oracle=False),
    _cell("one path is protected: that path", REQUIRED, usual(_OPTIONAL, _PRIVATE), path="/private"),
    _cell("one path is protected: another", REQUESTED, usual(_OPTIONAL, _PRIVATE), wire=None, oracle=False),
    _cell(
        "no client authentication, a page that changes",
        NONE,
        usual("", f"location / {{ return 200 '{MARKER} $request_id'; }}"),
    ),
    _cell("on, a page that changes", REQUIRED, usual(_ON, f"location / {{ return 200 '{MARKER} $request_id'; }}")),
    _cell(
        "optional, a page that changes",
        REQUESTED,
        usual(_OPTIONAL, f"location / {{ return 200 '{MARKER} $request_id'; }}"),
    ),
    _cell(
        "no client authentication, 429 after two", NONE, usual("", _LIMITED % (429, MARKER)), counts=True, oracle=False
    ),
    _cell(
        "no client authentication, hangs up after two",
        NONE,
        usual("", _LIMITED % (444, MARKER)),
        counts=True,
        oracle=False,
    ),
    _cell("optional, 429 after two", REQUESTED, usual(_OPTIONAL, _LIMITED % (429, MARKER)), counts=True, oracle=False),
    _cell("no client authentication, nginx's refusal for everybody", NONE, usual("", _SAYS_IT_TO_ALL), oracle=False),
    _cell("IPv4 on, IPv6 none", VARIES, nginx(f"{LISTEN} {_ON} {PAGE}", f"{_SIX} {PAGE}"), oracle=False),
    _cell("IPv4 none, IPv6 on", VARIES, nginx(f"{LISTEN} {PAGE}", f"{_SIX} {_ON} {PAGE}"), oracle=False),
    _cell("on, IPv6 literal", REQUIRED, nginx(f"{_SIX} {_ON} {PAGE}"), host="[::1]", oracle=False),
    _cell(
        "unknown names are rejected",
        OPEN,
        nginx(f"{LISTEN} ssl_reject_handshake on;", f"{LISTEN} server_name only.test; {_ON} {PAGE}"),
    ),
    _cell("wants the PROXY protocol", OPEN, nginx(f"listen 127.0.0.1:@PORT@ ssl proxy_protocol; {_ON} {PAGE}")),
    _cell("plain HTTP", OPEN, nginx(f"listen 127.0.0.1:@PORT@; {PAGE}"), wire=Wire(b"GET / HTTP/1.0\r\n\r\n")),
]

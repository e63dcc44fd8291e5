"""The rules over the configuration: a weakness is caught however it is written, and what is none is left alone."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import re
from pathlib import Path

import pytest
from mtlslab import pki
from mtlslab.pki.crl import issue_crl
from mtlslab.pki.faults import Severity
from mtlslab.plan.paths import CLIENT_CA, CRL, SERVER_CA
from mtlslab.plan.render import render
from mtlslab.plan.services import CONTAINER_ROOT, MTLS_SERVICE, TLS_SERVICE, make_plan
from mtlslab.plan.spec import LabSpec
from mtlslab.verify.configuration.parse import UnreadableError, parse, split_dump
from mtlslab.verify.rules.catalogue import CATALOGUE
from mtlslab.verify.rules.facts import Facts
from mtlslab.verify.rules.load import Reading
from mtlslab.workspace.directory import Workspace

NOW = datetime.datetime.now(datetime.UTC)
SPEC = LabSpec(name="lecture", tls_port=8888, mtls_port=8889, key_type="ec-p256")
PKI = pki.issue_pki(SPEC, now=NOW)
STRANGER = pki.issue_ca("stranger", pki.new_key("ec-p256"), now=NOW, days=30)
SAME_NAME = pki.issue_ca("lecture client CA", pki.new_key("ec-p256"), now=NOW, days=30, organization="lecture")
CONF = f"{MTLS_SERVICE}/nginx.conf"
ON = "ssl_verify_client on;"
LISTEN = "include listen.conf;"
LOCATION = re.compile(r"location = /hello-world\.txt \{[^}]*\}")
PAGE = "location / { root nginx-mtls; }"
CERTIFICATE = "ssl_certificate ../certs/server.crt; ssl_certificate_key ../certs/server.key;"
CIPHERS = re.compile(r"ssl_ciphers [^;]*;")


@dataclasses.dataclass
class Lab:
    """A rendered lab of files, of which nothing runs."""

    workspace: Workspace
    contained: bool = False

    def write(self, path: str, content: str | bytes) -> None:
        file = self.workspace.directory / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    def edit(self, old: str | re.Pattern[str], new: str, service: str = MTLS_SERVICE) -> None:
        path = self.workspace.directory / service / "nginx.conf"
        text = path.read_text()
        changed = text.replace(old, new) if isinstance(old, str) else old.sub(lambda _: new, text)
        assert changed != text, f"{old} is not there"
        path.write_text(changed)

    def server(self, body: str, service: str = MTLS_SERVICE) -> None:
        """Add a server block behind the one that is there."""
        self.edit(re.compile(r"\n\}\s*\Z"), f"\nserver {{ {body} }}\n}}\n", service)

    def facts(self) -> Facts:
        known = Reading(self.workspace, SPEC, contained=self.contained)()
        assert known.facts is not None, known.problem
        return dataclasses.replace(known.facts, unheard="")

    def broken(self, *, grave: bool = True) -> set[str]:
        """The rules that fail; with ``grave`` false, those that warn."""
        found = set()
        facts = self.facts()
        for rule in CATALOGUE.values():
            objections = list(rule.objections(facts))
            fails = rule.severity is Severity.REQUIRED and any(one.grave for one in objections)
            if objections and fails is grave:
                found.add(rule.id.removeprefix("config-"))
        return found


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    (tmp_path / "certs").mkdir()
    made = Lab(Workspace(tmp_path))
    made.write(CLIENT_CA, PKI.client_ca.certificate_pem())
    made.write(SERVER_CA, PKI.server_ca.certificate_pem())
    for path, text in render(make_plan(SPEC, tmp_path, image="", user=""), SPEC).items():
        made.write(path, text)
    return made


def test_a_rendered_lab_is_good_by_every_rule(lab: Lab) -> None:
    assert lab.broken() == set()
    assert lab.broken(grave=False) == set()


def test_a_rendered_lab_is_good_in_a_container_as_well(lab: Lab) -> None:
    lab.contained = True
    assert lab.broken() == set()
    assert lab.broken(grave=False) == set()


def test_there_are_rules_enough_and_each_names_its_source() -> None:
    assert len(CATALOGUE) >= 25
    for rule in CATALOGUE.values():
        assert re.fullmatch(r"config(-[a-z]+)+", rule.id)
        assert rule.source
        assert rule.sabotage
        assert rule.directive


# --- what is written into the server block


IN_SERVER = [
    # client authentication, in other words, places and orders
    ("listens-nowhere-else", "listen 127.0.0.1:8890 ssl;"),
    ("listens-nowhere-else", "listen [::1]:8889 ssl;"),
    ("listens-nowhere-else", "listen 8889 ssl;"),
    ("listens-nowhere-else", "listen *:8889 ssl;"),
    ("listens-nowhere-else", "listen 127.0.0.1:8889-8899 ssl;"),
    ("listens-nowhere-else", "listen unix:/tmp/socket ssl;"),
    ("listens-nowhere-else", "listen localhost:8889 ssl;"),
    ("listens-with-tls", 'listen "127.0.0.1:8081";'),
    ("listens-with-tls", "listen 8081 default_server;"),
    ("serves-nothing-but-https", "listen 127.0.0.1:8889 ssl proxy_protocol;"),
    ("serves-nothing-but-https", "listen 127.0.0.1:8889 quic;"),
    ("refusals-stay-refusals", "error_page 495 496 =200 /hello-world.txt;"),
    ("refusals-stay-refusals", "error_page 496 /hello-world.txt;"),
    ("refusals-stay-refusals", "error_page 404 403 495 = /hello-world.txt;"),
    ("refusals-stay-refusals", "error_page 496 =204 @nothing; location @nothing { return 403; }"),
    ("refusals-stay-refusals", 'error_page 496 = @text; location @text { return 200 "Hello"; }'),
    (
        "refusals-stay-refusals",
        "error_page 496 @a; location @a { root nginx-mtls; try_files /hello-world.txt =404; }",
    ),
    ("refusals-stay-refusals", "error_page 496 @all; location @all { rewrite ^(.*)$ /hello-world.txt last; }"),
    ("refusals-stay-refusals", "error_page 496 /x; location ~ ^/x$ { alias nginx-mtls/hello-world.txt; }"),
    ("refusals-stay-refusals", "error_page 496 @app; location @app { proxy_pass http://127.0.0.1:9; }"),
    ("refusals-stay-refusals", "error_page 497 =200 /hello-world.txt;"),
    ("answers-with-the-page", "return 204;"),
    ("answers-with-the-page", "if ($request_method = GET) { return 200 hello; }"),
    ("answers-with-the-page", "rewrite ^/hello-world.txt$ /other.txt break; root nginx-mtls;"),
    ("answers-with-the-page", "return 403;"),
    ("answers-with-the-page", "location ^~ /hello { return 200 hello; } rewrite ^ /hello break;"),
    ("identity-comes-from-the-handshake", "add_header X-SSL-Client-Subject $http_x_subject always;"),
    ("identity-comes-from-the-handshake", 'add_header x-ssl-client-verify "SUCCESS" always;'),
    ("identity-comes-from-the-handshake", "set $who ${arg_who}; add_header X-Client-DN $who always;"),
    ("identity-comes-from-the-handshake", "location /a { proxy_set_header X-User $cookie_user; }"),
    (
        "identity-comes-from-the-handshake",
        "set $v $ssl_client_verify; if ($http_x = 1) { set $v SUCCESS; } add_header X-Verified $v;",
    ),
    ("passes-no-forged-identity-on", "location /app/ { proxy_pass http://127.0.0.1:9; }"),
    ("takes-no-files", "location /up/ { dav_methods PUT DELETE; }"),
    ("takes-no-files", "client_body_in_file_only on;"),
    ("no-early-data", "ssl_early_data on;"),
    ("ticket-keys-are-short-lived", "ssl_session_ticket_key ticket.key;"),
    ("sessions-end", "ssl_session_timeout 7d;"),
    ("sessions-end", "ssl_session_timeout 100000;"),
    ("sessions-end", 'ssl_session_timeout "23h 120m";'),
    ("openssl-is-left-alone", "ssl_conf_command MinProtocol TLSv1;"),
    ("openssl-is-left-alone", "ssl_conf_command Options UnsafeLegacyRenegotiation;"),
    ("openssl-is-left-alone", "ssl_conf_command CipherString ALL:@SECLEVEL=0;"),
    ("dh-parameters", "ssl_dhparam none.pem;"),
    ("serves-its-own-directory", "location /files/ { root .; }"),
    ("serves-its-own-directory", "location /files/ { root nginx-mtls/..; }"),
    ("serves-its-own-directory", "location /files/ { alias certs/; }"),
    ("serves-its-own-directory", "location /files/ { alias /etc/; }"),
    ("serves-its-own-directory", "location /files/ { root $http_x; }"),
    ("serves-its-own-directory", "location /tls/ { alias nginx-tls/; }"),
    ("alias-does-not-climb", "location /files { alias nginx-mtls/files/; }"),
    ("alias-does-not-climb", "location ^~ /files { alias nginx-mtls/files/; }"),
    ("alias-does-not-climb", "location ~ ^/files(.*)$ { alias nginx-mtls/$1; }"),
    ("lists-no-directory", "location /all/ { autoindex on; }"),
    ("logs-every-request", "access_log off;"),
    ("logs-every-request", "location /x/ { access_log off; }"),
    ("logs-every-request", "access_log /dev/stdout lab if=$http_x;"),
    ("logs-every-request", "access_log run/private.log lab;"),
    ("log-names-the-client", "access_log /dev/stdout combined;"),
    ("errors-are-logged", "error_log /dev/null;"),
    ("errors-are-logged", "error_log off;"),
    ("runs-no-code", "location /lua { content_by_lua_block { ngx.say('x') } }"),
    ("runs-no-code", "location /perl { perl 'sub { }'; }"),
]


@pytest.mark.parametrize(("rule", "text"), IN_SERVER, ids=lambda value: value[:60])
def test_a_weakness_in_the_server_block_breaks_its_rule(lab: Lab, rule: str, text: str) -> None:
    lab.edit(LISTEN, f"{LISTEN} {text}")
    assert rule in lab.broken()


IN_HTTP = [
    ("no-early-data", "ssl_early_data on;"),
    ("ticket-keys-are-short-lived", "ssl_session_ticket_key a.key; ssl_session_ticket_key b.key;"),
    ("lists-no-directory", "autoindex on;"),
    ("sessions-end", "ssl_session_timeout 1M;"),
    (
        "identity-comes-from-the-handshake",
        "map $http_a $b { default x; } map $b $who { default y; x z; } add_header X-Client-Cert $who;",
    ),
    ("openssl-is-left-alone", "ssl_conf_command Options AllowNoDHEKEX;"),
]


@pytest.mark.parametrize(("rule", "text"), IN_HTTP, ids=lambda value: value[:60])
def test_a_weakness_in_the_http_block_breaks_its_rule(lab: Lab, rule: str, text: str) -> None:
    if "add_header" in text:  # those of the server hide those of the http block
        lab.edit(re.compile(r"add_header [^;]*;"), "")
    lab.edit("http {", f"http {{ {text}")
    assert rule in lab.broken()


IN_MAIN = [
    ("serves-nothing-but-https", "stream { server { listen 8890; proxy_pass 127.0.0.1:8889; } }"),
    ("serves-nothing-but-https", "mail { server { listen 8890; } }"),
    ("runs-no-code", "load_module modules/ngx_http_js_module.so;"),
    ("workers-have-no-rights", "user root;"),
    ("workers-have-no-rights", "user 'root' wheel;"),
]


@pytest.mark.parametrize(("rule", "text"), IN_MAIN, ids=lambda value: value[:60])
def test_a_weakness_outside_of_http_breaks_its_rule(lab: Lab, rule: str, text: str) -> None:
    lab.edit("worker_processes 1;", f"worker_processes 1; {text}")
    assert rule in lab.broken()


# --- who is let in


@pytest.mark.parametrize(
    "rule",
    [
        "ssl_verify_client off;",
        "ssl_verify_client optional;",
        "'ssl_verify_client' \"optional_no_ca\";",
        "",
        "ssl_verify_client optional; if ($ssl_client_verify = NONE) { set $a 1; }",
        "ssl_verify_client optional_no_ca; if ($ssl_client_verify = NONE) { return 403; }",
        "ssl_verify_client optional_no_ca; if ($ssl_client_verify ~* ^failed) { return 403; }",
        'ssl_verify_client optional_no_ca; if ($ssl_client_serial = "") { return 403; }',
        (
            "ssl_verify_client optional; set $n 0; if ($ssl_client_verify != SUCCESS) { set $n 1; } "
            "if ($server_protocol = HTTP/2.0) { set $n 0; } if ($n) { return 403; }"
        ),
        (
            "ssl_verify_client optional; if ($request_method = HEAD) { break; } "
            "if ($ssl_client_verify != SUCCESS) { return 403; }"
        ),
        'ssl_verify_client optional; set $k "$ssl_client_verify$http_x"; if ($k !~ SUCCESS) { return 403; }',
        "ssl_verify_client optional; if ($ssl_client_verify != SUCCESS) { return 200 hello; }",
        "ssl_verify_client optional; if ($ssl_client_verify != SUCCESS) { rewrite ^ /hello-world.txt; }",
    ],
)
def test_a_rule_with_a_gap_lets_strangers_in(lab: Lab, rule: str) -> None:
    lab.edit(ON, rule)
    assert "asks-every-client" in lab.broken()


@pytest.mark.parametrize(
    ("maps", "rule"),
    [
        ("map $http_x $deny { default 1; ~. 0; }", "if ($deny) { return 403; }"),
        ('map "$http_x:$ssl_client_verify" $deny { default 1; ~:SUCCESS$ 0; }', "if ($deny) { return 403; }"),
        ("map $ssl_client_verify $deny { default 0; NONE 1; }", "if ($deny) { return 403; }"),
        ("geo $near { default 0; 127.0.0.1 1; }", "if ($near = 0) { return 403; }"),
        ("map $ssl_client_verify $deny { default 1; SUCCESS 0; ~^FAILED 0; }", "if ($deny) { return 403; }"),
    ],
)
def test_a_map_with_a_gap_lets_strangers_in(lab: Lab, maps: str, rule: str) -> None:
    lab.edit("http {", f"http {{ {maps}")
    lab.edit(ON, f"ssl_verify_client optional_no_ca; {rule}")
    assert "asks-every-client" in lab.broken()


@pytest.mark.parametrize(
    ("maps", "rule"),
    [
        ("", "if ($ssl_client_verify != SUCCESS) { return 403; }"),
        ("", 'if ($ssl_client_verify !~ "^SUCCESS$") { return 444; }'),
        ("map $ssl_client_verify $deny { default 1; SUCCESS 0; }", "if ($deny) { return 403; }"),
        ("map $ssl_client_verify:$uri $deny { default 1; ~^SUCCESS: 0; }", "if ($deny) { return 403; }"),
        ("", "set $ok no; if ($ssl_client_verify = SUCCESS) { set $ok yes; } if ($ok = no) { return 401; }"),
        ("", "if ($request_method = POST) { return 405; } if ($ssl_client_verify != SUCCESS) { return 400; }"),
    ],
)
def test_a_complete_rule_of_its_own_is_a_warning(lab: Lab, maps: str, rule: str) -> None:
    lab.edit("http {", f"http {{ {maps}")
    lab.edit(ON, f"ssl_verify_client optional_no_ca; {rule}")
    assert lab.broken() == set()
    assert "asks-every-client" in lab.broken(grave=False)


@pytest.mark.parametrize(
    "body",
    [
        f"listen 127.0.0.1:8889 ssl; server_name intranet.test; {CERTIFICATE} {PAGE}",
        f"{LISTEN} server_name ~^intra; {CERTIFICATE} ssl_verify_client optional; {PAGE}",
        f"{LISTEN} server_name _; {CERTIFICATE} return 200 hello;",
        f"{LISTEN} server_name *.test; {CERTIFICATE} location /a {{ location /a/b {{ return 200 x; }} return 403; }}",
    ],
)
def test_another_server_block_without_client_authentication_is_a_door(lab: Lab, body: str) -> None:
    lab.server(body)
    assert {"asks-every-client", "servers-agree"} <= lab.broken()


def test_what_the_http_block_says_is_taken_back_by_a_server(lab: Lab) -> None:
    lab.edit(ON, "")
    lab.edit("http {", f"http {{ {ON}")
    assert lab.broken() == set()
    lab.server(f"{LISTEN} server_name a.test; {CERTIFICATE} ssl_verify_client off; {PAGE}")
    assert "asks-every-client" in lab.broken()


def test_one_location_without_the_rule_is_a_door(lab: Lab) -> None:
    lab.edit(ON, "ssl_verify_client optional;")
    rule = "if ($ssl_client_verify != SUCCESS) { return 403; }"
    lab.edit(LOCATION, f"location = /hello-world.txt {{ {rule} root nginx-mtls; }}")
    assert "asks-every-client" not in lab.broken()
    lab.edit(rule, f"{rule} }} location /pub/ {{ alias nginx-mtls/; }} location /x {{ return 404;")
    assert "asks-every-client" in lab.broken()


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        ("trusts-the-client-ca-only", STRANGER.certificate_pem()),
        ("trusts-the-client-ca-only", SAME_NAME.certificate_pem()),
        ("trusts-the-client-ca-only", PKI.server_ca.certificate_pem()),
        ("trusts-the-client-ca-only", STRANGER.certificate_pem().replace(b" CERT", b" TRUSTED CERT")),
        ("trusts-the-client-ca-only", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        (None, PKI.client_ca.certificate_pem()),
        (None, b"# a comment\n"),
    ],
)
@pytest.mark.parametrize("name", ["ssl_client_certificate", "ssl_trusted_certificate"])
def test_trust_files_hold_the_client_ca_and_nothing_else(lab: Lab, name: str, rule: str | None, more: bytes) -> None:
    lab.write("nginx-mtls/bundle.crt", PKI.client_ca.certificate_pem() + more)
    if name == "ssl_client_certificate":
        lab.edit("../certs/client-ca.crt", "bundle.crt")
    else:
        lab.edit("http {", f"http {{ {name} bundle.crt;")
        rule = rule and "trusts-nobody-silently"
    assert lab.broken() == ({rule} if rule else set())


def test_a_certificate_below_the_client_ca_adds_no_trust(lab: Lab) -> None:
    below = pki.issue_ca("below", pki.new_key("ec-p256"), now=NOW, days=30, issuer=PKI.client_ca)
    lab.write(CLIENT_CA.replace("client-ca", "bundle"), PKI.client_ca.certificate_pem() + below.certificate_pem())
    lab.edit("../certs/client-ca.crt", "../certs/bundle.crt")
    assert lab.broken() == set()
    assert "trusts-the-client-ca-only" in lab.broken(grave=False)


@pytest.mark.parametrize("path", ["/etc/ssl/certs/ca-certificates.crt", "../../ca.crt", "missing.crt"])
def test_a_trust_file_that_nobody_sees_is_not_believed(lab: Lab, path: str) -> None:
    lab.edit("../certs/client-ca.crt", path)
    assert "trusts-the-client-ca-only" in lab.broken()


@pytest.mark.parametrize(("depth", "grave"), [("0", True), ("9", True), ("2", False)])
def test_the_depth_of_chains(lab: Lab, depth: str, grave: bool) -> None:
    lab.edit("ssl_verify_depth 1;", f"ssl_verify_depth '{depth}';")
    assert lab.broken(grave=grave) >= {"chain-depth"}


# --- revocation


@pytest.fixture
def revoking(lab: Lab) -> Lab:
    lab.write(CRL, issue_crl(PKI.client_ca, {}, now=NOW, number=2, days=30))
    return lab


def test_a_list_that_no_server_reads_is_red(revoking: Lab) -> None:
    assert revoking.broken() == {"checks-the-revocation-list"}
    revoking.edit(ON, f"{ON} ssl_crl ../{CRL};")
    assert revoking.broken() == set()


def test_an_older_list_in_its_place_is_red(revoking: Lab) -> None:
    revoking.write("nginx-mtls/old.crl", issue_crl(PKI.client_ca, {}, now=NOW, number=1, days=30))
    revoking.edit(ON, f"{ON} ssl_crl old.crl;")
    assert revoking.broken() == {"reads-the-labs-list"}


@pytest.mark.parametrize(
    ("cache", "good"), [("shared:a:1m", False), ("builtin shared:a:1m", False), ("builtin", True), ("none", True)]
)
def test_a_shared_cache_keeps_the_sessions_of_the_revoked(revoking: Lab, cache: str, good: bool) -> None:
    revoking.edit(ON, f"{ON} ssl_crl ../{CRL}; ssl_session_cache {cache};")
    assert ("revoked-clients-have-no-session" in revoking.broken()) is not good


def test_a_shared_cache_without_a_list_is_no_fault(lab: Lab) -> None:
    lab.edit(ON, f"{ON} ssl_session_cache shared:a:1m;")
    assert lab.broken() == set()


# --- cipher suites, protocols, groups


@pytest.mark.parametrize(
    ("pattern", "replacement", "rule"),
    [
        (r"ssl_protocols [^;]*;", "ssl_protocols TLSv1.3 TLSv1.1;", "tls-versions"),
        (r"ssl_protocols [^;]*;", "ssl_protocols SSLv3 TLSv1.2;", "tls-versions"),
        (r"ssl_ciphers [^;]*;", "ssl_ciphers AES128-GCM-SHA256;", "cipher-suites"),
        (r"ssl_ciphers [^;]*;", "ssl_ciphers 'ECDHE+AESGCM:kRSA';", "cipher-suites"),
        (r"ssl_ciphers [^;]*;", "ssl_ciphers HIGH;", "cipher-suites"),
        (r"ssl_ciphers [^;]*;", "ssl_ciphers ALL:aNULL:@SECLEVEL=0;", "cipher-suites"),
        (r"ssl_ciphers [^;]*;", "", "cipher-suites"),
        (r"ssl_ecdh_curve [^;]*;", "ssl_ecdh_curve secp224r1;", "groups"),
        (r"ssl_ecdh_curve [^;]*;", "ssl_ecdh_curve X25519:sect163k1;", "groups"),
    ],
)
@pytest.mark.parametrize("service", [MTLS_SERVICE, TLS_SERVICE])
def test_weak_cryptography_is_seen_in_both_services(
    lab: Lab, pattern: str, replacement: str, rule: str, service: str
) -> None:
    lab.edit(re.compile(pattern), replacement, service)
    assert lab.broken() == {rule}


@pytest.mark.parametrize(
    "ciphers", ["ECDHE+CHACHA20", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE+AESGCM:DHE+AESGCM", "EECDH+AESGCM"]
)
def test_strong_suites_by_other_words_are_strong(lab: Lab, ciphers: str) -> None:
    lab.edit(CIPHERS, f'ssl_ciphers "{ciphers}"; ssl_prefer_server_ciphers on;')
    assert lab.broken() == set()


@pytest.mark.parametrize(("bits", "good"), [(1024, False), (2048, True)])
def test_parameters_for_diffie_hellman_are_measured(lab: Lab, bits: int, good: bool) -> None:
    prime = b"\x00" + b"\xff" * (bits // 8)
    integer = b"\x02\x82" + len(prime).to_bytes(2) + prime + b"\x02\x01\x02"
    encoded = base64.encodebytes(b"\x30\x82" + len(integer).to_bytes(2) + integer)
    pem = b"-----BEGIN DH PARAMETERS-----\n" + encoded + b"-----END DH PARAMETERS-----\n"
    lab.write("nginx-mtls/dh.pem", pem)
    lab.edit(LISTEN, f"{LISTEN} ssl_dhparam dh.pem;")
    assert ("dh-parameters" not in lab.broken()) is good


# --- files and answers


def test_a_tls_service_that_serves_the_mtls_page_is_seen(lab: Lab) -> None:
    lab.edit("root nginx-tls;", "root nginx-mtls;", TLS_SERVICE)
    assert {"answers-with-the-page", "serves-its-own-directory"} <= lab.broken()


def test_a_private_key_is_found_by_what_it_holds(lab: Lab) -> None:
    lab.write("nginx-mtls/notes.txt", pki.key_pem(pki.new_key("ec-p256")))
    assert lab.broken() == {"serves-no-key"}


@pytest.mark.parametrize(
    ("location", "good"),
    [
        ("location /hello-world.txt { root nginx-mtls; }", True),
        ("location ~ ^/hello { root nginx-mtls; }", True),
        ("location = /hello-world.txt { alias nginx-mtls/hello-world.txt; }", True),
        ("location = /hello-world.txt { root nginx-mtls; try_files $uri =404; }", True),
        ("root nginx-mtls; location /hello { location ~ txt$ { } }", True),
        ("location = /hello-world.txt { alias nginx-mtls/listen.conf; }", False),
        ("location = /hello-world.txt { root nginx-mtls/sub; }", False),
        ("location = /hello-world.txt { root nginx-mtls; try_files /a.txt $uri; }", False),
        ("location = /hello-world.txt { root nginx-mtls; return 200 hello; }", False),
        ("location = /hello-world.txt { root nginx-mtls; } location ^~ /hello { return 403; }", True),
        ("location ^~ /hello { root nginx-mtls; } location ~ txt$ { return 204; }", True),
        ("location /hello { root nginx-mtls; } location ~ txt$ { return 204; }", False),
        ("location = /hello-world.txt { root nginx-mtls; sub_filter a b; }", False),
        ("location = /hello-world.txt { }", False),
    ],
)
def test_the_page_comes_from_its_file_whatever_leads_there(lab: Lab, location: str, good: bool) -> None:
    lab.edit(LOCATION, location)
    assert ("answers-with-the-page" not in lab.broken()) is good


@pytest.mark.parametrize(
    "text",
    [
        "error_page 495 496 =403 @no; location @no { return 403; }",
        'error_page 495 496 @no; location @no { return 400 "No certificate."; }',
        "error_page 497 =301 https://$host$request_uri;",
        "error_page 403 404 /40x.html; location = /40x.html { root nginx-mtls/errors; }",
        "if ($request_method !~ ^(GET|HEAD)$) { return 405; }",
        "if ($ssl_client_verify != SUCCESS) { return 403; }",
        "http2 on;",
        "ssl_session_timeout 10m;",
        "access_log /dev/stdout lab; access_log run/more.log combined;",
        "add_header Strict-Transport-Security max-age=6 always; add_header X-SSL-Client-Verify $ssl_client_verify;",
        "location /files/ { alias nginx-mtls/files/; }",
        "ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;",
        "error_log /dev/stderr debug;",
        "# ssl_verify_client off; }\n",
        "server_name more.test 'and.test';",
    ],
)
def test_what_is_no_weakness_raises_no_alarm(lab: Lab, text: str) -> None:
    lab.edit(LISTEN, f"{LISTEN} {text}")
    assert lab.broken() == set()


@pytest.mark.parametrize(
    "body",
    [
        f"{LISTEN} server_name _; ssl_reject_handshake on;",
        f"{LISTEN} server_name _; {CERTIFICATE} return 444;",
        f"{LISTEN} server_name _; {CERTIFICATE} location / {{ return 403; }}",
        f"{LISTEN} server_name _; {CERTIFICATE} location / {{ deny all; }}",
        "listen 127.0.0.1:8081 ssl; ssl_reject_handshake on;",
    ],
)
def test_a_server_that_serves_nothing_is_no_door(lab: Lab, body: str) -> None:
    lab.server(body)
    assert lab.broken() == set()


def test_a_server_that_refuses_and_has_a_page_for_it_is_a_door(lab: Lab) -> None:
    page = "location @all { root nginx-mtls; try_files /hello-world.txt =404; }"
    lab.server(f"{LISTEN} server_name a.test; {CERTIFICATE} error_page 403 @all; return 403; {page}")
    assert "refusals-stay-refusals" in lab.broken()


def test_a_log_format_of_another_name_with_the_same_fields_is_good(lab: Lab) -> None:
    lab.edit("log_format lab ", "log_format theirs ")
    lab.edit("access_log /dev/stdout lab;", "access_log /dev/stdout theirs;")
    assert lab.broken() == set()


@pytest.mark.parametrize(("old", "new"), [("escape=json", "escape=none"), ("$ssl_client_verify", "-")])
def test_a_log_that_does_not_tell_or_can_be_forged_is_bad(lab: Lab, old: str, new: str) -> None:
    lab.edit(old, new)
    assert "log-names-the-client" in lab.broken()


def test_the_lines_of_a_map_are_no_directives(lab: Lab) -> None:
    lab.edit("http {", "http { map $uri $x { default 0; root /; autoindex 1; set_real_ip_from 2; }")
    assert lab.broken() == set()


def test_a_location_within_an_internal_one_is_asked_for_directly(lab: Lab) -> None:
    """``internal`` is not inherited."""
    lab.edit(ON, "ssl_verify_client optional; if ($request_method = HEAD) { set $a 1; }")
    lab.edit(LOCATION, "location /a { internal; location /a/b { root nginx-mtls; } }")
    (objection,) = CATALOGUE["config-asks-every-client"].objections(lab.facts())
    assert "location /a/b" in str(objection)


def test_an_edit_is_told_with_its_lines(lab: Lab) -> None:
    lab.edit("worker_processes 1;", "worker_processes 2;")
    (objection,) = CATALOGUE["config-is-as-rendered"].objections(lab.facts())
    assert "-worker_processes 1;" in str(objection)
    assert "+worker_processes 2;" in str(objection)
    assert lab.broken() == set()
    assert lab.broken(grave=False) == {"is-as-rendered"}


def test_an_objection_names_file_and_line(lab: Lab) -> None:
    lab.edit(ON, "ssl_verify_client optional;")
    lines = (lab.workspace.directory / CONF).read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if "ssl_verify_client optional" in line)
    (objection,) = CATALOGUE["config-asks-every-client"].objections(lab.facts())
    assert str(objection.place) == f"{CONF}:{number}"


# --- what nginx says


def dump_of(files: dict[str, str]) -> str:
    return "".join(f"# configuration file {path}:\n{text}\n" for path, text in files.items())


def test_the_words_of_nginx_are_split_into_files_of_the_workspace() -> None:
    text = dump_of({"/lab/nginx-mtls/nginx.conf": "http {\n}\n", "/etc/nginx/mime.types": "types { }\n"})
    files = split_dump(text, CONTAINER_ROOT)
    assert list(files) == ["nginx-mtls/nginx.conf", "/etc/nginx/mime.types"]
    assert files["nginx-mtls/nginx.conf"] == "http {\n}\n\n"


def test_a_comment_that_looks_like_a_mark_hides_nothing() -> None:
    """Whatever stood behind it would otherwise belong to a file that nobody includes."""
    hidden = "http { }\n# configuration file /lab/nginx-mtls/x.conf:\nstream { }\n"
    files = split_dump(dump_of({"/lab/nginx-mtls/nginx.conf": hidden}), CONTAINER_ROOT)
    with pytest.raises(UnreadableError, match="nothing includes"):
        parse(MTLS_SERVICE, files, root=CONTAINER_ROOT, whole=True)
    twice = "http { }\n# configuration file /lab/nginx-mtls/nginx.conf:\nstream { }\n"
    with pytest.raises(UnreadableError, match="twice"):
        split_dump(dump_of({"/lab/nginx-mtls/nginx.conf": twice}), CONTAINER_ROOT)


@pytest.mark.parametrize("text", ["http {", "http { } }"])
def test_words_that_are_no_configuration_are_refused(text: str) -> None:
    with pytest.raises(UnreadableError):
        parse(MTLS_SERVICE, {CONF: text})


def test_nginx_that_says_nothing_is_not_understood() -> None:
    with pytest.raises(UnreadableError, match="no file"):
        split_dump("", CONTAINER_ROOT)


def test_a_configuration_without_an_answer_breaks_the_rule_on_the_page(lab: Lab) -> None:
    """An empty configuration is no good one, although it opens no door."""
    lab.write(CONF, "")
    assert lab.broken() == {"answers-with-the-page"}


def test_includes_are_expanded_where_they_stand_by_pattern_and_by_name() -> None:
    files = {
        f"/lab/{CONF}": "http {\n include conf.d/*.conf;\n include /lab/nginx-mtls/one.inc;\n}\n",
        "/lab/nginx-mtls/conf.d/b.conf": "server { listen 2; }\n",
        "/lab/nginx-mtls/conf.d/a.conf": "server {\n listen 1;\n}\n",
        "/lab/nginx-mtls/one.inc": "sendfile on;\n",
    }
    read = parse(MTLS_SERVICE, split_dump(dump_of(files), "/lab"), root="/lab", whole=True)
    assert [server.value("listen") for server in read.servers] == ["1", "2"]
    assert read.servers[0].in_force("sendfile")[0].place.file == "nginx-mtls/one.inc"
    assert str(read.servers[0].own("listen")[0].place) == "nginx-mtls/conf.d/a.conf:2"


def test_files_from_outside_of_the_lab_are_told() -> None:
    files = {f"/lab/{CONF}": "http { include /etc/nginx/more.conf; }", "/etc/nginx/more.conf": "server { listen 1; }"}
    read = parse(MTLS_SERVICE, split_dump(dump_of(files), "/lab"), root="/lab", whole=True)
    facts = Facts(read, read, SPEC, Workspace(Path("/nonexistent")))
    assert "/etc/nginx/more.conf" in str(next(iter(CATALOGUE["config-is-the-labs-own"].objections(facts))))

"""Mutants that are caught by knocking at the right door: what is wrong shows in one way of asking only."""

from __future__ import annotations

from mtlslab.plan.paths import HELLO
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.runtime.ports import free_port
from mtlslab.verify.proof.mutants.model import (
    LOCATION,
    VERIFY_CLIENT,
    add_server,
    add_to_http,
    add_to_server,
    mutant,
    offer_http2,
)
from mtlslab.verify.proof.twins import LOOPBACK, Twin

KNOCKS = ("door-",)
"""For what the knocks at doors are to catch by themselves, whatever the rules say."""

_PAGE = "location / { root nginx-mtls; }"
_TRUST = "ssl_client_certificate ../certs/client-ca.crt;"


def _exempt(twin: Twin, condition: str) -> None:
    """A rule of one's own in place of ssl_verify_client on, and what is exempt from it."""
    rule = "set $deny 0; if ($ssl_client_verify != SUCCESS) { set $deny 1; } "
    rule += f"if ({condition}) {{ set $deny 0; }} if ($deny) {{ return 403; }}"
    twin.edit(VERIFY_CLIENT, f"ssl_verify_client optional_no_ca; {rule}")


# --- names


@mutant(only=KNOCKS)
def name_by_expression_lets_in(twin: Twin) -> None:
    """Names that match an expression with a choice and digits need no certificate."""
    add_server(twin, f'include listen.conf; server_name "~^(?<part>intra|extra)[0-9]{{2}}\\.test$"; {_PAGE}')


@mutant(only=KNOCKS)
def name_with_a_dot_lets_any_certificate_in(twin: Twin) -> None:
    """A domain and all below it take a certificate of anybody."""
    add_server(
        twin,
        f"include listen.conf; server_name .lecture.test; ssl_verify_client optional_no_ca; {_TRUST} "
        "if ($ssl_client_verify = NONE) { return 403; } " + _PAGE,
    )


@mutant(only=KNOCKS)
def host_header_lets_in(twin: Twin) -> None:
    """One Host header is exempt, whatever name the handshake was for."""
    _exempt(twin, "$http_host ~ ^status[.]")


@mutant(only=KNOCKS)
def no_name_lets_in(twin: Twin) -> None:
    """Clients that send no name in the handshake are exempt."""
    _exempt(twin, '$ssl_server_name = ""')


# --- listeners


@mutant(only=KNOCKS, in_containers=False)  # a container has no such address
def ipv6_loopback_lets_in(twin: Twin) -> None:
    """The same port at ::1 belongs to a server that asks for nothing."""
    add_server(twin, f"listen [::1]:{twin.spec.mtls_port} ssl; server_name six.test; {_PAGE}")


@mutant(only=KNOCKS)
def port_without_tls_lets_in(twin: Twin) -> None:
    """A further port serves the page in clear, under one name only."""
    port = free_port(LOOPBACK)
    add_server(twin, f"listen {LOOPBACK}:{port} default_server; return 444;")
    add_server(twin, f"listen {LOOPBACK}:{port}; server_name plain.test; {_PAGE}")


@mutant(only=KNOCKS)
def http_at_the_tls_port_lets_in(twin: Twin) -> None:
    """HTTP in clear at the port of TLS is answered with the page."""
    add_to_server(twin, f"error_page 497 =200 /{HELLO};")


# --- locations


@mutant(only=KNOCKS)
def location_by_expression_lets_in(twin: Twin) -> None:
    """A location by expression is exempt."""
    rule = "if ($ssl_client_verify != SUCCESS) { return 403; }"
    twin.edit(VERIFY_CLIENT, "ssl_verify_client optional;")
    page = f"location = /{HELLO} {{ {rule} root nginx-mtls; }}"
    twin.edit(LOCATION, f"{page} location ~ ^/v[0-9]+/(.+[.]txt)$ {{ alias nginx-mtls/$1; }}")


@mutant(only=KNOCKS)
def encoded_path_lets_in(twin: Twin) -> None:
    """The rule looks at the path as it was sent, so that an encoded one escapes it."""
    rule = f"set $deny $ssl_client_verify; if ($request_uri !~ ^/{HELLO}) {{ set $deny SUCCESS; }} "
    twin.edit(VERIFY_CLIENT, f"ssl_verify_client optional; {rule} if ($deny != SUCCESS) {{ return 403; }}")


@mutant(only=KNOCKS)
def another_file_is_open(twin: Twin) -> None:
    """All of the service's directory is served but the page, its configuration too."""
    rule = "if ($ssl_client_verify != SUCCESS) { return 403; }"
    twin.edit(VERIFY_CLIENT, "ssl_verify_client optional;")
    twin.edit(LOCATION, f"location = /{HELLO} {{ {rule} root nginx-mtls; }} location /about/ {{ alias nginx-mtls/; }}")


# --- protocols, methods


@mutant(only=KNOCKS)
def http2_lets_in(twin: Twin) -> None:
    """Requests over HTTP/2, which is on, are exempt."""
    offer_http2(twin)
    _exempt(twin, "$server_protocol = HTTP/2.0")


@mutant(only=KNOCKS)
def http10_lets_in(twin: Twin) -> None:
    """Requests over HTTP/1.0, as old monitors send them, are exempt."""
    _exempt(twin, "$server_protocol = HTTP/1.0")


@mutant(only=KNOCKS)
def tls12_lets_in(twin: Twin) -> None:
    """Clients with TLS 1.2 are exempt."""
    _exempt(twin, "$ssl_protocol = TLSv1.2")


@mutant(only=KNOCKS)
def head_lets_in(twin: Twin) -> None:
    """HEAD is exempt: it tells that the page is there, and how long."""
    _exempt(twin, "$request_method = HEAD")


@mutant(only=KNOCKS)
def options_are_answered(twin: Twin) -> None:
    """OPTIONS is answered with 204 before anybody asks for a certificate (CORS)."""
    twin.edit(
        VERIFY_CLIENT,
        "ssl_verify_client optional; if ($request_method = OPTIONS) { return 204; } "
        "if ($ssl_client_verify != SUCCESS) { return 403; }",
    )


# --- what else a request says


@mutant(only=KNOCKS)
def header_lets_in(twin: Twin) -> None:
    """A header field in a map lets in."""
    add_to_http(
        twin, 'map "$http_x_zone:$ssl_client_verify" $refuse { default 1; "~^blue-[0-9]+:" 0; "~:SUCCESS$" 0; }'
    )
    twin.edit(VERIFY_CLIENT, "ssl_verify_client optional; if ($refuse) { return 403; }")


@mutant(only=KNOCKS)
def cookie_lets_in(twin: Twin) -> None:
    """A cookie lets in."""
    _exempt(twin, "$cookie_session = open")


@mutant(only=KNOCKS)
def argument_lets_in(twin: Twin) -> None:
    """An argument of the query lets in."""
    _exempt(twin, "$arg_debug")


@mutant(only=KNOCKS)
def agent_lets_in(twin: Twin) -> None:
    """A program that calls itself a robot is let in."""
    _exempt(twin, '$http_user_agent ~* "robot/[0-9]"')


@mutant(only=KNOCKS)
def address_lets_in(twin: Twin) -> None:
    """Clients from one network of this machine are let in."""
    add_to_http(twin, "geo $inside { default 0; 127.0.7.0/24 1; }")
    _exempt(twin, "$inside")


@mutant(only=KNOCKS)
def forwarded_address_lets_in(twin: Twin) -> None:
    """Clients of one network are let in, and the server believes what the request says about its address."""
    add_to_http(
        twin, "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; geo $inside { default 0; 10.0.0.0/8 1; }"
    )
    _exempt(twin, "$inside")


@mutant(only=KNOCKS)
def part_of_a_text_lets_in(twin: Twin) -> None:
    """A rule looks at verdict and header put together, without a sign between them."""
    rule = 'set $w "${ssl_client_verify}${http_x_zone}"; set $deny 1; '
    rule += 'if ($w = "NONEblue") { set $deny 0; } if ($ssl_client_verify = SUCCESS) { set $deny 0; }'
    twin.edit(VERIFY_CLIENT, f"ssl_verify_client optional; {rule} if ($deny) {{ return 403; }}")


# --- answers


@mutant(only=KNOCKS)
def refusal_is_the_page(twin: Twin) -> None:
    """The refusal keeps its status 400 and holds the page."""
    add_to_server(twin, f"error_page 495 496 /{HELLO};")


@mutant(only=KNOCKS)
def refusal_of_a_wrong_certificate_is_the_page(twin: Twin) -> None:
    """Whoever shows a wrong certificate is refused with the page; whoever has none, as usual."""
    add_to_server(twin, f"error_page 495 /{HELLO};")


@mutant(only=KNOCKS)
def refusal_tells_a_sentence_of_the_page(twin: Twin) -> None:
    """The refusal is a text of its own, and tells a sentence of the page."""
    add_to_server(
        twin, 'error_page 495 496 @told; location @told { return 400 "No. Hello World over mutual TLS! No."; }'
    )


@mutant(only=KNOCKS)
def refusal_tells_the_page_in_a_header(twin: Twin) -> None:
    """A header field of every answer, refusals among them, holds a sentence of the page."""
    add_to_server(twin, 'add_header X-Page "The server knows you by your certificate." always;')


@mutant()
def nothing_is_in_the_answer(twin: Twin) -> None:
    """The authorised client is answered 204, and never gets the page."""
    twin.edit(LOCATION, f"location = /{HELLO} {{ return 204; }}")


@mutant()
def another_text_is_in_the_answer(twin: Twin) -> None:
    """The authorised client is answered 200, with another text."""
    twin.edit(LOCATION, f'location = /{HELLO} {{ return 200 "Hello, and goodbye.\\n"; }}')


@mutant(only=KNOCKS)
def malformed_request_is_answered_with_the_page(twin: Twin) -> None:
    """A request that nginx refuses before it looks at certificates is answered with the page."""
    add_to_server(twin, f"error_page 400 =200 /{HELLO};")


@mutant(only=KNOCKS)
def forbidden_method_is_answered_with_the_page(twin: Twin) -> None:
    """TRACE, which nginx refuses at once, is answered with the page."""
    add_to_server(twin, f"error_page 405 /{HELLO};")


# --- the TLS service


@mutant(only=KNOCKS)
def tls_service_has_the_page(twin: Twin) -> None:
    """The TLS service serves the page of the mTLS service below another path."""
    add_to_server(twin, "location /course/ { alias nginx-mtls/; }", TLS_SERVICE)


@mutant(only=KNOCKS)
def tls_service_has_a_climbing_alias(twin: Twin) -> None:
    """An alias of the TLS service without a slash lets paths climb to the keys."""
    add_to_server(twin, "location /files { alias nginx-tls/; }", TLS_SERVICE)


@mutant(only=KNOCKS)
def tls_service_has_its_configuration(twin: Twin) -> None:
    """The TLS service serves its whole directory, with the configuration."""
    twin.edit(r"location / \{\s*return 404;\s*\}", "location / { root nginx-tls; }", TLS_SERVICE)


@mutant(only=KNOCKS)
def tls_service_has_it_under_another_name(twin: Twin) -> None:
    """Under another name the TLS service serves the directory of the mTLS service."""
    add_server(
        twin, f"include listen.conf; server_name course.test; location / {{ root {MTLS_SERVICE}; }}", TLS_SERVICE
    )


# --- marks of the probe


@mutant(only=("mtls-refuses-no-certificate.tls12", "mtls-refuses-no-certificate.tls13"))
def only_the_probe_is_refused(twin: Twin) -> None:
    """Requests with the probe's nonce are judged, all others are let in."""
    rule = 'set $deny $ssl_client_verify; if ($arg_probe = "") { set $deny SUCCESS; } '
    twin.edit(VERIFY_CLIENT, f"ssl_verify_client optional_no_ca; {rule} if ($deny != SUCCESS) {{ return 496; }}")

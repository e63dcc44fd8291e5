"""Mutants with a door beside the door: other names, other ports, requests that are exempt."""

from __future__ import annotations

from mtlslab.runtime.ports import free_port
from mtlslab.verify.proof.mutants.model import (
    LOCATION,
    RULES,
    VERIFY_CLIENT,
    add_file,
    add_server,
    add_to_http,
    mutant,
)
from mtlslab.verify.proof.twins import LOOPBACK, Twin

_PAGE = "location / { root nginx-mtls; }"


@mutant(only=RULES)
def second_name_without_certificate(twin: Twin) -> None:
    """A server of another name (intranet.test) asks for no certificate."""
    add_server(twin, f"include listen.conf; server_name intranet.test; {_PAGE}")


@mutant(only=RULES)
def names_by_pattern_take_any_certificate(twin: Twin) -> None:
    """All names below a domain take a certificate of any CA."""
    trust = "ssl_client_certificate ../certs/client-ca.crt; ssl_verify_client optional_no_ca;"
    add_server(twin, f"include listen.conf; server_name *.intranet.test; {trust} {_PAGE}")


@mutant(only=RULES)
def names_by_expression_in_another_file(twin: Twin) -> None:
    """An included file holds a server for names that match an expression, and it asks for no certificate."""
    body = (
        'include listen.conf; server_name "~^intra"; ssl_certificate ../certs/server.crt; '
        f"ssl_certificate_key ../certs/server.key; 'ssl_verify_client' \"off\"; {_PAGE}"
    )
    add_file(twin, "more.conf", f"server {{ {body} }}\n".encode())
    twin.edit(r"\n\}\s*\Z", "\n    include mor*.conf;\n}\n")


@mutant(only=RULES)
def client_authentication_is_taken_back(twin: Twin) -> None:
    """All servers insist on a certificate (http block), and one takes it back."""
    twin.edit(VERIFY_CLIENT, "")
    add_to_http(twin, "ssl_verify_client on;")
    add_server(twin, f"include listen.conf; server_name intranet.test; ssl_verify_client off; {_PAGE}")


@mutant(only=RULES)
def answer_for_other_names(twin: Twin) -> None:
    """Whoever asks for another name is answered without a certificate, with a text of the configuration."""
    add_server(twin, 'include listen.conf; server_name intranet.test; return 200 "Hello World!";')


@mutant(only=RULES)
def further_port_with_tls(twin: Twin) -> None:
    """A further port serves the page to everybody."""
    add_server(twin, f"listen {LOOPBACK}:{free_port(LOOPBACK)} ssl; {_PAGE}")


@mutant(only=RULES)
def further_port_without_tls(twin: Twin) -> None:
    """A further port serves the page over plain HTTP."""
    add_server(twin, f"listen {LOOPBACK}:{free_port(LOOPBACK)}; {_PAGE}")


@mutant(only=RULES)
def further_port_of_the_same_server(twin: Twin) -> None:
    """The server itself listens on a second port."""
    twin.edit(r"include listen\.conf;", f"include listen.conf; listen {LOOPBACK}:{free_port(LOOPBACK)} ssl;")


# --- a rule of the configuration's own, with a gap


def _optional(twin: Twin, rule: str, mode: str = "optional") -> None:
    twin.edit(VERIFY_CLIENT, f"ssl_verify_client {mode}; {rule}")


@mutant(only=RULES)
def http2_is_exempt(twin: Twin) -> None:
    """Requests over HTTP/2 need no certificate."""
    rule = "set $deny 0; if ($ssl_client_verify != SUCCESS) { set $deny 1; } "
    _optional(twin, rule + "if ($server_protocol = HTTP/2.0) { set $deny 0; } if ($deny) { return 403; }")


@mutant(only=RULES)
def head_is_exempt(twin: Twin) -> None:
    """HEAD needs no certificate."""
    rule = "set $who $request_method:$ssl_client_verify; if ($who !~ ^(HEAD:.*|[A-Z]+:SUCCESS)$) { return 403; }"
    _optional(twin, rule)


@mutant(only=RULES)
def one_location_is_exempt(twin: Twin) -> None:
    """The rule stands in one location, and the page is in another one, too."""
    twin.edit(VERIFY_CLIENT, "ssl_verify_client optional;")
    rule = "if ($ssl_client_verify != SUCCESS) { return 403; }"
    pages = f"location = /hello-world.txt {{ {rule} root nginx-mtls; }} location /pub/ {{ alias nginx-mtls/; }}"
    twin.edit(LOCATION, pages)


@mutant(only=RULES)
def a_header_exempts(twin: Twin) -> None:
    """Whoever sends a header needs no certificate."""
    add_to_http(twin, 'map "$http_x_internal:$ssl_client_verify" $refuse { default 1; ~^yes: 0; :SUCCESS 0; }')
    _optional(twin, "if ($refuse) { return 403; }")


@mutant(only=RULES)
def an_agent_exempts(twin: Twin) -> None:
    """A program that calls itself a monitor needs no certificate, by two maps."""
    maps = "map $http_user_agent $known { default 0; ~*monitor 1; } "
    add_to_http(twin, maps + "map $known:$ssl_client_verify $answer { default 403; ~^1: 0; 0:SUCCESS 0; }")
    _optional(twin, "if ($answer = 403) { return 403; }")


@mutant(only=RULES)
def an_address_exempts(twin: Twin) -> None:
    """Clients on the same machine need no certificate."""
    add_to_http(twin, "geo $inside { default 0; 127.0.0.0/8 1; }")
    rule = "set $pass $inside; if ($ssl_client_verify = SUCCESS) { set $pass 1; } if ($pass != 1) { return 403; }"
    _optional(twin, rule)


@mutant(only=RULES)
def a_path_is_exempt(twin: Twin) -> None:
    """Paths with a question mark, or of another case, need no certificate."""
    _optional(
        twin,
        "set $w $ssl_client_verify; if ($request_uri !~ ^/[a-z.-]+$) { set $w SUCCESS; } "
        "if ($w != SUCCESS) { return 403; }",
    )


@mutant(only=RULES)
def only_failures_are_refused(twin: Twin) -> None:
    """The rule looks for FAILED, and forgets whoever has no certificate."""
    _optional(twin, 'if ($ssl_client_verify ~ "^FAILED") { return 403; }', "optional_no_ca")


@mutant(only=RULES)
def a_subject_is_enough(twin: Twin) -> None:
    """Any certificate with a subject will do."""
    _optional(twin, 'if ($ssl_client_s_dn = "") { return 403; }', "optional_no_ca")


@mutant(only=RULES)
def break_before_the_rule(twin: Twin) -> None:
    """The rule is complete, and a break before it skips it for POST."""
    _optional(twin, "if ($request_method = POST) { break; } if ($ssl_client_verify != SUCCESS) { return 403; }")

"""Mutants in what is answered: refusals that are none, other pages, a forged identity."""

from __future__ import annotations

from mtlslab.plan.services import TLS_SERVICE
from mtlslab.verify.proof.mutants.model import (
    LOCATION,
    RULES,
    VERIFY_CLIENT,
    add_file,
    add_to_http,
    add_to_server,
    mutant,
)
from mtlslab.verify.proof.twins import Twin


@mutant(only=RULES)
def refusal_holds_the_page(twin: Twin) -> None:
    """The refusal keeps its status, and its text is the protected page."""
    add_to_server(twin, "error_page 496 495 /hello-world.txt;")


@mutant(only=RULES)
def refusal_takes_the_status_of_the_page(twin: Twin) -> None:
    """The refusal is a named location that serves the page (error_page ... = @open)."""
    add_to_http(twin, "error_page 495 496 = @open;")
    add_to_server(twin, "location @open { root nginx-mtls; try_files /hello-world.txt =404; }")


@mutant(only=RULES)
def refusal_is_rewritten(twin: Twin) -> None:
    """The refusal leads to a location that rewrites to the page."""
    add_to_server(twin, "error_page 400 495 496 @refused; location @refused { rewrite ^ /hello-world.txt last; }")


@mutant(only=RULES)
def forbidden_becomes_success(twin: Twin) -> None:
    """A rule of its own refuses with 403, and error_page makes 200 of it."""
    rule = "if ($ssl_client_verify != SUCCESS) { return 403; } error_page 403 =200 /hello-world.txt;"
    twin.edit(VERIFY_CLIENT, f"ssl_verify_client optional; {rule}")


@mutant(only=RULES)
def nothing_is_answered(twin: Twin) -> None:
    """Every request is answered with 204 (No Content)."""
    add_to_server(twin, "return 204;")


@mutant(only=RULES)
def a_text_in_place_of_the_page(twin: Twin) -> None:
    """The page is a text in the configuration."""
    twin.edit(LOCATION, 'location = /hello-world.txt { return 200 "Hello World!"; }')


@mutant(only=RULES)
def an_expression_answers_first(twin: Twin) -> None:
    """A location by expression serves another file in place of the page."""
    add_file(twin, "other.txt", b"Hello?\n")
    twin.edit(LOCATION, "location ~ [.]txt$ { alias nginx-mtls/other.txt; }")


@mutant(only=RULES)
def another_file_is_tried(twin: Twin) -> None:
    """try_files takes another file first."""
    add_file(twin, "other.txt", b"Hello?\n")
    twin.edit(LOCATION, "location = /hello-world.txt { root nginx-mtls; try_files /other.txt $uri =404; }")


@mutant(only=RULES)
def path_is_rewritten(twin: Twin) -> None:
    """Every path is rewritten to another file."""
    add_file(twin, "other.txt", b"Hello?\n")
    twin.edit(LOCATION, "location = /hello-world.txt { root nginx-mtls; rewrite ^ /other.txt break; }")


@mutant(only=RULES)
def tls_service_serves_the_mtls_page(twin: Twin) -> None:
    """The TLS service serves the directory of the mTLS service."""
    twin.edit(r"root nginx-tls;", "root nginx-mtls;", TLS_SERVICE)


# --- who the client is


@mutant(only=RULES)
def subject_from_the_request(twin: Twin) -> None:
    """The header that names the client repeats what the client says."""
    twin.edit(r"\$ssl_client_s_dn always;", "$http_x_client always;")


@mutant(only=RULES)
def verdict_from_the_request(twin: Twin) -> None:
    """The header with the verdict comes from a map of a header of the request."""
    add_to_http(twin, "map $http_x_verify $said { default $ssl_client_verify; ~. SUCCESS; }")
    twin.edit(r"X-SSL-Client-Verify \$ssl_client_verify", "X-SSL-Client-Verify $said")


@mutant(only=RULES)
def verdict_in_one_location(twin: Twin) -> None:
    """One location says SUCCESS about everybody (its add_header hides those of the server)."""
    header = 'add_header "x-ssl-client-verify" SUCCESS always;'
    twin.edit(LOCATION, f"location = /hello-world.txt {{ root nginx-mtls; {header} }}")


@mutant(only=RULES)
def identity_is_passed_on(twin: Twin) -> None:
    """A location passes requests on, with the identity that the client itself put into the headers."""
    add_to_server(twin, "location /app/ { proxy_set_header Host $host; proxy_pass http://127.0.0.1:9; }")

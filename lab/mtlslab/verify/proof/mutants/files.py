"""Mutants in what lies on the disk, and in what is logged."""

from __future__ import annotations

from mtlslab import pki
from mtlslab.plan.services import TLS_SERVICE
from mtlslab.verify.proof.mutants.model import LOCATION, RULES, add_file, add_to_http, add_to_server, mutant
from mtlslab.verify.proof.twins import Twin

_LOG = r"access_log /dev/stdout lab;"


@mutant(only=RULES)
def keys_are_served(twin: Twin) -> None:
    """The directory with the private keys is served, below a path of its own."""
    add_to_server(twin, "location /files/ { alias certs/; }")


@mutant(only=RULES)
def root_is_above(twin: Twin) -> None:
    """The TLS service serves the whole directory of the lab, except for its page."""
    add_to_server(twin, "root nginx-tls/..;", TLS_SERVICE)


@mutant(only=RULES)
def request_chooses_the_directory(twin: Twin) -> None:
    """The directory that is served comes from the request."""
    add_to_server(twin, "location /of/ { root $http_x_directory; }")


@mutant(only=RULES)
def key_beside_the_page(twin: Twin) -> None:
    """A private key lies beside the page, under a name that does not tell."""
    add_file(twin, "notes.txt", pki.key_pem(pki.new_key("ec-p256")))


@mutant(only=RULES)
def alias_climbs(twin: Twin) -> None:
    """One slash is missing: /files../ leads out of the directory."""
    add_to_server(twin, "location /files { alias nginx-mtls/files/; }")


@mutant(only=RULES)
def directory_is_listed(twin: Twin) -> None:
    """The directory is listed."""
    add_to_server(twin, "location /all/ { alias nginx-mtls/; autoindex on; }")


@mutant(only=RULES)
def bodies_are_kept(twin: Twin) -> None:
    """Whatever a client sends stays on the disk."""
    add_to_http(twin, "client_body_in_file_only on;")


@mutant(only=RULES)
def location_without_a_log(twin: Twin) -> None:
    """Requests for the page are not logged."""
    twin.edit(LOCATION, "location = /hello-world.txt { root nginx-mtls; access_log off; }")


@mutant(only=RULES)
def log_with_a_condition(twin: Twin) -> None:
    """A request is logged only if the client likes."""
    add_to_http(twin, "map $http_x_quiet $logged { default 1; ~. 0; }")
    twin.edit(_LOG, "access_log /dev/stdout lab if=$logged;")


@mutant(only=RULES)
def log_that_can_be_forged(twin: Twin) -> None:
    """A request can write lines of its own into the log (escape=none)."""
    twin.edit("escape=json", "escape=none")


@mutant(only=RULES)
def log_without_clients(twin: Twin) -> None:
    """The log does not tell which client it was."""
    twin.edit(_LOG, "access_log /dev/stdout;")


@mutant(only=RULES)
def errors_are_thrown_away(twin: Twin) -> None:
    """Why a client was refused is written nowhere."""
    add_to_http(twin, "error_log /dev/null crit;")

"""Mutants in whom the server takes a client for: in its answer, and in its log."""

from __future__ import annotations

from mtlslab.verify.proof.mutants.model import VERIFY_CLIENT, add_to_http, add_to_server, mutant
from mtlslab.verify.proof.twins import Twin

_APART = ("mtls-tells-clients-apart",)
_CLAIMS = ("mtls-knows-client-whatever-it-claims", "mtls-refuses-claimed-identity")


def _say(twin: Twin, field: str, value: str) -> None:
    """Put another value into a header field of the answer."""
    twin.edit(rf"add_header X-SSL-Client-{field} [^;]*;", f"add_header X-SSL-Client-{field} {value} always;")


@mutant()
def success_about_the_refused(twin: Twin) -> None:
    """The header of the answer says SUCCESS about those that are refused, too."""
    _say(twin, "Verify", "SUCCESS")


@mutant(only=("mtls-refuses",))
def log_says_success_about_the_refused(twin: Twin) -> None:
    """The log says SUCCESS about everybody, and the answer says nothing."""
    twin.edit(r"add_header X-SSL-Client-Verify [^;]*;", "")
    twin.edit(r'"client_verify":"\$ssl_client_verify"', '"client_verify":"SUCCESS"')


@mutant(only=("mtls-refuses",))
def log_lies_of_usual_requests(twin: Twin) -> None:
    """The log says SUCCESS of every request without a nonce, such as curl sends; the answers tell the truth."""
    add_to_http(twin, 'map $arg_probe $shown { "" SUCCESS; default $ssl_client_verify; }')
    twin.edit(r'"client_verify":"\$ssl_client_verify"', '"client_verify":"$shown"')


@mutant(only=_APART)
def one_subject_for_all(twin: Twin) -> None:
    """The answer names the issuer in place of the client, so that all clients look alike."""
    _say(twin, "Subject", "$ssl_client_i_dn")


@mutant(only=_APART)
def one_serial_for_all(twin: Twin) -> None:
    """Every client has the serial number of the first one."""
    _say(twin, "Serial", "1F")


@mutant(only=_APART)
def log_names_one_client(twin: Twin) -> None:
    """The log names the same client, whoever it was."""
    twin.edit(r'"client_subject":"\$ssl_client_s_dn"', '"client_subject":"CN=client"')


@mutant(only=_APART)
def log_has_one_fingerprint(twin: Twin) -> None:
    """The log has the same fingerprint for every client, and the answer none."""
    twin.edit(r"add_header X-SSL-Client-Fingerprint [^;]*;", "")
    twin.edit(r'"client_fingerprint":"\$ssl_client_fingerprint"', f'"client_fingerprint":"{"0a" * 20}"')


@mutant(only=_CLAIMS)
def subject_from_the_request(twin: Twin) -> None:
    """The answer names the subject that the client claims to have."""
    add_to_http(
        twin, "map $http_x_ssl_client_subject $subject { default $ssl_client_s_dn; ~. $http_x_ssl_client_subject; }"
    )
    _say(twin, "Subject", "$subject")


@mutant(only=_CLAIMS)
def user_from_a_cookie(twin: Twin) -> None:
    """The answer names the user that a cookie names."""
    add_to_server(twin, "add_header X-Authenticated $cookie_member always;")


@mutant(only=_CLAIMS)
def verdict_from_a_header(twin: Twin) -> None:
    """Whoever claims to be verified is called verified, and refused all the same."""
    add_to_http(twin, "map $http_x_of_the_proxy $verdict { default $ssl_client_verify; ~. $http_x_of_the_proxy; }")
    _say(twin, "Verify", "$verdict")


@mutant(only=_CLAIMS)
def log_believes_the_request(twin: Twin) -> None:
    """The log names whom the client claims to be."""
    add_to_http(twin, "map $http_x_member $member { default $ssl_client_s_dn; ~. $http_x_member; }")
    twin.edit(r'"client_subject":"\$ssl_client_s_dn"', '"client_subject":"$member"')


@mutant(only=_CLAIMS)
def parameter_opens_the_door(twin: Twin) -> None:
    """A parameter of the request stands in for a certificate."""
    rule = "if ($arg_verdict = SUCCESS) { break; } if ($ssl_client_verify != SUCCESS) { return 403; }"
    twin.edit(VERIFY_CLIENT, f"ssl_verify_client optional; {rule}")

"""Mutants in cipher suites, groups and sessions."""

from __future__ import annotations

from mtlslab.verify.proof.mutants.model import CIPHERS, PROTOCOLS, RULES, add_file, add_to_http, add_to_server, mutant
from mtlslab.verify.proof.twins import Twin


@mutant(only=RULES)
def rsa_key_exchange(twin: Twin) -> None:
    """Suites without forward secrecy are allowed: the key exchange is RSA."""
    twin.edit(CIPHERS, "ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:AES256-GCM-SHA384;")


@mutant(only=RULES)
def whatever_openssl_calls_high(twin: Twin) -> None:
    """The list of suites is a word that stands for many, some without forward secrecy."""
    twin.edit(CIPHERS, 'ssl_ciphers "HIGH:!aNULL:!MD5";')


@mutant(only=RULES)
def default_suites(twin: Twin) -> None:
    """No list of suites is given, so that nginx's own counts."""
    twin.edit(CIPHERS, "")


@mutant(only=RULES)
def weak_group(twin: Twin) -> None:
    """A group of 224 bits is allowed."""
    twin.edit(r"ssl_ecdh_curve [^;]*;", "ssl_ecdh_curve X25519:secp224r1;")


@mutant(only=RULES)
def old_protocol_from_outside(twin: Twin) -> None:
    """TLS 1.1 is allowed in the http block, and the server says nothing."""
    twin.edit(PROTOCOLS, "")
    add_to_http(twin, "ssl_protocols TLSv1.3 TLSv1.1 TLSv1.2;")


@mutant(only=RULES)
def openssl_is_told_otherwise(twin: Twin) -> None:
    """OpenSSL itself is told to allow TLS 1.0 (ssl_conf_command)."""
    add_to_server(twin, "ssl_conf_command MinProtocol TLSv1;")


@mutant(only=RULES)
def resumption_without_forward_secrecy(twin: Twin) -> None:
    """TLS 1.3 resumes without a new key exchange (ssl_conf_command Options AllowNoDHEKEX)."""
    add_to_http(twin, "ssl_conf_command Options AllowNoDHEKEX;")


@mutant(only=RULES)
def early_data(twin: Twin) -> None:
    """Requests are taken before the handshake is over, and may be replayed (0-RTT)."""
    add_to_http(twin, "ssl_early_data on;")


@mutant(only=RULES)
def known_ticket_key(twin: Twin) -> None:
    """The key of the session tickets is a file of zeros."""
    add_to_server(twin, f"ssl_session_ticket_key {add_file(twin, 'ticket.key', bytes(80))};")


@mutant(only=RULES)
def sessions_for_a_week(twin: Twin) -> None:
    """A session can be resumed for a week."""
    add_to_http(twin, "ssl_session_timeout '6d 24h';")

"""Rules on protocols, cipher suites, groups and sessions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mtlslab.pki.keys import dh_bits
from mtlslab.probe.suites import Suite, suites
from mtlslab.verify.configuration.model import Directive, Scope
from mtlslab.verify.rules.facts import Facts, serves
from mtlslab.verify.rules.model import Objection, Rule, grave, mild

_SSL = "nginx, ngx_http_ssl_module"
_GOOD_PROTOCOLS = {"TLSv1.2", "TLSv1.3"}
_GOOD_GROUPS = re.compile(
    r"auto|x25519|x448|prime256v1|p-?256|secp384r1|p-?384|secp521r1|p-?521|brainpoolp(256|384|512)[rt]1(tls13)?"
    r"|ffdhe(3072|4096|6144|8192)|(x25519|secp256r1|secp384r1)mlkem(768|1024)|mlkem(768|1024)",
    re.IGNORECASE,
)
_LEAST_BITS, _LEAST_DH = 128, 2048
_UNITS = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}
_USUAL_LIFE, _LONGEST_LIFE = 3600, 86400  # seconds
_GOOD_COMMANDS = {
    "ciphersuites": re.compile(r"TLS_(AES_128_GCM_SHA256|AES_256_GCM_SHA384|CHACHA20_POLY1305_SHA256)"),
    "minprotocol": re.compile(r"TLSv1\.[23]"),
    "maxprotocol": re.compile(r"TLSv1\.[23]"),
    "groups": _GOOD_GROUPS,
    "curves": _GOOD_GROUPS,
    "options": re.compile(
        r"-?(ServerPreference|PrioritizeChaCha|NoRenegotiation|NoCompression)|-(SessionTicket|Compression)"
        r"|-UnsafeLegacyRenegotiation|-UnsafeLegacyServerConnect|-AllowNoDHEKEX|KTLS",
    ),
}


def _settings(facts: Facts, name: str) -> Iterator[Directive]:
    """The directives of a name that are in force in any server of either service, each once."""
    seen = set()
    for configuration in facts.both:
        for server in configuration.servers:
            for one in server.in_force(name):
                if one.place not in seen:
                    seen.add(one.place)
                    yield one


def _servers(facts: Facts) -> Iterator[Scope]:
    """The servers that serve anything: what the others do not say about TLS does no harm."""
    for configuration in facts.both:
        yield from (server for server in configuration.servers if serves(configuration, server))


def _protocols(facts: Facts) -> Iterator[Objection]:
    for one in _settings(facts, "ssl_protocols"):
        old = [version for version in one.args if version not in _GOOD_PROTOCOLS]
        if old:
            yield grave(one, f"{one}: {', '.join(old)} must not be offered")
    for server in _servers(facts):
        if not server.in_force("ssl_protocols"):
            yield Objection("no ssl_protocols: what is offered depends on nginx's version", server.place, grave=False)


def _suites(facts: Facts) -> Iterator[Objection]:
    for one in _settings(facts, "ssl_ciphers"):
        found = suites(one.first)
        if found is None:
            yield mild(one, f"{one}: OpenSSL knows no such suite here")
            continue
        bad = [suite for suite in found if _fault(suite)]
        if bad:
            yield grave(one, f"{one}: {bad[0].name} ({_fault(bad[0])}) and {len(bad) - 1} more")
        elif not all(suite.aead for suite in found):
            weak = next(suite.name for suite in found if not suite.aead)
            yield mild(one, f"{one}: {weak} keeps encryption and integrity apart (CBC)")
    for server in _servers(facts):
        if not server.in_force("ssl_ciphers"):
            yield Objection("no ssl_ciphers: nginx's default has suites without forward secrecy", server.place)


def _fault(suite: Suite) -> str:
    if not suite.authenticated:
        return "no server certificate"
    if not suite.forward_secrecy:
        return "no forward secrecy"
    weak = suite.bits < _LEAST_BITS or any(word in suite.name for word in ("RC4", "DES", "NULL"))
    return "weak encryption" if weak else ""


def _groups(facts: Facts) -> Iterator[Objection]:
    for one in _settings(facts, "ssl_ecdh_curve"):
        named = [name.lstrip("*?-") for name in re.split(r"[:/]", one.first)]
        weak = [name for name in named if not _GOOD_GROUPS.fullmatch(name)]
        if weak:
            yield grave(one, f"{one}: {', '.join(weak)} is weak, or not known to be strong")


def _dh(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        for server in configuration.servers:
            for one in server.in_force("ssl_dhparam")[-1:]:
                path = configuration.beside_conf(one.first)
                bits = dh_bits(facts.read(path) or b"")
                if bits is None:
                    yield grave(one, f"{one}: {path} holds no parameters that can be read")
                elif bits < _LEAST_DH:
                    yield grave(one, f"{one}: {bits} bits")


def _commands(facts: Facts) -> Iterator[Objection]:
    for one in _settings(facts, "ssl_conf_command"):
        value = one.args[1] if len(one.args) > 1 else ""
        good = _GOOD_COMMANDS.get(one.first.lower())
        if good is None or not all(good.fullmatch(part) for part in re.split(r"[:,]", value)):
            yield grave(one, f"{one}: it changes OpenSSL past all other directives")


def _early_data(facts: Facts) -> Iterator[Objection]:
    yield from (grave(one) for one in _settings(facts, "ssl_early_data") if one.first == "on")


def _ticket_key(facts: Facts) -> Iterator[Objection]:
    yield from (grave(one) for one in _settings(facts, "ssl_session_ticket_key"))


def seconds(text: str) -> float | None:
    """A time in nginx's words, such as ``1h 30m``; None when it is none."""
    pieces = re.findall(r"\s*(\d+)(ms|[smhdwMy]?)", text)
    if not pieces or re.sub(r"\s*\d+(ms|[smhdwMy]?)", "", text).strip():
        return None
    return float(sum(int(number) * _UNITS[unit] for number, unit in pieces))


def _lifetime(facts: Facts) -> Iterator[Objection]:
    for one in _settings(facts, "ssl_session_timeout"):
        life = seconds(one.first)
        if life is None or life > _LONGEST_LIFE:
            yield grave(one)
        elif life > _USUAL_LIFE:
            yield mild(one)


def _shared_cache(facts: Facts) -> Iterator[Objection]:
    for server in facts.open_servers:
        if facts.revocation_list is None and not server.in_force("ssl_crl"):
            continue
        for one in server.in_force("ssl_session_cache"):
            if any(arg.startswith("shared:") for arg in one.args):
                yield grave(one, f"{one}: who was revoked meanwhile resumes the session, also after a reload")


RULES = (
    Rule(
        id="config-tls-versions",
        title="TLS 1.2 and 1.3 are offered, and nothing older",
        why="TLS 1.0 and 1.1 are deprecated: their hashes can be broken, and clients may be talked down to them.",
        hint="Write ssl_protocols TLSv1.2 TLSv1.3; there.",
        directive="ssl_protocols",
        source=f"RFC 8996; RFC 9325 section 3.1.1; {_SSL}, ssl_protocols",
        sabotage="ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;",
        objections=_protocols,
    ),
    Rule(
        id="config-cipher-suites",
        title="every cipher suite has forward secrecy, a server certificate and strong encryption",
        why="With RSA key exchange, whoever gets the server's key later reads what was recorded today. The list is "
        "judged by what OpenSSL makes of it, not by its words.",
        hint="The ECDHE suites with GCM or ChaCha20, as mtlslab renders them.",
        directive="ssl_ciphers",
        source=f"RFC 9325 sections 4.1 and 4.2; {_SSL}, ssl_ciphers",
        sabotage="ssl_ciphers HIGH:!aNULL;",
        objections=_suites,
    ),
    Rule(
        id="config-groups",
        title="the groups for the key exchange are strong",
        why="The group decides how hard it is to find the session's key: 256 bits on a curve are today's least.",
        hint="Write ssl_ecdh_curve X25519:prime256v1:secp384r1; there.",
        directive="ssl_ecdh_curve",
        source=f"RFC 9325 section 4.3; {_SSL}, ssl_ecdh_curve",
        sabotage="ssl_ecdh_curve secp224r1;",
        objections=_groups,
    ),
    Rule(
        id="config-dh-parameters",
        title="parameters for finite-field Diffie-Hellman have 2048 bits at least, where there are any",
        why="Smaller primes were broken for everybody at once (Logjam). The curves of TLS need no parameters.",
        hint="Leave ssl_dhparam away: the curves do.",
        directive="ssl_dhparam",
        source=f"RFC 9325 section 4.3; RFC 7919; {_SSL}, ssl_dhparam",
        sabotage="ssl_dhparam with a file of openssl dhparam 1024.",
        objections=_dh,
    ),
    Rule(
        id="config-openssl-is-left-alone",
        title="no ssl_conf_command undoes what the other directives say",
        why="It speaks to OpenSSL itself: old protocols, weak suites, unsafe renegotiation and a resumption without "
        "forward secrecy can be switched on with it.",
        hint="Leave ssl_conf_command away.",
        directive="ssl_conf_command",
        source=f"{_SSL}, ssl_conf_command; SSL_CONF_cmd(3)",
        sabotage="ssl_conf_command MinProtocol TLSv1;",
        objections=_commands,
    ),
    Rule(
        id="config-no-early-data",
        title="no request is taken before the handshake is over (0-RTT)",
        why="Early data can be replayed by whoever recorded it. It comes before the client has proved anything anew.",
        hint="Leave ssl_early_data away.",
        directive="ssl_early_data",
        source=f"RFC 8446 section 8; RFC 8470; {_SSL}, ssl_early_data",
        sabotage="ssl_early_data on;",
        objections=_early_data,
    ),
    Rule(
        id="config-ticket-keys-are-short-lived",
        title="nginx makes the keys of session tickets itself",
        why="Whoever knows the key of a file opens every ticket, reads what was recorded, and comes in as any client. "
        "nginx's own key is gone with the next reload, and with it the sessions of those revoked meanwhile.",
        hint="Leave ssl_session_ticket_key away.",
        directive="ssl_session_ticket_key",
        source=f"RFC 5077 section 5.5; RFC 9325 section 3.4; {_SSL}, ssl_session_ticket_key",
        sabotage="ssl_session_ticket_key with a file of 80 zero bytes.",
        objections=_ticket_key,
    ),
    Rule(
        id="config-sessions-end",
        title="a session can be resumed for an hour at most",
        why="A resumed session asks for no certificate: who has expired or was revoked in between still comes in.",
        hint="Leave ssl_session_timeout away: nginx's default is five minutes.",
        directive="ssl_session_timeout",
        source=f"RFC 8446 section 4.6.1; RFC 9325 section 3.4; {_SSL}, ssl_session_timeout",
        sabotage="ssl_session_timeout 7d;",
        objections=_lifetime,
    ),
    Rule(
        id="config-revoked-clients-have-no-session",
        title="no cache of sessions outlives the reload that brings a new revocation list",
        why="A shared cache stays in memory over a reload: a client that was revoked is refused with a new handshake, "
        "and served with an old session.",
        hint="Leave ssl_session_cache away where there is a revocation list, or take builtin or none.",
        directive="ssl_session_cache, ssl_crl",
        source=f"{_SSL}, ssl_session_cache; RFC 5280 section 6.3",
        sabotage="ssl_session_cache shared:sessions:1m; with a revocation list.",
        objections=_shared_cache,
    ),
)

"""Rules on where the services listen, and on what else that nginx does."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from mtlslab.pki.faults import Severity
from mtlslab.verify.configuration.model import Configuration, Listen
from mtlslab.verify.rules.facts import Facts, serves
from mtlslab.verify.rules.model import Objection, Rule, grave, mild

_LISTEN = "nginx, ngx_http_core_module, listen"
_EVERY_ADDRESS = ("", "[::]")
_OTHER_ROADS = {"quic": "HTTP/3", "proxy_protocol": "the PROXY protocol, with which a client names its own address"}
# Blocks in which nginx serves something else than HTTP.
_OTHER_TRAFFIC = ("stream", "mail", "rtmp")
_CODE = (
    "perl_modules",
    "perl_require",
    "perl",
    "perl_set",
    "js_import",
    "js_include",
    "js_path",
    "js_content",
    "js_set",
)


def _elsewhere(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        for server in configuration.servers:
            for listen in configuration.listens(server):
                if not _as_planned(facts, configuration, listen):
                    what = f"{listen.directive if listen.directive.name == 'listen' else 'no listen: port 80'}"
                    closed = "" if serves(configuration, server) else ", where nothing is served"
                    expected = f"the service belongs on {_expected(facts, configuration)}"
                    yield Objection(f"{what}{closed}; {expected}", listen.directive.place, grave=not closed)


def _expected(facts: Facts, configuration: Configuration) -> str:
    port = facts.port(configuration)
    return f"port {port}" if configuration.contained else f"{facts.spec.listen}, port {port}"


def _as_planned(facts: Facts, configuration: Configuration, listen: Listen) -> bool:
    if (listen.port, listen.last_port) != (facts.port(configuration),) * 2:
        return False
    if configuration.contained:  # the engine publishes the port, on the address of the plan
        return listen.address in _EVERY_ADDRESS
    try:
        address = ipaddress.ip_address(listen.address.strip("[]") or "0.0.0.0")  # noqa: S104  what nginx takes it for
    except ValueError:
        return False
    return address == ipaddress.ip_address(facts.spec.listen)


def _plain(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        found = [listen for server in configuration.servers for listen in configuration.listens(server)]
        with_tls = {(listen.address, listen.port) for listen in found if listen.tls}
        with_tls |= {
            (listen.address, listen.port)
            for server in configuration.servers
            for listen in configuration.listens(server)
            if server.value("ssl") == "on"  # before nginx 1.25.1
        }
        for listen in found:
            if (listen.address, listen.port) not in with_tls:
                yield grave(listen.directive, f"{listen.directive}: plain, without TLS")


def _other_roads(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        for block in configuration.top.own(*_OTHER_TRAFFIC):
            yield grave(block, f"a block {block.name}, which no rule and no check looks into")
        for server in configuration.servers:
            for listen in configuration.listens(server):
                for option in sorted(set(listen.options) & set(_OTHER_ROADS)):
                    yield grave(listen.directive, f"{listen.directive}: {_OTHER_ROADS[option]}")


def _code(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        for one in configuration.top.own("load_module"):
            yield grave(one)
        for scope in configuration.top.all_blocks():
            for one in scope.own():
                if one.name in _CODE or "_by_lua" in one.name or one.name.startswith("lua_"):
                    yield grave(one, f"{one.name}: code of its own may answer anything")


def _user(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        for one in configuration.top.own("user"):
            yield grave(one) if one.first in ("root", "0") else mild(one)


def _version(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        for server in configuration.servers:
            if server.value("server_tokens", "on") != "off":
                told = server.in_force("server_tokens")
                yield mild(told[-1]) if told else Objection("server_tokens is on by default", server.place, grave=False)


RULES = (
    Rule(
        id="config-listens-nowhere-else",
        title="each service listens on its own address and port, and nowhere else",
        why="A second listen is a second door, with a block of its own behind it: another port, all addresses in place "
        "of 127.0.0.1, ::1 (which localhost means first on most machines), a socket file.",
        hint="One listen, in listen.conf, as mtlslab up writes it (--listen names another address).",
        directive="listen",
        source=_LISTEN,
        sabotage="In nginx-mtls/nginx.conf, in the server: listen 127.0.0.1:8890 ssl;",
        objections=_elsewhere,
    ),
    Rule(
        id="config-listens-with-tls",
        title="every port speaks TLS",
        why="Without TLS there is no client certificate that could be asked for: ssl_verify_client says nothing on a "
        "plain port.",
        hint="Write listen ADDRESS:PORT ssl; there.",
        directive="listen",
        source=_LISTEN,
        sabotage="In nginx-mtls/listen.conf, leave the word ssl away.",
        objections=_plain,
    ),
    Rule(
        id="config-serves-nothing-but-https",
        title="nginx serves HTTPS on TCP, and no other protocol",
        why="A block stream or mail forwards connections past everything that is checked here. HTTP/3 is a door on "
        "UDP. With the PROXY protocol the client's address is what the client says.",
        hint="Leave such blocks and options to an nginx of their own.",
        directive="stream, mail, listen",
        source="nginx, ngx_stream_core_module; ngx_http_v3_module; Accepting the PROXY Protocol",
        sabotage="A block stream that forwards a port to the page.",
        objections=_other_roads,
    ),
    Rule(
        id="config-runs-no-code",
        title="nginx runs no module and no code that the lab does not have",
        why="A module, or a script in the configuration, may answer any request in any way: no reading of the "
        "configuration tells how.",
        hint="Leave load_module, and what perl, njs or Lua would run, away.",
        directive="load_module, perl, js_import, content_by_lua_block",
        source="nginx, Core functionality, load_module",
        sabotage="load_module with a module of the machine.",
        objections=_code,
    ),
    Rule(
        id="config-workers-have-no-rights",
        title="the processes that talk to clients do not run as root",
        why="What a client gets a worker to do, it does with the rights of that user. Those of root are all there are.",
        hint="Leave user away: mtlslab starts nginx as somebody without rights.",
        directive="user",
        source="nginx, Core functionality, user",
        sabotage="user root;",
        objections=_user,
    ),
    Rule(
        id="config-hides-its-version",
        title="pages and headers do not tell the version of nginx",
        why="The version spares an attacker the search for what fits. Nobody else needs it.",
        hint="Write server_tokens off; there.",
        directive="server_tokens",
        source="nginx, ngx_http_core_module, server_tokens",
        sabotage="server_tokens on;",
        objections=_version,
        severity=Severity.ADVISORY,
    ),
)

"""Rules on what is answered: refusals that stay refusals, the lab's own page, words that no client can forge."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mtlslab.pki.faults import Severity
from mtlslab.plan.paths import HELLO
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.verify.configuration.locations import choose, file_of, handlers, named
from mtlslab.verify.configuration.model import Configuration, Directive, Scope
from mtlslab.verify.configuration.rewrite import End, Route, World, find_source, routes, routes_and_worlds, variables_in
from mtlslab.verify.rules.facts import PAGE, Facts, serves
from mtlslab.verify.rules.model import Objection, Rule, grave, mild

_CORE = "nginx, ngx_http_core_module"
# What nginx answers whoever it does not let in (495 to 497 are its own), and whoever came to the wrong server.
_REFUSALS = {"400", "401", "403", "421", "495", "496", "497"}
_REDIRECT = re.compile(r"https?://|\$scheme://")
_DEEPEST = 5
_IDENTITY = re.compile(
    r"ssl|client|cert|verif|subject|issuer|serial|fingerprint|(^|[-_])dn($|[-_])|user|identity", re.IGNORECASE
)
_SAYS = {
    "x-ssl-client-verify": "$ssl_client_verify",
    "x-ssl-client-subject": "$ssl_client_s_dn",
    "x-ssl-client-serial": "$ssl_client_serial",
    "x-ssl-client-fingerprint": "$ssl_client_fingerprint",
}
# Variables whose content the client chooses, or a part of it.
_CHOSEN = re.compile(
    r"(http|arg|cookie|sent_http|trailer|request|upstream_http|proxy_protocol)_\w*"
    r"|request|args|query_string|uri|document_uri|host|is_args|remote_user|realpath_root|content_\w+|\d+"
)
_NOT_CHOSEN = {"request_id", "request_time", "request_length", "request_completion"}


# --- refusals


def _refusals(facts: Facts) -> Iterator[Objection]:
    told = set()
    # A server that refuses everybody has pages for that, too, and a named location is past its rules.
    for server in facts.mtls.servers:
        for scope in server.all_blocks() if server.value("ssl_reject_handshake") != "on" else ():
            for directive in scope.in_force("error_page"):
                what = _becomes(facts.mtls, server, directive)
                if what and directive.place not in told:
                    told.add(directive.place)
                    refusal = bool(_REFUSALS & set(directive.args))
                    yield Objection(f"{directive}: {what}", directive.place, grave=refusal)


def _becomes(configuration: Configuration, server: Scope, directive: Directive) -> str:
    """What is wrong with an ``error_page``; empty when it stays a refusal."""
    target = directive.args[-1]
    status = next((arg[1:] for arg in directive.args[:-1] if arg.startswith("=")), None)
    if _REDIRECT.match(target):
        return ""
    if status is not None and status.startswith("2"):
        return f"the refusal goes out with the status {status}"
    answers = _answers(configuration, server, target)
    faults = {
        "the status is that of the page": status == "" and answers != {"refusal"},
        "the refusal holds the protected page": PAGE in answers,
        "another server answers in place of the refusal": "other" in answers,
    }
    return next((words for words, true in faults.items() if true), "")


def _answers(configuration: Configuration, server: Scope, target: str, depth: int = 0) -> set[str]:
    """What an address within a server may be answered with: ``refusal``, the page, ``other`` or ``text``."""
    block = named(server, target) if target.startswith("@") else choose(server, target.partition("?")[0])
    if block is None or depth > _DEEPEST:
        return {"other"}
    http = configuration.http_block
    found: set[str] = set()
    steps = routes(block, World(None, http)) if block is not server else (Route(End.THROUGH),)
    for route in steps:
        if route.end is End.REFUSED:
            found.add("refusal")
        elif route.end is End.ANSWERED:
            found.add("text")
        elif route.target:
            found |= _answers(configuration, server, route.target, depth + 1)
        elif next(handlers(block), None):
            found.add("other")
        else:
            found |= _files(configuration, server, block, target, depth)
    return found


def _files(configuration: Configuration, server: Scope, block: Scope, path: str, depth: int) -> set[str]:
    """The same for what a block takes from the disk, with ``try_files`` if it has any."""
    tried = block.own("try_files")
    if not tried:
        return {_kind_of_file(configuration, file_of(configuration, block, path))}
    found: set[str] = set()
    for name in tried[-1].args[:-1]:
        found.add(_kind_of_file(configuration, file_of(configuration, block, name.replace("$uri", path))))
    last = tried[-1].args[-1]
    if not last.startswith("="):
        return found | _answers(configuration, server, last, depth + 1)
    return found | {"text" if last.startswith("=2") else "refusal"}


def _kind_of_file(configuration: Configuration, path: str) -> str:
    # Of a path with a variable nobody knows where it ends.
    return PAGE if path == f"{configuration.service}{PAGE}" or "$" in path else "text"


# --- the page


def _page(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        if not configuration.servers:
            yield Objection(f"{configuration.service} has no server", configuration.top.place)
        for server in configuration.servers:
            if server.value("ssl_reject_handshake") != "on" and _matters(configuration, server):
                yield from _page_of(configuration, server)


def _matters(configuration: Configuration, server: Scope) -> bool:
    """Whether somebody expects the page there: of several servers, those that only refuse do not count."""
    return len(configuration.servers) == 1 or serves(configuration, server)


def _page_of(configuration: Configuration, server: Scope) -> Iterator[Objection]:
    http = configuration.http_block
    through = False
    for route, world in routes_and_worlds(server, World("SUCCESS", http, PAGE)):
        if route.end is End.ANSWERED:
            yield grave(route.by or server.directive, f"{route.by} answers in place of the page")
        if route.end not in (End.THROUGH, End.MOVED):
            continue
        path = route.target or PAGE
        block = choose(server, path)
        lasts = routes(block, world) if block is not server else (Route(End.THROUGH),)
        for last in lasts:
            if last.end is End.ANSWERED:
                yield grave(last.by or block.directive, f"{last.by} answers in place of the page")
            elif last.end is not End.REFUSED:
                through = True
                answers = _answers_of(configuration, server, block, last.target or path)
                if answers:
                    yield Objection(answers, block.place)
    if not through:
        yield Objection(f"no way leads to {HELLO}: every request for it is refused", server.place)


def _answers_of(configuration: Configuration, server: Scope, block: Scope, path: str) -> str:
    """What else than its page a service answers with; empty when it is the page."""
    handler = next(handlers(block), "")
    if handler:
        return f"{handler} answers in place of the page"
    found = _files(configuration, server, block, path, 0) if path == PAGE else {file_of(configuration, block, path)}
    if path != PAGE:
        return "" if found == {f"{configuration.service}{PAGE}"} else f"{path} is served in place of {PAGE}"
    wrong = found - {PAGE, "refusal"}
    if not wrong and "$" not in file_of(configuration, block, path):
        return ""
    return f"the page comes from {file_of(configuration, block, path)}, not from {configuration.service}{PAGE}"


# --- what decides, and what is said of it


def _other_deciders(facts: Facts) -> Iterator[Objection]:
    for server in facts.open_servers:
        for scope in server.all_blocks():
            for one in scope.own("satisfy", "auth_request", "auth_basic", "auth_jwt", "allow"):
                if one.first not in ("off", "all"):
                    yield mild(one)
    for one in facts.mtls.http[0].own("satisfy", "auth_request", "auth_basic", "allow") if facts.mtls.http else ():
        if one.first not in ("off", "all"):
            yield mild(one)


def _tainted(http: Scope | None, text: str, server: Scope, depth: int = 0) -> bool:
    """Whether a client can choose what a text with variables becomes, or which of several values."""
    for name in variables_in(text):
        chosen = _CHOSEN.fullmatch(name) is not None and name not in _NOT_CHOSEN
        if chosen or depth > _DEEPEST:
            return True
        if any(_tainted(http, part, server, depth + 1) for part in _made_of(http, name, server)):
            return True
    return False


def _made_of(http: Scope | None, name: str, server: Scope) -> Iterator[str]:
    """The texts on which a variable of the configuration depends."""
    source = find_source(http, name)
    if source is not None:
        # Without a variable of its own, geo looks at the address: that is not the handshake either.
        yield source.first if source.name != "geo" or len(source.args) > 1 else "$http_"
        yield from (entry.first for entry in source.block or ())
    for scope in server.all_blocks():
        for one in scope.own("set"):
            if one.first.lstrip("$") == name:
                yield from one.args[1:]
                yield from scope.directive.args if scope.kind == "if" else ()


def _identity(facts: Facts) -> Iterator[Objection]:
    http = facts.mtls.http_block
    told = set()
    for server in facts.open_servers:
        for scope in server.all_blocks():
            for one in (*scope.in_force("add_header"), *scope.in_force("proxy_set_header")):
                if one.place in told or len(one.args) < 2 or not _IDENTITY.search(one.first):
                    continue
                told.add(one.place)
                wanted = _SAYS.get(one.first.lower())
                plain = one.args[1].replace("{", "").replace("}", "")
                if _tainted(http, one.args[1], server):
                    yield grave(one, f"{one}: the client chooses what it says")
                elif wanted and plain != wanted:
                    yield grave(one, f"{one}: it has to say {wanted}")


def _passed_on(facts: Facts) -> Iterator[Objection]:
    for server in facts.open_servers:
        for scope in server.all_blocks():
            for one in scope.own("proxy_pass", "grpc_pass"):
                name = one.name.replace("pass", "set_header")
                kept = {header.first.lower() for header in scope.in_force(name)}
                missing = [header for header in _SAYS if header not in kept]
                if missing:
                    yield grave(one, f"{one}: {missing[0]} of the client is passed on as it came (no {name} for it)")


def _address(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        for scope in configuration.top.all_blocks():
            yield from (mild(one) for one in scope.own("set_real_ip_from"))


def _writes(facts: Facts) -> Iterator[Objection]:
    harmless = ("off", "clean")
    names = ("dav_methods", "client_body_in_file_only", "create_full_put_path", "proxy_store", "fastcgi_store")
    for configuration in facts.both:
        for scope in configuration.top.all_blocks():
            yield from (grave(one) for one in scope.own(*names) if one.first not in harmless)


RULES = (
    Rule(
        id="config-refusals-stay-refusals",
        title="whoever is refused gets a refusal: no error page makes it a success, or holds the protected page",
        why="error_page answers in place of nginx's own page, also for its codes 495 and 496. With =200, or with the "
        "protected file as the page, the refused client has what it came for.",
        hint="Write error_page 495 496 =403 @refused; with location @refused { return 403; } there.",
        directive="error_page",
        source=f"{_CORE}, error_page; ngx_http_ssl_module, Error Processing",
        sabotage="error_page 495 496 =200 /hello-world.txt;",
        objections=_refusals,
    ),
    Rule(
        id="config-answers-with-the-page",
        title="each service answers with its own page, from the disk",
        why="What proves that a client was let in is the content. A status is soon sent: return 204 looks like a "
        "success to whoever looks at the status only. A service that serves the directory of the other gives it away.",
        hint=f"location = {PAGE} with root {MTLS_SERVICE}; and nothing else that answers.",
        directive="return, rewrite, try_files, root, alias, proxy_pass",
        source=f"{_CORE}, location; ngx_http_rewrite_module",
        sabotage="In the server of nginx-mtls/nginx.conf: return 204;",
        objections=_page,
    ),
    Rule(
        id="config-nothing-else-decides",
        title="nothing but the certificate decides who is served",
        why="Addresses and passwords beside the certificate hide what decides. satisfy any lets in whoever fits one of "
        "them.",
        hint="Leave satisfy, allow, auth_basic and auth_request away.",
        directive="satisfy, allow, auth_basic, auth_request",
        source=f"{_CORE}, satisfy; ngx_http_access_module",
        sabotage="satisfy any; allow 127.0.0.1; deny all;",
        objections=_other_deciders,
        severity=Severity.ADVISORY,
    ),
    Rule(
        id="config-identity-comes-from-the-handshake",
        title="what the server says about a client comes from the handshake",
        why="A header that names the client is believed by whoever reads it. Taken from the request ($http_...), it "
        "says what the client likes.",
        hint="add_header X-SSL-Client-Verify $ssl_client_verify always; and so on, as mtlslab renders it.",
        directive="add_header, proxy_set_header, map, set",
        source="nginx, ngx_http_headers_module, add_header; RFC 9440 section 4",
        sabotage="add_header X-SSL-Client-Subject $http_x_ssl_client_subject always;",
        objections=_identity,
    ),
    Rule(
        id="config-passes-no-forged-identity-on",
        title="a request that is passed on says nothing about the client that the client said itself",
        why="The headers of the request are passed on unless they are set anew. And one proxy_set_header in a location "
        "takes away all of those further out.",
        hint="proxy_set_header X-SSL-Client-Verify $ssl_client_verify; and so on, where proxy_pass stands.",
        directive="proxy_pass, proxy_set_header",
        source="nginx, ngx_http_proxy_module, proxy_set_header; RFC 9440 section 4",
        sabotage="A location with proxy_pass and no proxy_set_header.",
        objections=_passed_on,
    ),
    Rule(
        id="config-addresses-are-real",
        title="the client's address is the one of the connection",
        why="real_ip takes it from a header. Then the log and every rule on addresses say what the client said.",
        hint="Leave set_real_ip_from away: there is no proxy before the lab.",
        directive="set_real_ip_from, real_ip_header",
        source="nginx, ngx_http_realip_module",
        sabotage="set_real_ip_from 127.0.0.1;",
        objections=_address,
        severity=Severity.ADVISORY,
    ),
    Rule(
        id="config-takes-no-files",
        title="clients cannot write files",
        why="The lab serves one page. A method that writes, or bodies that stay on the disk, let a client fill it or "
        "replace the page.",
        hint="Leave dav_methods and client_body_in_file_only away.",
        directive="dav_methods, client_body_in_file_only, proxy_store",
        source="nginx, ngx_http_dav_module; ngx_http_core_module, client_body_in_file_only",
        sabotage="client_body_in_file_only on;",
        objections=_writes,
    ),
)

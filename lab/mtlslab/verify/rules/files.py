"""Rules on files: what is served from the disk, what is read from outside of the lab, what is logged."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from mtlslab.errors import LabError
from mtlslab.pki.keys import holds_private_key
from mtlslab.plan.services import MTLS_SERVICE
from mtlslab.verify.configuration.locations import modifier_of
from mtlslab.verify.configuration.model import Configuration, Directive, Scope
from mtlslab.verify.configuration.rewrite import variables_in
from mtlslab.verify.rules.facts import Facts
from mtlslab.verify.rules.model import Objection, Rule, grave, mild

_CORE = "nginx, ngx_http_core_module"
_LOG_DOCUMENT = "nginx, ngx_http_log_module"
# What the log has to tell of a client, and the variables that do.
_MUST_TELL = (("ssl_client_verify",), ("status",), ("request", "request_uri", "uri"))
_WHO = ("ssl_client_s_dn", "ssl_client_s_dn_legacy", "ssl_client_serial", "ssl_client_fingerprint", "ssl_client_cert")
# Levels of the error log at which nginx says why a certificate was refused.
_TALKATIVE = ("info", "notice", "debug")
_LEVELS = (*_TALKATIVE, "warn", "error", "crit", "alert", "emerg")
_READABLE = ("stderr", "/dev/stderr", "/dev/stdout")


def _scopes(configuration: Configuration) -> Iterator[Scope]:
    for http in configuration.http:
        yield from http.all_blocks()


def _roots(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        for scope in _scopes(configuration):
            for one in scope.own("root", "alias"):
                path = configuration.below_prefix(one.first)
                if "$" in one.first and not _is_capture(one):
                    yield grave(one, f"{one}: the request decides which directory it is")
                elif path.split("/")[0] != configuration.service:
                    yield grave(one, f"{one}: files of {path} are served, which is not {configuration.service}")


def _is_capture(directive: Directive) -> bool:
    """Whether the only variables are parts of the path, at the end: the directory itself is fixed."""
    fixed, _, rest = directive.first.partition("$")
    return fixed.endswith("/") and all(name.isdigit() for name in variables_in(f"${rest}"))


def _keys(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        try:
            names = facts.workspace.names(configuration.service)
        except LabError:
            continue
        for name in names:
            path = f"{configuration.service}/{name}"
            if holds_private_key(facts.read(path) or b""):
                yield Objection(f"{path} holds a private key, in the directory that is served")


def _climbing(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        for scope in _scopes(configuration):
            modifier, text = modifier_of(scope) if scope.kind == "location" else ("", "/")
            for one in scope.own("alias"):
                if modifier in ("", "^~") and not text.endswith("/") and one.first.endswith("/"):
                    yield grave(one, f"{one} in location {text}: {text}../ leads out of the directory")
                elif (
                    modifier in ("~", "~*") and "$" in one.first and not re.search(r"/\((\?P?<\w+>)?[^)]*\)\$?$", text)
                ):
                    yield grave(one, f"{one} in location {text}: what is captured need not begin behind a slash")


def _listing(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        for scope in _scopes(configuration):
            yield from (grave(one) for one in scope.own("autoindex") if one.first != "off")


def _outside(facts: Facts) -> Iterator[Objection]:
    for configuration in facts.both:
        for include, names in configuration.includes:
            foreign = [name for name in names if posixpath.isabs(name) or name.startswith("..")]
            if foreign:
                yield grave(include, f"{include}: {foreign[0]} is no file of the lab")
        for directive in ("ssl_certificate", "ssl_certificate_key", "ssl_crl", "ssl_dhparam", "ssl_password_file"):
            for scope in _scopes(configuration):
                for one in scope.own(directive):
                    path = configuration.beside_conf(one.first)
                    if posixpath.isabs(path) or path.startswith("..") or "$" in one.first:
                        yield grave(one, f"{one}: {one.first} is no file of the lab")


# --- logs


def _logged(facts: Facts) -> Iterator[tuple[Scope, tuple[Directive, ...]]]:
    """The blocks of the mTLS service that may answer, each with the logs in force there."""
    for server in facts.open_servers:
        for scope in server.all_blocks():
            if scope.kind in ("server", "location", "if"):
                yield scope, scope.in_force("access_log")


def _access(facts: Facts) -> Iterator[Objection]:
    told = set()
    for scope, logs in _logged(facts):
        if not logs and scope.kind == "server":
            yield Objection("no access_log: nginx writes a file of its own, in which no client is named", scope.place)
        kept = [one for one in logs if one.first != "off" and not any(arg.startswith("if=") for arg in one.args)]
        if not logs or any(one.first in _READABLE for one in kept) or logs[0].place in told:
            continue
        told.add(logs[0].place)
        yield grave(
            logs[0], f"{logs[0]}: requests of clients are not logged, or not all, where mtlslab logs reads them"
        )


def _formats(facts: Facts) -> Iterator[Objection]:
    told = set()
    for http in facts.mtls.http:
        formats = {one.first: one for one in http.own("log_format")}
        for _, logs in _logged(facts):
            for log in logs:
                if log.first == "off" or log.first not in _READABLE or log.place in told:
                    continue
                told.add(log.place)
                name = next((arg for arg in log.args[1:] if "=" not in arg), "combined")
                yield from _format(log, formats.get(name))


def _format(log: Directive, written: Directive | None) -> Iterator[Objection]:
    if written is None:
        yield grave(log, f"{log}: the format combined does not tell who the client is")
        return
    if "escape=none" in written.args:
        yield grave(
            written, f"log_format {written.first} escape=none: a request can write lines of its own into the log"
        )
    elif "escape=json" not in written.args:
        yield mild(written, f"log_format {written.first} is not JSON: what stands in quotes there is hard to read back")
    names = set(variables_in(" ".join(written.args[1:])))
    missing = [some[0] for some in (*_MUST_TELL, _WHO) if not names & set(some)]
    if missing:
        yield grave(written, f"log_format {written.first} does not tell ${', $'.join(missing)}")


def _errors(facts: Facts) -> Iterator[Objection]:
    told = set()
    for server in facts.open_servers:
        for scope in server.all_blocks():
            logs = scope.in_force("error_log")
            readable = [one for one in logs if one.first in _READABLE]
            if not logs or logs[0].place in told:
                continue
            told.add(logs[0].place)
            if not readable:
                yield grave(logs[0], f"{logs[0]}: nobody reads there why a client was refused")
            elif not any(_level(one) in _TALKATIVE for one in readable):
                yield mild(logs[0], f"{logs[0]}: why a certificate was refused is told from the level info on")


def _level(log: Directive) -> str:
    return next((arg for arg in log.args[1:] if arg in _LEVELS), "error")


RULES = (
    Rule(
        id="config-serves-its-own-directory",
        title="each service serves files of its own directory only",
        why="The directory above holds the certificates and private keys, the one beside it the page of the other "
        "service. What root or alias names is public to whoever comes in.",
        hint=f"root {MTLS_SERVICE}; where the page is, and no other root or alias.",
        directive="root, alias",
        source=f"{_CORE}, root; CWE-552",
        sabotage="location /files/ { root .; }",
        objections=_roots,
    ),
    Rule(
        id="config-serves-no-key",
        title="no private key lies in a directory that is served",
        why="nginx serves whatever lies there, whatever its name is. Keys are found by what they hold.",
        hint="Remove the file, and issue what it was a copy of anew: mtlslab up --rotate-certs, or, for what you "
        "brought, mtlslab certs import.",
        directive="root",
        source="CWE-552; RFC 5280 section 9",
        sabotage="cp certs/server.key nginx-mtls/",
        objections=_keys,
    ),
    Rule(
        id="config-alias-does-not-climb",
        title="no alias lets a path climb out of its directory",
        why="location /files with alias data/ makes data/../secret of /files../secret: one slash decides.",
        hint="A slash at the end of both, location /files/ and alias data/, or of neither.",
        directive="alias, location",
        source=f"{_CORE}, alias; CWE-22",
        sabotage="location /files { alias nginx-mtls/files/; }",
        objections=_climbing,
    ),
    Rule(
        id="config-lists-no-directory",
        title="no directory is listed",
        why="A list names what nobody was told of: copies, keys, old files.",
        hint="Leave autoindex away.",
        directive="autoindex",
        source="nginx, ngx_http_autoindex_module; CWE-548",
        sabotage="autoindex on;",
        objections=_listing,
    ),
    Rule(
        id="config-is-the-labs-own",
        title="all that nginx reads belongs to the lab",
        why="Whoever may write a file that is included writes the configuration. Outside of the lab's directory others "
        "may, and nothing here looks after it.",
        hint="Copy it beside nginx.conf.",
        directive="include, ssl_certificate, ssl_certificate_key, ssl_crl",
        source="nginx, Core functionality, include; CWE-427",
        sabotage="include /etc/nginx/conf.d/*.conf;",
        objections=_outside,
    ),
    Rule(
        id="config-logs-every-request",
        title="every request to the mTLS service is logged, where its log is read",
        why="A log with gaps proves nothing: access_log off in one location, or a condition, and nobody can say who "
        "was there.",
        hint="access_log /dev/stdout lab; in the http block, and nowhere else.",
        directive="access_log",
        source=f"{_LOG_DOCUMENT}, access_log; CWE-778",
        sabotage="access_log off;",
        objections=_access,
    ),
    Rule(
        id="config-log-names-the-client",
        title="each line of the log tells which client it was, and no client can forge one",
        why="Verdict, subject, serial or fingerprint make the line worth keeping. With escape=none a request writes "
        "what it likes into the log, line breaks included.",
        hint="The log_format that mtlslab renders, with escape=json.",
        directive="log_format",
        source=f"{_LOG_DOCUMENT}, log_format; CWE-117",
        sabotage="access_log /dev/stdout combined;",
        objections=_formats,
    ),
    Rule(
        id="config-errors-are-logged",
        title="why a client was refused is logged",
        why="Every refused client gets the same page. The cause stands in the error log, at the level info.",
        hint="Write error_log stderr info; there.",
        directive="error_log",
        source="nginx, Core functionality, error_log; ngx_http_ssl_module",
        sabotage="error_log /dev/null;",
        objections=_errors,
    ),
)

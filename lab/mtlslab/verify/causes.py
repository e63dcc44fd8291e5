"""What findings have in common: the directive that was edited, or to which a rule objects, with its file and line.

The place is what nginx itself says that it reads. Which findings a directive explains follows from what was observed:
a client that the server has found wrong and served all the same is no affair of the CAs that it trusts.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence

from mtlslab.errors import LabError
from mtlslab.pki.faults import Outcome
from mtlslab.plan.render import render
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE, make_plan
from mtlslab.verify.checks import Check, Result
from mtlslab.verify.checks.model import CONFIGURATION
from mtlslab.verify.configuration.edits import Edit, edits
from mtlslab.verify.configuration.model import Configuration, Directive
from mtlslab.verify.configuration.parse import UnreadableError, parse
from mtlslab.verify.report import Cause, VerifyFinding
from mtlslab.verify.rules.catalogue import CATALOGUE
from mtlslab.verify.rules.facts import Facts

_TRUST = {"ssl_client_certificate", "ssl_trusted_certificate", "ssl_crl", "ssl_verify_depth", "ssl_ocsp"}
_SESSIONS = {"ssl_session_cache", "ssl_session_tickets", "ssl_session_ticket_key", "ssl_session_timeout"}
_ANSWER = {
    *(
        "location",
        "return",
        "root",
        "alias",
        "if",
        "map",
        "geo",
        "set",
        "rewrite",
        "try_files",
        "error_page",
        "include",
    ),
    *("deny", "allow", "satisfy", "auth_basic", "auth_request", "auth_jwt", "internal", "limit_except", "proxy_pass"),
    *("limit_req", "limit_conn", "server", "server_name", "listen", "http2", "add_header", "recursive_error_pages"),
}
_HANDSHAKE = {
    *("ssl_protocols", "ssl_ciphers", "ssl_ecdh_curve", "ssl_conf_command", "ssl_dhparam", "ssl_reject_handshake"),
    *("ssl_certificate", "ssl_certificate_key", "server", "server_name", "listen", "ssl_prefer_server_ciphers"),
}
_NAMED = 3
_AS_RENDERED = "config-is-as-rendered"
_DIRECTIVE = re.compile(r"\b[a-z][a-z0-9]*(?:_[a-z0-9]+)*\b")
# What decides about a client that must be served, by what became of it.
_BY_OUTCOME = {
    Outcome.REFUSED_BY_ALERT: _HANDSHAKE,
    Outcome.CLIENT_REFUSES_SERVER: _HANDSHAKE,
    Outcome.CLOSED: _ANSWER | _HANDSHAKE,
    Outcome.OTHER_STATUS: _ANSWER,
    Outcome.SERVED: _ANSWER,  # with another page
    Outcome.REFUSED_NO_CERTIFICATE: _ANSWER | _HANDSHAKE,
    Outcome.REFUSED_CERTIFICATE: _TRUST,
    Outcome.UNREACHABLE: {"listen", "server", "include"},
    Outcome.NOT_TLS: {"listen", "server", "include"},
}


def find_causes(
    facts: Facts | None, checks: Mapping[str, Check], findings: Sequence[VerifyFinding]
) -> tuple[Cause, ...]:
    """The causes of findings that have failed, those that explain most first; none where the configuration has none.

    Args:
        facts: the configuration that runs; None where it cannot be read.
        checks: the checks by id.
        findings: all findings of the run.
    """
    failed = [finding for finding in findings if finding.result in (Result.FAIL, Result.WARN) and not finding.by_design]
    if facts is None or not any(finding.result is Result.FAIL for finding in failed):
        return ()
    found = list(_edited(facts, checks, failed)) or list(_objected(facts, checks, failed))
    return tuple(sorted(found, key=lambda cause: -len(cause.explains)))


def with_causes(findings: Sequence[VerifyFinding], causes: Sequence[Cause]) -> tuple[VerifyFinding, ...]:
    """The findings, of which those that a cause explains have it for their hint instead of what is usual."""

    def told(finding: VerifyFinding) -> VerifyFinding:
        named = [str(cause) for cause in causes if finding.id in cause.explains]
        if not named or finding.result is not Result.FAIL or finding.category == CONFIGURATION:
            return finding
        return dataclasses.replace(finding, hint=f"Here it is: {', or '.join(named[:_NAMED])}")

    return tuple(map(told, findings))


def _edited(facts: Facts, checks: Mapping[str, Check], failed: Sequence[VerifyFinding]) -> Iterator[Cause]:
    for configuration in facts.both:
        found = _edits(facts, configuration)
        # What answers in place of something that is gone tells more than what is gone.
        answered = {edit.block.place for edit in found if not edit.missing and edit.directive.name in _ANSWER}
        for edit in found:
            if edit.missing and edit.directive.name in _ANSWER and edit.place in answered:
                continue
            explained = [one for one in failed if _explains(edit, configuration.service, one, checks)]
            if any(one.result is Result.FAIL for one in explained):
                yield Cause(str(edit), str(edit.place), tuple(one.id for one in explained))


def _edits(facts: Facts, running: Configuration) -> tuple[Edit, ...]:
    plan = make_plan(facts.spec, facts.workspace.directory, image="", user="")
    files = dict(render(plan, facts.spec))
    if running.contained:
        for service in (TLS_SERVICE, MTLS_SERVICE):
            files[f"{service}/listen.conf"] = files[f"{service}/listen.container.conf"]
    own = f"{running.service}/"
    texts = {path: text for path, text in files.items() if path.startswith(own) and path.endswith(".conf")}
    try:
        return edits(parse(running.service, texts, root=running.root, contained=running.contained), running)
    except (UnreadableError, LabError, OSError):
        return ()


def _objected(facts: Facts, checks: Mapping[str, Check], failed: Sequence[VerifyFinding]) -> Iterator[Cause]:
    """The same for what is written as it was rendered, and means something else: a file with one more CA in it."""
    for rule in CATALOGUE.values():
        names = set(_DIRECTIVE.findall(rule.directive))
        for objection in rule.objections(facts):
            if not objection.grave or objection.place is None:
                continue
            service = objection.place.file.partition("/")[0]
            explained = [
                one.id
                for one in failed
                if one.id == rule.id
                or (one.result is Result.FAIL and one.service == service and names & _deciding(one, checks))
            ]
            if explained:
                yield Cause(objection.what, str(objection.place), tuple(explained))


def _explains(edit: Edit, service: str, finding: VerifyFinding, checks: Mapping[str, Check]) -> bool:
    name, names = edit.directive.name, set(_names(edit.directive))
    if finding.category == CONFIGURATION:
        if finding.id == _AS_RENDERED:
            return True
        named = str(edit.place) in finding.observed.get("places", ()) and name in finding.reason
        return named or bool(names & _words(finding, checks))
    # A server of its own decides everything anew.
    return finding.service == service and (name == "server" or bool(names & _deciding(finding, checks)))


def _names(directive: Directive) -> Iterator[str]:
    yield directive.name
    for inner in directive.block or ():
        yield from _names(inner)


def _words(finding: VerifyFinding, checks: Mapping[str, Check]) -> set[str]:
    check = checks.get(finding.id)
    return set(_DIRECTIVE.findall(check.directive)) if check else set()


def _deciding(finding: VerifyFinding, checks: Mapping[str, Check]) -> set[str]:
    """The directives that may have decided what was observed."""
    said = _said(finding)
    if finding.lets_in:
        if said == "SUCCESS":
            return _TRUST | _SESSIONS
        return _words(finding, checks) | _ANSWER | {"ssl_verify_client"} | (set() if said else _TRUST)
    if finding.expected.get("outcome") != Outcome.SERVED.value:
        return _words(finding, checks)
    if said.startswith("FAILED"):
        return _TRUST
    outcome = finding.observed.get("outcome")
    served = _BY_OUTCOME.get(Outcome(outcome), set()) if outcome else set()
    own = _words(finding, checks)
    return own if outcome == Outcome.SERVED.value and own else served | (own if not served else set())


def _said(finding: VerifyFinding) -> str:
    """What the server says about the client's certificate: in its answer, or in its log."""
    server = finding.observed.get("server")
    logged = server.get("verify") if isinstance(server, Mapping) else ""
    return str(finding.observed.get("client_verify") or logged or "")

"""Pages that explain a check or a word to a student. No lab or network is needed.

Pages about checks are made from the catalogue and the faults, those about words from :mod:`mtlslab.classroom.terms`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
from pathlib import Path

from mtlslab.classroom.page import Page
from mtlslab.classroom.terms import TermPage, find_term, term_page, terms
from mtlslab.classroom.verdicts import VERDICT_PAGES
from mtlslab.errors import LabError, SpecError
from mtlslab.pki.faults import FAULTS, Severity
from mtlslab.plan.addresses import url_host
from mtlslab.plan.docstrings import docstring_of
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.plan.shell import shell_line
from mtlslab.plan.spec import DEFAULT_NAME, LabSpec, make_spec, reachable_address
from mtlslab.verify.checks import Entry, Outcome, Trust, families
from mtlslab.verify.checks.model import CLIENT, PROBE, SMALL_SERVER, TLS_VERSIONS
from mtlslab.verify.context import VerifyContext
from mtlslab.verify.procedures import PROCEDURES, command_of
from mtlslab.verify.procedures.doors import CLIENT_OF_SERVER_CA
from mtlslab.verify.runner import make_attempt
from mtlslab.workspace.target import Target

NO_CREDENTIAL = "none"  # the fault that is a client without a certificate

_SERVERS = {
    TLS_SERVICE: "the TLS server (nginx-tls)",
    MTLS_SERVICE: "the mTLS server (nginx-mtls)",
    SMALL_SERVER: "a small server of its own (mtlslab serve)",
}
_TRUSTS = {
    Trust.SERVER_CA: "It trusts the lab's server CA (--cacert).",
    Trust.NOBODY: "It trusts no CA that knows this server.",
    Trust.ANYONE: "It does not check the server at all (--insecure).",
}
_ENDINGS = {
    Outcome.SERVED: "The server finishes the handshake and answers 200 with the page.",
    Outcome.REFUSED_NO_CERTIFICATE: "nginx finishes the handshake and then answers every request with HTTP 400, "
    '"No required SSL certificate was sent" (its internal code 496). curl ends with status 0.',
    Outcome.REFUSED_CERTIFICATE: "nginx finishes the handshake and then answers every request with HTTP 400, "
    '"The SSL certificate error" (its internal code 495), whatever is wrong. The cause is in $ssl_client_verify and in '
    "its log. curl ends with status 0.",
    Outcome.CLIENT_REFUSES_SERVER: "The client does not trust the server's certificate and ends the handshake itself, "
    "with an alert. Nothing is asked for.",
    Outcome.REFUSED_BY_ALERT: "The server ends the handshake with a TLS alert: this is wrong at the level of the "
    "protocol, not of the chain. There is no HTTP answer, and no line in the access log.",
    Outcome.LOCAL: "Nothing reaches the server: the client's own TLS library refuses.",
    Outcome.OTHER_STATUS: "The server answers with another HTTP status.",
    Outcome.CLOSED: "The server closes the connection.",
    Outcome.NOT_TLS: "What answers there does not speak TLS.",
    Outcome.UNREACHABLE: "Nobody answers.",
}


DOORS_PAGE = Page(
    id="doors",
    title="nobody unauthorised is let in at any door of the mTLS server",
    severity=Severity.REQUIRED.value,
    tried="A door is one way to ask: address, port, TLS or in clear, name in SNI, Host header, path, version of "
    "HTTP and TLS, method, and what else the request says. The doors come from the configuration that nginx "
    "reads (nginx -T) and from the sockets that are open. Each of these is varied by itself, by a client "
    "without a certificate; names, locations and protocols also by clients with a certificate that is "
    "self-signed, of another CA of the same name, expired, revoked (where there is a list), or the server's "
    "own. Every knock sends what curl sends.",
    happens="Each is refused with a 4xx, an alert or a closed connection, and nothing of the protected page is in the "
    "refusal. It is a failure if the page, any file of the workspace, or another 2xx is given; a redirection "
    "is a warning, unless it leads from HTTP to HTTPS. The doors are knocked at even if a positive control is "
    "lost: then a refusal proves nothing, but whoever is let in proves enough.",
    why="A server may refuse at the front door and be open at the side: under another name, at ::1, over HTTP/2, "
    "for HEAD, in one location, for a header. What is checked is what was tried, so there must be many tries "
    "of many kinds.",
    rfc="RFC 9110 section 7, RFC 6066 section 3",
    directive="listen, server_name, location, ssl_verify_client, if, map, error_page",
    hint="The finding names the door and prints the command that gets through. ssl_verify_client on, in every "
    "server block of the service, leaves no side door. Knocks that were left out for their number are told: "
    "--doors N.",
    sabotage="Each of the checks door-... has its own: mtlslab explain door-names.",
    prepare=(),
    command=("mtlslab", "verify", "--list-doors"),
    run=("mtlslab", "verify", "--only", "door-", "-v"),
)


def explain(name: str, target: Target | None = None) -> Page | TermPage:
    """Make the page about a check, a fault or a word.

    Args:
        name: id of a check, with or without its TLS version, name of a fault, ``doors``, a verdict of an audit, with
            ``verdict-`` before it or without, or a spelling of a term.
        target: the lab whose ports the command uses; None, or a directory without a lab, gives the default ports.

    Raises:
        SpecError: there is no such page; the hint suggests similar names.
    """
    if name == DOORS_PAGE.id:
        return DOORS_PAGE
    spec = _spec(target)
    context = _context(target, spec)
    entries = families(crl=context.crl)
    family = "-".join(name.lower().split()).partition(".")[0]
    entry = entries.get(family) or _entry_of_fault(family, entries)
    verdict = VERDICT_PAGES.get(f"verdict-{name.removeprefix('verdict-')}")
    if entry is not None:
        page = page_of(entry, context)
        if verdict is None:
            return page
        return dataclasses.replace(page, hint=f"{page.hint} The verdict of that name: mtlslab explain {verdict.id}")
    if verdict is not None:
        return verdict
    term = find_term(name)
    if term is not None:
        return term_page(term, url_host(spec.listen), spec.tls_port, spec.mtls_port)
    verdicts = [one.removeprefix("verdict-") for one in VERDICT_PAGES]
    near = [shell_line([one]) for one in _near(name, [*entries, *FAULTS, DOORS_PAGE.id, *verdicts])]
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    raise SpecError(f"There is no page about {name!r}.", hint=f"{meant}All of them: mtlslab explain --list")


def _near(name: str, ids: list[str]) -> list[str]:
    """Up to three names of pages that look like one that there is not; of each page the name that is most alike."""
    wanted = name.lower()
    pages = {one: one for one in ids} | {one.lower(): term.id for term in terms().values() for one in term.names}
    close = difflib.get_close_matches(wanted, pages, n=9, cutoff=0.6)
    inside = [one for one in pages if len(wanted) > 3 and wanted in one]
    # A typo of few letters is more alike than a part of a long name; of equals, the id is told.
    best = sorted({*close, *inside[:9]}, key=lambda one: (-_likeness(wanted, one), one))
    return list(dict.fromkeys(pages[one] for one in best))[:3]


def _likeness(wanted: str, name: str) -> float:
    return difflib.SequenceMatcher(None, wanted, name).ratio() + (wanted in name) / 2


def page_of(entry: Entry, context: VerifyContext) -> Page:
    """Make the page about a check, for all its TLS versions, with commands for the lab in ``context``."""
    return Page(
        id=entry.id,
        title=entry.title,
        severity=entry.severity.value,
        tried=_tried(entry),
        happens=_happens(entry),
        why=entry.why,
        rfc=entry.rfc,
        directive=entry.directive,
        hint=entry.hint,
        sabotage=entry.sabotage,
        prepare=_prepare(entry),
        command=_command(entry, context),
        run=("mtlslab", "verify", "--only", entry.id, "-vv"),
    )


def _entry_of_fault(name: str, entries: dict[str, Entry]) -> Entry | None:
    """The entry that presents a fault to the mTLS server; None if there is none."""
    if name not in FAULTS:
        return None
    wanted = None if name == NO_CREDENTIAL else name
    about = [entry for entry in entries.values() if entry.credential == wanted and entry.procedure == PROBE]
    return next((entry for entry in about if entry.service == MTLS_SERVICE), None)


def _tried(entry: Entry) -> str:
    if entry.procedure != PROBE:
        procedure = docstring_of(PROCEDURES[entry.procedure]).partition("\n\n")[0]
        return " ".join(procedure.split()) or f"Whether {entry.title}."
    versions = " and again ".join(f"on TLS {version}" for version in _versions(entry))
    return f"A client {_holding(entry)} asks {_SERVERS[entry.service]} for the page, {versions}. {_TRUSTS[entry.trust]}"


def _versions(entry: Entry) -> tuple[str, ...]:
    return TLS_VERSIONS if entry.versions else ("as it likes",)


def _holding(entry: Entry) -> str:
    if entry.credential is None:
        return "without a certificate"
    if entry.credential == CLIENT:
        return "with the lab's client certificate (certs/client.crt)"
    return f'with the credential "{FAULTS[entry.credential].title}" (certs/faults/{entry.credential}.crt)'


def _happens(entry: Entry) -> str:
    if entry.procedure != PROBE:
        return f"What must be seen: {entry.title}."
    expect = entry.expect
    story = _ENDINGS[expect.outcome]
    if expect.outcome in (Outcome.REFUSED_CERTIFICATE, Outcome.REFUSED_BY_ALERT) and expect.reason:
        story += f" Here it says, or something like it: {expect.reason.replace('|', ' / ')}."
    if Outcome.SERVED in expect.also:
        story += " A server may serve this client as well, provided that it has verified the certificate."
    if expect.by_design:
        story += " That is what nginx does by design, so the check warns instead of failing (--strict makes it fail)."
    return story


def _prepare(entry: Entry) -> tuple[str, ...]:
    if entry.procedure == CLIENT_OF_SERVER_CA:
        return ("mtlslab", "verify", "--only", entry.id)  # the procedure itself issues the credential
    if entry.credential in (None, CLIENT):
        return ()
    return ("mtlslab", "certs", "issue", "--fault", str(entry.credential))


def _command(entry: Entry, context: VerifyContext) -> tuple[str, ...]:
    # A plain attempt gives the same result on each TLS version; a procedure, and its files, may be about one version.
    version = entry.versions[-1] if entry.procedure != PROBE and entry.versions else None
    check = entry.check(version)
    return tuple(command_of(check, context, make_attempt(context, check)))


def _spec(target: Target | None) -> LabSpec:
    """The settings of a lab; those of a new one where there is none, or a damaged one."""
    if target is not None and target.record is not None:
        with contextlib.suppress(LabError):
            return make_spec(target.record.spec)
    return LabSpec(name=DEFAULT_NAME)


def _context(target: Target | None, spec: LabSpec) -> VerifyContext:
    there = target is not None and target.record is not None
    return VerifyContext(
        directory=target.workspace.directory if target is not None and there else Path.cwd(),
        lab=spec.name,
        runtime="",
        tls_port=spec.tls_port,
        mtls_port=spec.mtls_port,
        address=reachable_address(spec.listen),
        crl=spec.crl,
    )

"""A check for every fault that the tutorial does not show, made from what the fault says about it."""

from __future__ import annotations

from mtlslab.pki.faults import FAULTS, Fault, Outcome, Severity
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.verify.checks.entries_tutorial import ENTRIES as TUTORIAL
from mtlslab.verify.checks.model import ODD_CERTIFICATES, REVOCATION, SERVER_IDENTITY, TLS_VERSIONS, Entry, Expectation

# The same credentials where nobody asks for one; a handful is enough to make the point.
_AT_THE_TLS_SERVER = ("other-ca", "self-signed", "expired", "corrupt-signature", "stolen-certificate")

CONTROL = "mtls-serves-client-certificate"
NO_CREDENTIAL = "none"  # of the faults; here a check without a credential
REVOKED = "revoked"
BY_INTERMEDIATE = "revoked-by-intermediate"
_TAKEN_BACK = (REVOKED, BY_INTERMEDIATE)

_OFF = "ssl_verify_client off; in nginx-mtls/nginx.conf, then mtlslab reload."
_LENIENT = "error_page 495 =200 /hello-world.txt; in nginx-mtls/nginx.conf, then mtlslab reload."
_ONLY_ONE = 'if ($ssl_client_s_dn !~ "^CN=client,") { return 403; } in nginx-mtls/nginx.conf, then mtlslab reload.'
_DEPTH = "ssl_verify_depth 0; in nginx-mtls/nginx.conf, then mtlslab reload."
_LOAD = "Nothing on the server: give the client the key that belongs to its certificate, and it is served."
_AUTHORISE = f"A server that is stricter than nginx by itself makes the warning go: {_ONLY_ONE}"
# By the chapter of the faults: the directives that decide, and where to look if the check does not hold.
_DIRECTIVES = {
    "trust": "ssl_client_certificate, ssl_verify_client",
    "validity": "ssl_verify_client",
    "usage": "ssl_verify_client",
    "chains": "ssl_client_certificate, ssl_verify_depth",
    "keys": "ssl_verify_client, ssl_ciphers (@SECLEVEL), ssl_ecdh_curve",
    "identity": "ssl_verify_client; who may do what is decided from $ssl_client_s_dn and its like",
}
_HINTS = {
    "trust": "ssl_client_certificate must name certs/client-ca.crt and hold no other CA; ssl_verify_client must be on.",
    "validity": "ssl_verify_client must be on. Is the clock of the machine right?",
    "usage": "ssl_verify_client must be on. nginx leaves this check to OpenSSL, which makes it for every client chain.",
    "chains": "ssl_verify_client must be on; ssl_verify_depth says how many CAs may stand below the trusted one.",
    "keys": "ssl_verify_client must be on; the security level of the server's OpenSSL says which keys are too weak.",
    "identity": "ssl_verify_client must be on; look at mtlslab logs nginx-mtls.",
}
_REVOKED_HINTS = {
    REVOKED: "ssl_crl must name the list: mtlslab up --crl. nginx reads it at start and reload only: mtlslab reload.",
    BY_INTERMEDIATE: "ssl_crl must name a list: mtlslab up --crl. For the reason to be that it is revoked, append "
    "certs/faults/revoked-by-intermediate.crl to crl/client-ca.crl, then mtlslab reload.",
}
_CRL_WHY = (
    "Without ssl_crl it is served. With it, OpenSSL wants a list of every CA in the chain; the lab's file holds the "
    "client CA's only: whoever switches revocation on must have a list of each CA."
)
_CRL_SABOTAGE = "Append a list of the intermediate CA to crl/client-ca.crl, then mtlslab reload: the warning goes."
_CRL_HINT = (
    "With ssl_crl, nginx wants a list of every CA in the chain: append the intermediate CA's own CRL to the file."
)


def entries(*, crl: bool) -> tuple[Entry, ...]:
    """One entry for each credential.

    Args:
        crl: whether the server checks a revocation list, which changes what is to be expected.
    """
    shown = {entry.credential or NO_CREDENTIAL for entry in TUTORIAL if entry.service == MTLS_SERVICE}
    controls = tuple(_control(FAULTS[name]) for name in _AT_THE_TLS_SERVER)
    faults = sorted(
        (fault for fault in FAULTS.values() if fault.name not in shown), key=lambda one: one.name in _TAKEN_BACK
    )
    return controls + tuple(_entry(fault, version, crl=crl) for fault in faults for version in TLS_VERSIONS)


def _control(fault: Fault) -> Entry:
    return Entry(
        id=f"tls-ignores-{fault.name}",
        title=f"the TLS server does not care: {fault.title}",
        category=SERVER_IDENTITY,
        service=TLS_SERVICE,
        expect=Expectation(Outcome.SERVED, asked=False),
        why=f"{fault.wrong} This server never asks for a certificate, so the client never sends it: what the mTLS "
        "server refuses is refused for this certificate, and for nothing else about the client.",
        hint="nginx-tls/nginx.conf must not set ssl_verify_client.",
        credential=fault.name,
        depends="tls-serves-with-ca",
        rfc="RFC 8446 section 4.3.2",
        directive="ssl_verify_client (off unless it is set)",
        sabotage="ssl_verify_client optional; ssl_client_certificate ../certs/server.crt; in nginx-tls/nginx.conf, "
        "then mtlslab reload.",
    )


def fault_of(check: Entry) -> Fault | None:
    """What the fault says about a check's credential; None for the lab's own client."""
    return FAULTS.get(check.credential or NO_CREDENTIAL)


def _entry(fault: Fault, version: str, *, crl: bool) -> Entry:
    expect = _expectation(fault, version, crl=crl)
    chapter = fault.build.__module__.rpartition(".")[2]
    hint, directive = _HINTS[chapter], _DIRECTIVES[chapter]
    if fault.name in _TAKEN_BACK:
        hint, directive = _REVOKED_HINTS[fault.name], "ssl_crl"
    why, sabotage = f"{fault.wrong} {fault.lesson}", _sabotage(fault, expect, chapter)
    if expect.by_design and expect.outcome is not Outcome.SERVED:
        hint, directive, why, sabotage = _CRL_HINT, "ssl_crl", f"{fault.wrong} {_CRL_WHY}", _CRL_SABOTAGE
    return Entry(
        id=_id(fault),
        title=f"{_subject(expect)}: {fault.title}",
        category=REVOCATION if fault.name in _TAKEN_BACK else ODD_CERTIFICATES,
        service=MTLS_SERVICE,
        expect=expect,
        why=why,
        hint=hint,
        credential=fault.name,
        weak=fault.weak,
        depends=CONTROL,
        severity=Severity.ADVISORY if expect.by_design or _only_advisory(fault) else Severity.REQUIRED,
        rfc=fault.rfc,
        directive=directive,
        sabotage=sabotage,
        versions=(version,),
    )


def _expectation(fault: Fault, version: str, *, crl: bool) -> Expectation:
    outcome, *others = fault.expected(f"TLSv{version}", crl=crl)
    if outcome is Outcome.REFUSED_BY_ALERT:
        # An alert may race with the end of the connection.
        may_serve = Outcome.SERVED in others
        return Expectation(outcome, reason=fault.alert, also=(*others, Outcome.CLOSED), identified=may_serve)
    if outcome is Outcome.LOCAL:
        return Expectation(outcome)
    served = outcome is Outcome.SERVED
    surprising = served and fault.severity is Severity.ADVISORY
    missing_list = crl and fault.outcome is Outcome.SERVED and not served and fault.name not in _TAKEN_BACK
    return Expectation(
        outcome,
        reason="" if served else fault.expected_reason(crl=crl),
        identified=served or Outcome.SERVED in others,
        also=tuple(others),
        by_design=surprising or missing_list,
    )


def _only_advisory(fault: Fault) -> bool:
    """A refusal that depends on how the server's OpenSSL was built."""
    return fault.severity is Severity.ADVISORY and fault.outcome is not Outcome.SERVED


def _id(fault: Fault) -> str:
    """The same whatever is configured: a check keeps its name when a revocation list changes the right answer."""
    if fault.load_fails_locally:
        return f"mtls-never-sees-{fault.name}"
    if fault.outcome is not Outcome.SERVED or fault.name in _TAKEN_BACK:
        return f"mtls-refuses-{fault.name}"
    return f"mtls-{'accepts' if fault.severity is Severity.ADVISORY else 'serves'}-{fault.name}"


def _subject(expect: Expectation) -> str:
    if expect.outcome is Outcome.LOCAL:
        return "the client itself refuses"
    if expect.outcome is not Outcome.SERVED and Outcome.SERVED in expect.also:
        return "the mTLS server may serve or refuse"
    verb = "serves" if expect.outcome is Outcome.SERVED else "refuses"
    return f"the mTLS server {verb}{', by design' if expect.by_design else ''}"


def _sabotage(fault: Fault, expect: Expectation, chapter: str) -> str:
    if expect.outcome is Outcome.LOCAL:
        return _LOAD
    if fault.name in _TAKEN_BACK:
        return "Leave the list out and start again: mtlslab up --no-crl."
    if expect.by_design:
        return _AUTHORISE
    if expect.outcome is Outcome.SERVED:
        return _DEPTH if chapter == "chains" else _ONLY_ONE
    return _OFF if expect.outcome is not Outcome.REFUSED_CERTIFICATE else _LENIENT

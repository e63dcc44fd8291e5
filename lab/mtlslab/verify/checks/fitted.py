"""Fits what is expected to the CAs at hand: the catalogue speaks of those that mtlslab issues, users bring others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from mtlslab.pki.faults import FAULTS, Outcome, Severity
from mtlslab.verify.checks.model import Check, Expectation
from mtlslab.workspace.shape import Shape

_NO_ROOM = "path length|too long|unable to"

Change = Callable[[Check], Check]


def fitted(checks: Iterable[Check], shape: Shape) -> tuple[Check, ...]:
    """The same checks, with other expectations where the certificates of the lab lead to another right answer.

    Args:
        checks: of the catalogue.
        shape: what those certificates allow.
    """
    changes = _changes(shape)
    fit = (changes.get(check.family, _same)(check) for check in checks)
    return tuple(fit if shape.allows_cas else map(_without_cas, fit))


def _changes(shape: Shape) -> dict[str, Change]:
    changes: dict[str, Change] = {}
    if shape.ca_is_client:
        changes["mtls-refuses-client-ca-certificate"] = _served(
            "the client CA's certificate, whose key usage does not say that it is for signing only",
            "OpenSSL takes a CA's certificate for a client's where its key usage does not forbid it: openssl req -x509 "
            "writes none. Whoever has the CA's key could issue a client anyway. A CA with keyCertSign and cRLSign "
            "alone is refused.",
        )
    if shape.same_ca:
        changes["mtls-refuses-client-of-server-ca"] = _served(
            "a client of the server CA, which is a client CA, too",
            "One CA stands behind both sides here. So whoever may issue for servers may issue for clients, and only "
            "the extended key usage keeps the two apart. Two CAs would.",
        )
        for side, name in (("tls", "the TLS server"), ("mtls", "the mTLS server")):
            changes[f"{side}-untrusted-with-client-ca"] = _served(
                "",
                "One CA stands behind both sides here: with either file as its anchor, a client trusts the server.",
                title=f"by design, a client that takes the client CA for its trust anchor trusts {name}, too",
            )
    if shape.server_is_client and shape.same_ca:
        changes["mtls-refuses-server-certificate"] = _served(
            "the server's own certificate, which the same CA issued without saying that it is for servers only",
            "Without an extended key usage, or with clientAuth in it, a server's certificate logs in as a client "
            "wherever its CA is trusted for clients. Have the CA write serverAuth alone.",
        )
    elif shape.server_is_client:
        changes["mtls-refuses-server-certificate"] = _for_any_reason
    return changes


def _same(check: Check) -> Check:
    return check


def _served(who: str, why: str, *, title: str = "") -> Change:
    """The change to a check of somebody who is let in by design: a warning, with what there is to learn."""

    def change(check: Check) -> Check:
        return dataclasses.replace(
            check,
            title=title or f"the mTLS server serves, by design: {who}",
            expect=Expectation(Outcome.SERVED, by_design=True),
            severity=Severity.ADVISORY,
            why=why,
        )

    return change


def _for_any_reason(check: Check) -> Check:
    """Its usages would do: it is refused for its issuer, in words that depend on how that CA was made."""
    return dataclasses.replace(check, expect=dataclasses.replace(check.expect, reason=""))


def _without_cas(check: Check) -> Check:
    """A check of a chain, where the client CA may have no CA below it."""
    fault = FAULTS.get(check.credential or "")
    if fault is None or fault.build.__module__.rpartition(".")[2] != "chains" or fault.severity is Severity.ADVISORY:
        return check
    expect = check.expect
    if expect.outcome is Outcome.REFUSED_CERTIFICATE:
        reason = "|".join(filter(None, (expect.reason, _NO_ROOM)))
        return dataclasses.replace(check, expect=dataclasses.replace(expect, reason=reason, by_design=False))
    return dataclasses.replace(
        check,
        title=f"the mTLS server refuses, because the client CA may have no CA below it: {fault.title}",
        expect=Expectation(Outcome.REFUSED_CERTIFICATE, reason=_NO_ROOM),
        why=f"{fault.wrong} This client CA allows for no CA below it (path length 0, or stands below a root): "
        "such a chain must be refused, whatever is right in it.",
    )

"""When it is valid: no longer, hardly no longer, not yet; and when it was taken back."""

from __future__ import annotations

import datetime

from mtlslab import pki
from mtlslab.pki.crl import issue_crl
from mtlslab.pki.faults.model import DAY, FaultFiles, Parts, fault, send_along
from mtlslab.pki.faults.outcome import Outcome, Severity


@fault("expired a day ago", rfc="RFC 5280 section 4.1.2.5", reason="expired")
def expired(parts: Parts) -> pki.Credential:
    """The certificate's validity ended yesterday.

    The commonest failure of all. Renew early: nobody is warned by TLS.
    """
    return parts.leaf(not_before=parts.now - 30 * DAY, not_after=parts.now - DAY)


@fault("expired a second ago", rfc="RFC 5280 section 4.1.2.5", reason="expired")
def expired_a_second_ago(parts: Parts) -> pki.Credential:
    """The certificate's validity ended a second before it was issued.

    There is no grace: to the second, by the server's clock. A server whose clock is slow accepts it for a while
    longer.
    """
    return parts.leaf(not_before=parts.now - DAY, not_after=parts.now - datetime.timedelta(seconds=1))


@fault("not valid yet", rfc="RFC 5280 section 4.1.2.5", reason="not yet valid")
def not_yet_valid(parts: Parts) -> pki.Credential:
    """The certificate's validity has not begun yet.

    Mostly a wrong clock or time zone on the CA or on the server. A careful CA dates back by some minutes.
    """
    return parts.leaf(not_before=min(parts.now + DAY, parts.end), not_after=parts.end)


@fault(
    "revoked", rfc="RFC 5280 section 5", outcome=Outcome.SERVED, reason="SUCCESS", severity=Severity.ADVISORY,
    outcome_with_crl=Outcome.REFUSED_CERTIFICATE, reason_with_crl="revoked",
)  # fmt: skip
def revoked(parts: Parts) -> FaultFiles:
    """The client CA has revoked this certificate: its serial number is on the CA's list (CRL).

    nginx looks at no list unless `ssl_crl` names one, and reads it at start and reload only: without it, a
    revoked certificate is as good as any.
    """
    leaf = parts.leaf()
    return FaultFiles(leaf.certificate_pem(), leaf.key_pem(), revoke=leaf.certificate.serial_number)


@fault(
    "revoked by an intermediate CA", rfc="RFC 5280 section 5", outcome=Outcome.SERVED, reason="SUCCESS",
    severity=Severity.ADVISORY, outcome_with_crl=Outcome.REFUSED_CERTIFICATE,
    reason_with_crl="unable to get certificate CRL|revoked",
)  # fmt: skip
def revoked_by_intermediate(parts: Parts) -> FaultFiles:
    """The intermediate CA that issued this certificate has revoked it; the CA's list lies beside the certificate.

    The server cannot know: clients do not send lists, and nginx fetches none. With `ssl_crl`, it refuses the
    certificate because the file holds no list of the intermediate CA; with that list appended to the file, it
    refuses it as revoked.
    """
    middle = parts.intermediate()
    leaf = send_along(parts.leaf(issuer=middle), middle)
    crl = issue_crl(middle, {leaf.certificate.serial_number: parts.now}, now=parts.now, number=1)
    return FaultFiles(leaf.certificate_pem(), leaf.key_pem(), crl=crl)

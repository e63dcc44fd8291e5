"""CAs below the client CA: sent along or forgotten, allowed or not."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlslab import pki
from mtlslab.pki.faults.model import DAY, Parts, fault, send_along
from mtlslab.pki.faults.outcome import Outcome, Severity

# Once `ssl_crl` is set, OpenSSL wants a CRL of every CA in the chain, and the lab's file holds the client CA's only.
_NO_CRL = "unable to get certificate CRL"


@fault(
    "intermediate CA sent along", rfc="RFC 8446 section 4.4.2", outcome=Outcome.SERVED, reason="SUCCESS",
    outcome_with_crl=Outcome.REFUSED_CERTIFICATE, reason_with_crl=_NO_CRL,
)  # fmt: skip
def intermediate_sent(parts: Parts) -> pki.Credential:
    """A CA below the client CA issued the certificate, and the client sends that CA's certificate along.

    The server has to know the root only. It follows as many CAs as `ssl_verify_depth` allows: 1 unless told
    otherwise.
    """
    middle = parts.intermediate()
    return send_along(parts.leaf(issuer=middle), middle)


@fault(
    "intermediate CA sent after the root", rfc="RFC 8446 section 4.4.2", outcome=Outcome.SERVED, reason="SUCCESS",
    outcome_with_crl=Outcome.REFUSED_CERTIFICATE, reason_with_crl=_NO_CRL,
)  # fmt: skip
def intermediates_in_wrong_order(parts: Parts) -> pki.Credential:
    """The CAs come in the wrong order: the root first, then the intermediate CA that issued the leaf.

    Each certificate should certify the one before it. OpenSSL looks for each issuer in all that was sent, so the
    order makes no difference to it; TLS 1.2 calls it an error, and a stricter server refuses it.
    """
    middle = parts.intermediate()
    return send_along(parts.leaf(issuer=middle), parts.client_ca, middle)


@fault("intermediate CA not sent", rfc="RFC 8446 section 4.4.2", reason="unable to")
def intermediate_missing(parts: Parts) -> pki.Credential:
    """A CA below the client CA issued the certificate, but the client does not send that CA's certificate.

    The server cannot guess what lies between. The file after `curl --cert` must hold the leaf first and then the
    chain.
    """
    return parts.leaf(issuer=parts.intermediate())


@fault("intermediate CA expired", rfc="RFC 5280 section 6.1.3", reason="expired")
def intermediate_expired(parts: Parts) -> pki.Credential:
    """The leaf is in its time, but the CA between it and the client CA expired yesterday.

    A chain is valid while all its links are. Watch the dates of the CAs too, and never let a leaf outlive its CA.
    """
    extensions = pki.ca_extensions(0)
    middle = parts.leaf(
        subject=pki.distinguished_name(f"{parts.name} CA"),
        extensions=extensions,
        not_before=parts.now - 30 * DAY,
        not_after=parts.now - DAY,
    )
    return send_along(parts.leaf(issuer=middle, not_after=parts.end), middle)


@fault("intermediate is no CA", rfc="RFC 5280 section 4.2.1.9", reason="invalid CA|purpose|key usage")
def intermediate_not_a_ca(parts: Parts) -> pki.Credential:
    """The certificate between leaf and client CA may sign certificates by its key usage, but says CA:FALSE.

    basicConstraints decides who is a CA. Software that forgot to look at it let every customer of a CA issue for
    everybody.
    """
    extensions = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (pki.key_usage("key_cert_sign", "crl_sign"), True),
    ]
    middle = parts.leaf(subject=pki.distinguished_name(f"{parts.name} CA"), extensions=extensions)
    return send_along(parts.leaf(issuer=middle), middle)


@fault(
    "intermediate CA without basicConstraints", rfc="RFC 5280 section 4.2.1.9", reason="invalid CA|purpose|key usage"
)
def intermediate_without_basic_constraints(parts: Parts) -> pki.Credential:
    """The CA between leaf and client CA may sign certificates by its key usage, but nowhere says that it is a CA.

    A certificate without basicConstraints is no CA's. Old tools make such CAs with `openssl x509 -req` and no
    extension file.
    """
    middle = parts.intermediate(extensions=[(pki.key_usage("key_cert_sign", "crl_sign"), True)])
    return send_along(parts.leaf(issuer=middle), middle)


@fault("intermediate CA for servers only", rfc="RFC 5280 section 4.2.1.12", reason="unsuitable certificate purpose")
def intermediate_eku_server_auth(parts: Parts) -> pki.Credential:
    """The leaf is for clients, but the CA between it and the client CA is for servers only (EKU serverAuth).

    OpenSSL reads the extended key usage of a CA as a limit for all that it issues, as browsers do. The RFC says
    nothing of it, so other verifiers may look at the leaf only.
    """
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    middle = parts.intermediate(extensions=[*pki.ca_extensions(0), (usage, False)])
    return send_along(parts.leaf(issuer=middle), middle)


@fault("a leaf acts as a CA", rfc="RFC 5280 section 4.2.1.9", reason="invalid CA|purpose|key usage")
def leaf_as_ca(parts: Parts) -> pki.Credential:
    """An ordinary client of the client CA used its own key to issue a certificate to a friend.

    Being trusted is not being trusted to vouch for others.
    """
    middle = parts.leaf()
    friend = pki.distinguished_name("a friend", pki.organization_of(parts.client_ca.certificate))
    return send_along(parts.leaf(issuer=middle, subject=friend), middle)


@fault("intermediate CA without keyCertSign", rfc="RFC 5280 section 4.2.1.3", reason="invalid CA|purpose|key usage")
def intermediate_without_key_cert_sign(parts: Parts) -> pki.Credential:
    """The CA between leaf and client CA says CA:TRUE, but its key usage allows it to sign CRLs only.

    Two extensions have to agree: basicConstraints says that it is a CA, key usage what its key may sign.
    """
    extensions = [(x509.BasicConstraints(ca=True, path_length=0), True), (pki.key_usage("crl_sign"), True)]
    middle = parts.leaf(subject=pki.distinguished_name(f"{parts.name} CA"), extensions=extensions)
    return send_along(parts.leaf(issuer=middle), middle)


@fault("path length exceeded", rfc="RFC 5280 section 4.2.1.9", reason="path length|too long")
def path_length_exceeded(parts: Parts) -> pki.Credential:
    """A CA that may have no CA below it (path length 0) issued one all the same, and that one issued the leaf.

    The path length lets a company give a department a CA without giving it the right to hand out CAs.
    """
    first = parts.intermediate(path_length=0)
    second = parts.intermediate(issuer=first)
    return send_along(parts.leaf(issuer=second), second, first)


@fault("chain longer than ssl_verify_depth", rfc="RFC 5280 section 6.1", reason="too long|unable to")
def chain_too_long(parts: Parts) -> pki.Credential:
    """Signatures, path lengths and dates are right, but two CAs stand between leaf and client CA; nginx follows one.

    `ssl_verify_depth` is the server's own limit. The first of the two is the client CA's new key under its old
    name (a self-issued certificate), which the path length does not count.
    """
    key = pki.new_key("ec-p256")
    subject = parts.client_ca.certificate.subject
    rollover = parts.leaf(subject=subject, key=key, extensions=pki.ca_extensions(1))
    middle = parts.intermediate(issuer=rollover)
    return send_along(parts.leaf(issuer=middle), middle, rollover)


@fault(
    "name constraints kept", rfc="RFC 5280 section 4.2.1.10", outcome=Outcome.SERVED, reason="SUCCESS",
    outcome_with_crl=Outcome.REFUSED_CERTIFICATE, reason_with_crl=_NO_CRL,
)  # fmt: skip
def name_constraints_kept(parts: Parts) -> pki.Credential:
    """A CA that may issue for example.com only issued a certificate for a name in example.com.

    Name constraints bind a CA to its own names, so that a department's CA cannot speak for the board.
    """
    return _constrained(parts, "client.example.com")


@fault("name constraints violated", rfc="RFC 5280 section 4.2.1.10", reason="permitted subtree")
def name_constraints_violated(parts: Parts) -> pki.Credential:
    """A CA that may issue for example.com only issued a certificate for a name in example.org.

    The CA's signature is good and does not help: it had no right to this name.
    """
    return _constrained(parts, "client.example.org")


@fault("name constraints violated by the common name", rfc="RFC 5280 section 4.2.1.10", reason="permitted subtree")
def name_constraints_violated_by_common_name(parts: Parts) -> pki.Credential:
    """A CA that may issue for example.com only issued a certificate that names example.org in the common name only.

    The RFC binds the names in the SAN. Because programs take a common name for a DNS name where there is no SAN,
    OpenSSL then holds the common name against the constraints too; other verifiers do not.
    """
    subject = pki.distinguished_name("client.example.org")
    extensions = parts.extensions_without(x509.SubjectAlternativeName)
    return _below_constrained(parts, subject, extensions)


@fault(
    "a CA that may sign handshakes", rfc="RFC 5280 section 4.2.1.3", outcome=Outcome.SERVED, reason="SUCCESS",
    severity=Severity.ADVISORY,
)  # fmt: skip
def ca_with_digital_signature(parts: Parts) -> pki.Credential:
    """The client presents a CA certificate whose key usage holds digitalSignature beside keyCertSign.

    Nothing keeps a CA from logging in as a client if its key usage allows it. Give CAs keyCertSign and cRLSign
    and no more.
    """
    extensions = [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (pki.key_usage("digital_signature", "key_cert_sign", "crl_sign"), True),
    ]
    return parts.leaf(extensions=extensions)


def _constrained(parts: Parts, name: str) -> pki.Credential:
    # A common name that looks like a DNS name may be held against the constraints too: this one has a space.
    subject = pki.distinguished_name(parts.name.replace("-", " "))
    return _below_constrained(parts, subject, pki.client_extensions([name]))


def _below_constrained(parts: Parts, subject: x509.Name, extensions: pki.Extensions) -> pki.Credential:
    """A leaf of a CA that may issue for example.com only."""
    constraints = x509.NameConstraints(permitted_subtrees=[x509.DNSName("example.com")], excluded_subtrees=None)
    middle = parts.intermediate(extensions=[*pki.ca_extensions(0), (constraints, True)])
    return send_along(parts.leaf(issuer=middle, subject=subject, extensions=extensions), middle)

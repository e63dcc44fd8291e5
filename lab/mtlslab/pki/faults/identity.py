"""Who it says the client is: somebody else, nobody, two at once, a thousand."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from mtlslab import pki
from mtlslab.pki.faults.model import Parts, fault, send_along
from mtlslab.pki.faults.outcome import Outcome, Severity


@fault(
    "another client of the same CA", rfc="RFC 5280 section 6.1", outcome=Outcome.SERVED, reason="SUCCESS",
    severity=Severity.ADVISORY,
)  # fmt: skip
def another_client(parts: Parts) -> pki.Credential:
    """The client CA issued this certificate as well, to somebody else.

    Authenticated is not authorised: `ssl_verify_client on` lets in everybody whom the CA knows. Who may do what
    must be decided from `$ssl_client_s_dn` or another fact about the certificate.
    """
    return parts.leaf()


@fault(
    "empty subject", rfc="RFC 5280 section 4.1.2.6", outcome=Outcome.SERVED, reason="SUCCESS",
    severity=Severity.ADVISORY,
)  # fmt: skip
def empty_subject(parts: Parts) -> pki.Credential:
    """The subject holds nothing at all; the name is in the SAN, which is critical then, as the RFC asks.

    Valid, and `$ssl_client_s_dn` is empty: a rule that compares with "" or writes the subject into a header lets
    in a nobody.
    """
    usual = pki.client_extensions([parts.name])
    extensions = [(one, critical or isinstance(one, x509.SubjectAlternativeName)) for one, critical in usual]
    return parts.leaf(subject=x509.Name([]), extensions=extensions)


@fault(
    "two common names", rfc="RFC 5280 section 4.1.2.6", outcome=Outcome.SERVED, reason="SUCCESS",
    severity=Severity.ADVISORY,
)  # fmt: skip
def two_common_names(parts: Parts) -> pki.Credential:
    """The subject holds two common names, "guest" and "admin".

    Valid, and which of the two counts depends on who reads it. A pattern like `CN=admin` finds what it looks for:
    compare the whole subject, or the fingerprint.
    """
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in ("guest", "admin")]
    return parts.leaf(subject=x509.Name(names))


@fault(
    "line break, NUL and comma in the subject", rfc="RFC 4514 section 2.4", outcome=Outcome.SERVED, reason="SUCCESS",
    severity=Severity.ADVISORY,
)  # fmt: skip
def subject_with_control_characters(parts: Parts) -> pki.Credential:
    r"""The common name holds a line break followed by a header, a NUL, and a comma followed by a second common name.

    Valid, and dangerous to whatever copies it: into a header (one line more), into C strings (they end at the NUL),
    or into a list that is split at commas. nginx escapes all three in `$ssl_client_s_dn` (`\0D\0A`, `\00`, `\,`);
    programs that read the certificate itself must do so too.
    """
    return parts.leaf(subject=pki.distinguished_name("client\r\nX-Role: admin\0,CN=admin"))


@fault("no SAN", rfc="RFC 5280 section 4.2.1.6", outcome=Outcome.SERVED, reason="SUCCESS")
def no_alternative_name(parts: Parts) -> pki.Credential:
    """The certificate has a common name only, as `openssl x509 -req` makes it without an extension file.

    nginx does not ask clients for a SAN; stricter verifiers do (pyca/cryptography is one).
    """
    return parts.leaf(extensions=parts.extensions_without(x509.SubjectAlternativeName))


@fault("1,000 SANs", rfc="RFC 5280 section 4.2.1.6", outcome=Outcome.SERVED, reason="SUCCESS")
def thousand_alternative_names(parts: Parts) -> pki.Credential:
    """The certificate holds a thousand names, some 30 kB.

    Valid. The client sends all of it in every full handshake.
    """
    return parts.leaf(extensions=pki.client_extensions(_many_names(1_000)))


@fault("chain of 64 KiB", rfc="RFC 8446 section 4.4.2", outcome=Outcome.SERVED, reason="SUCCESS")
def chain_of_64_kib(parts: Parts) -> pki.Credential:
    """Behind a good leaf, the client sends CA certificates that the server has no use for, more than 64 KiB of them.

    Valid: a server ignores what does not lead to its own CA, but has to receive it. OpenSSL takes up to 100 KiB by
    default; a server with a lower limit refuses this client.
    """
    return send_along(parts.leaf(), *_unneeded(parts))


@fault(
    "certificate of more than 100 KiB", rfc="RFC 8446 section 4.4.2", outcome=Outcome.REFUSED_BY_ALERT, reason="",
    alert="illegal_parameter",
)  # fmt: skip
def oversized_certificate(parts: Parts) -> pki.Credential:
    """The certificate holds six thousand names and is larger than 100 KiB.

    OpenSSL stops reading a certificate list of that size and ends the handshake with an alert, before it has
    looked at the chain.
    """
    return parts.leaf(extensions=pki.client_extensions(_many_names(6_000)))


def _many_names(count: int) -> list[str]:
    return [f"client-{number:04}.example.com" for number in range(count)]


def _unneeded(parts: Parts) -> tuple[pki.Credential, ...]:
    """CA certificates of together a little more than 64 KiB (DER)."""
    names = pki.alternative_names(f"ca-{number:04}.example.com" for number in range(760))
    first, last = parts.period()
    one = pki.issue(
        pki.distinguished_name("a CA that nobody asked for"),
        pki.new_key("ec-p256"),
        [*pki.ca_extensions(0), (names, False)],
        issuer=None,
        not_before=first,
        not_after=last,
    )
    return (one,) * 4

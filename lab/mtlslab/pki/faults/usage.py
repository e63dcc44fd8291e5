"""What it is for: key usage, extended key usage, and what a verifier does not understand."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from mtlslab import pki
from mtlslab.pki.faults.model import Parts, fault
from mtlslab.pki.faults.outcome import Outcome, Severity

_PURPOSE = "unsuitable certificate purpose"
# An arc for examples (RFC 5612 registers 32473 for documentation).
_UNKNOWN_EXTENSION = ObjectIdentifier("1.3.6.1.4.1.32473.1")


@fault("EKU serverAuth only", rfc="RFC 5280 section 4.2.1.12", reason=_PURPOSE)
def eku_server_auth(parts: Parts) -> pki.Credential:
    """The client CA issued it for servers only (extended key usage serverAuth).

    A stolen server certificate opens no door as a client: that is what the extended key usage is for.
    """
    return parts.leaf(extensions=parts.extensions(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])))


@fault("EKU codeSigning only", rfc="RFC 5280 section 4.2.1.12", reason=_PURPOSE)
def eku_code_signing(parts: Parts) -> pki.Credential:
    """The client CA issued it for signing programs only (extended key usage codeSigning).

    One CA may issue for many purposes; the extended key usage keeps them apart.
    """
    return parts.leaf(extensions=parts.extensions(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])))


@fault("EKU anyExtendedKeyUsage only", rfc="RFC 5280 section 4.2.1.12", reason=_PURPOSE)
def eku_any(parts: Parts) -> pki.Credential:
    """The certificate is for any purpose (anyExtendedKeyUsage), and names none in particular.

    Stranger than it looks: "any" is refused, while saying nothing at all is accepted. The RFC lets an application
    ask for the particular purpose, and OpenSSL does.
    """
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    return parts.leaf(extensions=parts.extensions(usage))


@fault("no EKU", rfc="RFC 5280 section 4.2.1.12", outcome=Outcome.SERVED, reason="SUCCESS", severity=Severity.ADVISORY)
def eku_none(parts: Parts) -> pki.Credential:
    """The certificate has no extended key usage.

    Without the extension every purpose is allowed, so the server's or the mail signer's certificate logs in as a
    client too. Have the CA always write one.
    """
    return parts.leaf(extensions=parts.extensions_without(x509.ExtendedKeyUsage))


@fault("no key usage", rfc="RFC 5280 section 4.2.1.3", outcome=Outcome.SERVED, reason="SUCCESS")
def key_usage_none(parts: Parts) -> pki.Credential:
    """The certificate has no key usage, so its key may be used for anything.

    Valid for a leaf: the RFC asks for the extension in certificates of CAs. A CA that writes digitalSignature keeps
    the key from other uses.
    """
    return parts.leaf(extensions=parts.extensions_without(x509.KeyUsage))


@fault("no basicConstraints", rfc="RFC 5280 section 4.2.1.9", outcome=Outcome.SERVED, reason="SUCCESS")
def basic_constraints_none(parts: Parts) -> pki.Credential:
    """The certificate does not say whether it is a CA's.

    Valid for a leaf: without basicConstraints it is no CA's. Older CAs and `openssl x509 -req` without an extension
    file issue such certificates.
    """
    return parts.leaf(extensions=parts.extensions_without(x509.BasicConstraints))


@fault("key usage without digitalSignature", rfc="RFC 5280 section 4.2.1.3", reason=_PURPOSE)
def key_usage_without_digital_signature(parts: Parts) -> pki.Credential:
    """The key may be used for non-repudiation (contentCommitment) only, yet it signs the handshake.

    A TLS client proves that it has the key by signing, which needs digitalSignature.
    """
    return parts.leaf(extensions=parts.extensions(pki.key_usage("content_commitment")))


@fault(
    "key usage keyAgreement only", rfc="RFC 5280 section 4.2.1.3", outcome=Outcome.SERVED, reason="SUCCESS",
    severity=Severity.ADVISORY,
)  # fmt: skip
def key_usage_key_agreement(parts: Parts) -> pki.Credential:
    """The key may be used for key agreement only, yet it signs the handshake.

    OpenSSL accepts keyAgreement for clients, from the days when static Diffie-Hellman certificates existed. RFC
    8446 section 4.4.2.4 asks for digitalSignature.
    """
    return parts.leaf(extensions=parts.extensions(pki.key_usage("key_agreement")))


@fault("unknown critical extension", rfc="RFC 5280 section 4.2", reason="critical extension")
def unknown_critical_extension(parts: Parts) -> pki.Credential:
    """The certificate has an extension, marked critical, that no software knows.

    "Critical" means: whoever does not understand this must refuse. That is how a restriction of tomorrow is safe
    from the software of today.
    """
    unknown = x509.UnrecognizedExtension(_UNKNOWN_EXTENSION, b"\x05\x00")
    return parts.leaf(extensions=[*pki.client_extensions([parts.name]), (unknown, True)])

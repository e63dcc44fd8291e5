"""Who signed it: nobody, the wrong CA, or a forger."""

from __future__ import annotations

import dataclasses

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mtlslab import pki
from mtlslab.pki.faults.model import FaultFiles, Parts, changed, fault, send_along
from mtlslab.pki.faults.outcome import Outcome

_SIGNATURE = "certificate signature failure"


@fault(
    "no certificate", rfc="RFC 8446 section 4.4.2.4", outcome=Outcome.REFUSED_NO_CERTIFICATE, reason="NONE",
    needs_client_ca=False,
)  # fmt: skip
def none(_parts: Parts) -> FaultFiles:
    """The client answers the server's CertificateRequest with an empty Certificate message.

    TLS leaves the decision to the server. nginx finishes the handshake and refuses the request with HTTP 400: a
    client that looks at the handshake only believes that it is in.
    """
    return FaultFiles(None, None)


@fault("self-signed", rfc="RFC 5280 section 6.1", reason="self.signed certificate", needs_client_ca=False)
def self_signed(parts: Parts) -> pki.Credential:
    """The certificate is signed with its own key; no CA stands behind it.

    Anybody can write any name into a certificate. Only the CA's signature makes the name worth something.
    """
    first, last = parts.period()
    key = parts.usual_key()
    extensions = pki.client_extensions([parts.name])
    return pki.issue(parts.subject(), key, extensions, issuer=None, not_before=first, not_after=last)


@fault("another CA", rfc="RFC 5280 section 6.1.1", reason="unable to", needs_client_ca=False)
def other_ca(parts: Parts) -> pki.Credential:
    """A CA that the server does not know issued the certificate.

    A valid certificate is valid only in the eyes of somebody who trusts its CA. OpenSSL clients send it all the
    same; Java and GnuTLS see that the server named another CA and send none.
    """
    return parts.leaf(issuer=_somebody_elses_ca(parts))


@fault(
    "another CA, its root sent along", rfc="RFC 5280 section 6.1.1", reason="self.signed certificate",
    needs_client_ca=False,
)  # fmt: skip
def other_ca_with_root(parts: Parts) -> pki.Credential:
    """A CA that the server does not know issued the certificate, and the client sends that CA's root along.

    The chain is complete, and every signature in it is right. A root is trusted because the server's own file
    (`ssl_client_certificate`) holds it, never because somebody sends it.
    """
    ca = _somebody_elses_ca(parts)
    return send_along(parts.leaf(issuer=ca), ca)


@fault("another CA with the same name", rfc="RFC 5280 section 4.2.1.1", reason="unable to|signature failure")
def other_ca_same_name(parts: Parts) -> pki.Credential:
    """The issuing CA bears exactly the name of the client CA, but has another key.

    Names prove nothing. The key identifiers (AKI, SKI) already tell the two apart, the signature would do so at
    last.
    """
    return parts.leaf(issuer=parts.other_ca(parts.client_ca.certificate.subject))


@fault(
    "another CA with the same name, no key identifier", rfc="RFC 5280 section 4.2.1.1", reason=_SIGNATURE,
    reason_with_crl=_SIGNATURE,
)  # fmt: skip
def other_ca_same_name_without_aki(parts: Parts) -> pki.Credential:
    """The issuing CA bears the name of the client CA, and the certificate does not say which key signed it (no AKI).

    By the names alone, the client CA is the issuer. So the server tries its key on the signature, and that fails.
    """
    ca = parts.other_ca(parts.client_ca.certificate.subject)
    return changed(parts.leaf(issuer=ca), ca.key, without=x509.AuthorityKeyIdentifier)


@fault("forged authority key identifier", rfc="RFC 5280 section 4.2.1.1", reason=_SIGNATURE, reason_with_crl=_SIGNATURE)
def forged_authority_key_identifier(parts: Parts) -> pki.Credential:
    """The issuing CA bears the client CA's name and claims its key identifier too; only the signature is its own.

    The AKI is a hint for finding the issuer, not a proof. What counts is the signature.
    """
    # Signing with the impostor's key in the name of the real CA's certificate copies its SKI into the AKI.
    return parts.leaf(issuer=pki.Credential(parts.client_ca.certificate, parts.impostor_key()))


@fault(
    "same subject and serial number as the client's", rfc="RFC 5280 section 4.1.2.2", reason="unable to",
    needs_client_ca=False,
)  # fmt: skip
def look_alike(parts: Parts) -> pki.Credential:
    """Another CA issued it, with the subject and the serial number of the lab's own client, for another key.

    Subject and serial number are what the issuer writes, and any CA can write them: only together with the issuer
    do they name one certificate. A list of known clients had better hold fingerprints of certificates or keys.
    """
    client = parts.client or parts.leaf().certificate
    ca = _somebody_elses_ca(parts)
    return changed(parts.leaf(issuer=ca, subject=client.subject), ca.key, serial_number=client.serial_number)


@fault("corrupt signature", rfc="RFC 5280 section 4.1.1.3", reason="signature failure")
def corrupt_signature(parts: Parts) -> pki.Credential:
    """One bit of the client CA's signature has been flipped.

    Whoever changes a certificate, be it by one bit, has to sign it anew, and lacks the CA's key for that.
    """
    good = parts.leaf()
    der = bytearray(good.certificate.public_bytes(Encoding.DER))
    der[-1] ^= 1  # the signature is the last field
    return dataclasses.replace(good, certificate=x509.load_der_x509_certificate(bytes(der)))


@fault(
    "the server's own certificate", rfc="RFC 5280 section 4.2.1.12", reason="unsuitable certificate purpose|unable to",
    needs_client_ca=False,
)  # fmt: skip
def server_certificate(parts: Parts) -> pki.Credential:
    """The client presents the certificate and key of the server itself.

    It is of the server CA, not of the client CA, and for servers only: two CAs keep the two roles apart even if
    one of the checks is forgotten.
    """
    return parts.server


@fault("the client CA's certificate", rfc="RFC 5280 section 4.2.1.3", reason="unsuitable certificate purpose")
def client_ca_certificate(parts: Parts) -> pki.Credential:
    """The client presents the certificate of the client CA and signs the handshake with the CA's key.

    The server trusts this certificate to issue, not to log in: its key usage allows signing certificates and CRLs
    only.
    """
    return parts.client_ca


def _somebody_elses_ca(parts: Parts) -> pki.Credential:
    return parts.other_ca(pki.distinguished_name("somebody else's CA"))

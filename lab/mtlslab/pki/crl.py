"""Certificate revocation lists (RFC 5280 section 5): issued, read back, checked against their CA. In memory only."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Mapping

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mtlslab import pki
from mtlslab.pki.reading import reading

DAYS = 30


@dataclasses.dataclass(frozen=True)
class CrlInfo:
    """What a CRL says.

    Attributes:
        issuer: the CA's subject as RFC 4514 text.
        number: the CRL number, which grows with each CRL of a CA (section 5.2.3); 0 if it has none.
        this_update: when it was made (aware UTC).
        next_update: when it stops being valid (aware UTC); nginx then refuses every client. None if it does not say.
        revoked: serial number -> when it was revoked (aware UTC).
        removed: those of them whose entry says removeFromCRL (section 5.3.1): OpenSSL takes them for good.
    """

    issuer: str
    number: int
    this_update: datetime.datetime
    next_update: datetime.datetime | None
    revoked: Mapping[int, datetime.datetime]
    removed: frozenset[int] = frozenset()

    def expired(self, now: datetime.datetime) -> bool:
        """Whether it is past its next update."""
        return self.next_update is not None and self.next_update <= now


def issue_crl(
    ca: pki.Credential,
    revoked: Mapping[int, datetime.datetime],
    *,
    now: datetime.datetime,
    number: int,
    days: int = DAYS,
    removed: Collection[int] = (),
) -> bytes:
    """PEM of a new CRL.

    Args:
        ca: the CA, with its key.
        revoked: serial number -> when it was revoked (aware UTC); empty is a CRL that revokes nothing.
        now: the time (aware UTC); the CRL is valid from five minutes earlier, for clocks that are slow.
        number: the CRL number; higher than that of the CA's CRL before.
        days: until the next update.
        removed: serial numbers among ``revoked`` whose entries say removeFromCRL, to be noticed.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.subject)
        .last_update(now - pki.BACKDATED)
        .next_update(now + datetime.timedelta(days=days))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(pki.authority_key_identifier(ca), critical=False)
    )
    for serial, moment in sorted(revoked.items()):
        entry = x509.RevokedCertificateBuilder(serial_number=serial, revocation_date=moment)
        if serial in removed:
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags.remove_from_crl), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(ca.key, pki.signature_hash(ca.key)).public_bytes(serialization.Encoding.PEM)


def read_crl(pem: bytes) -> CrlInfo:
    """What a CRL says.

    Raises:
        ValueError: there is no readable CRL.
    """
    crl = _load(pem)
    with reading("no readable CRL (PEM)"):  # the library reads its parts only now
        return _info(crl)


def _info(crl: x509.CertificateRevocationList) -> CrlInfo:
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        number = 0
    return CrlInfo(
        issuer=crl.issuer.rfc4514_string(),
        number=number,
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        revoked={entry.serial_number: entry.revocation_date_utc for entry in crl},
        removed=frozenset(entry.serial_number for entry in crl if _is_removed(entry)),
    )


def _is_removed(entry: x509.RevokedCertificate) -> bool:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.remove_from_crl
    except x509.ExtensionNotFound:
        return False


def is_crl_of(pem: bytes, ca: x509.Certificate) -> bool:
    """Whether a CRL names this CA as its issuer and its key made the signature.

    Raises:
        ValueError: there is no readable CRL.
    """
    crl = _load(pem)
    try:
        with reading("not signed by it"):
            signed = crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type] # other key types raise TypeError
            return crl.issuer == ca.subject and signed
    except ValueError:
        return False


def _load(pem: bytes) -> x509.CertificateRevocationList:
    with reading("no readable CRL (PEM)"):
        return x509.load_pem_x509_crl(pem)

"""Issuing one certificate: names, extensions, validity, signature. Sensible or not is the caller's affair."""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mtlslab.pki.credential import Credential, organization_of
from mtlslab.pki.keys import PrivateKey, signature_hash
from mtlslab.plan.spec import is_ip_address

Extensions = Sequence[tuple[x509.ExtensionType, bool]]
"""Extensions of a certificate, each with whether it is critical."""

# A certificate is valid from a little before it was made, so that a machine whose clock is slow accepts it too.
BACKDATED = datetime.timedelta(minutes=5)

_DNS_NAME = re.compile(r"[A-Za-z0-9*_-]+(\.[A-Za-z0-9_-]+)*")
_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def distinguished_name(common_name: str, organization: str = "") -> x509.Name:
    """A subject of a common name and, before it, an organization if there is one."""
    parts = [(NameOID.ORGANIZATION_NAME, organization), (NameOID.COMMON_NAME, common_name)]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])


def alternative_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    """A SAN, each name typed by its shape: IP address, mail address, DNS name (RFC 5280 section 4.2.1.6).

    A name of any other shape ("Anna Müller") goes in as a directory name, which can hold it.
    """
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def key_usage(*usages: str) -> x509.KeyUsage:
    """The key usage extension with these bits set, each named as in :class:`cryptography.x509.KeyUsage`."""
    bits = dict.fromkeys(
        ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False
    )  # fmt: skip
    return x509.KeyUsage(**bits | dict.fromkeys(usages, True))


def ca_extensions(path_length: int | None) -> Extensions:
    """What makes a certificate a CA's: critical basicConstraints, keyCertSign and cRLSign only."""
    return [
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (key_usage("key_cert_sign", "crl_sign"), True),
    ]


def server_extensions(key: PrivateKey, hosts: Iterable[str]) -> Extensions:
    """A server leaf: the tutorial's localhost.ext, plus the extended key usage."""
    usages = ["digital_signature", "content_commitment"]
    if isinstance(
        key, rsa.RSAPrivateKey
    ):  # EC and Ed25519 keys cannot encipher (RFC 5480 section 3, RFC 8410 section 5)
        usages += ["key_encipherment", "data_encipherment"]
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage(*usages), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (alternative_names(hosts), False),
    ]


def client_extensions(names: Iterable[str]) -> Extensions:
    """A client leaf: its key signs the handshake and does nothing else."""
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage("digital_signature"), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (alternative_names(names), False),
    ]


def issue(
    subject: x509.Name,
    key: PrivateKey,
    extensions: Extensions,
    *,
    issuer: Credential | None,
    not_before: datetime.datetime,
    not_after: datetime.datetime,
) -> Credential:
    """Issue a certificate as asked, sensible or not; SKI, AKI and a random serial number are added.

    The AKI is the key identifier alone, which is what OpenSSL makes of the tutorial's ``keyid,issuer`` too: it falls
    back on issuer and serial number only if the CA has no SKI. RFC 5280 sections 4.2.1.1 and 4.2.1.2.

    Args:
        subject: the name.
        key: the key that the certificate is for.
        extensions: what it says beside names and key identifiers.
        issuer: whose key signs; None makes it self-signed.
        not_before: first moment of validity (aware).
        not_after: last moment of validity (aware).
    """
    signing_key = issuer.key if issuer else key
    identifier = (
        authority_key_identifier(issuer)
        if issuer
        else x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    )
    builder = (
        x509.CertificateBuilder(
            issuer_name=issuer.certificate.subject if issuer else subject,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=not_before,
            not_valid_after=not_after,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(identifier, critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Credential(builder.sign(signing_key, signature_hash(signing_key)), key)


def issue_ca(
    common_name: str,
    key: PrivateKey,
    *,
    now: datetime.datetime,
    days: int,
    path_length: int | None = 0,
    issuer: Credential | None = None,
    organization: str = "",
) -> Credential:
    """A CA: self-signed, or an intermediate below ``issuer``.

    Args:
        common_name: its name, at most 64 characters.
        key: its key.
        now: the time (aware UTC); validity begins five minutes earlier.
        days: validity; an intermediate never outlives its issuer.
        path_length: how many CAs may stand below it; None for any number (RFC 5280 section 4.2.1.9).
        issuer: the CA above; None for a root.
        organization: goes into the subject as O.
    """
    not_before, not_after = validity(now, days, issuer)
    subject = distinguished_name(common_name, organization)
    return issue(subject, key, ca_extensions(path_length), issuer=issuer, not_before=not_before, not_after=not_after)


def issue_server_leaf(
    ca: Credential, key: PrivateKey, hosts: Sequence[str], *, now: datetime.datetime, days: int
) -> Credential:
    """A server certificate for these names and addresses, the first of which is its common name.

    The lab's default of 397 days suits every client: Apple platforms refuse server certificates over 825 days even
    from a private CA (support.apple.com/HT210176), and 398 days is the limit that browsers set public ones.
    """
    not_before, not_after = validity(now, days, ca)
    # Upper bound of a common name (RFC 5280 appendix A.1). Names are read from the SAN anyway.
    subject = distinguished_name(hosts[0][:64], organization_of(ca.certificate))
    return issue(subject, key, server_extensions(key, hosts), issuer=ca, not_before=not_before, not_after=not_after)


def issue_client_leaf(ca: Credential, key: PrivateKey, name: str, *, now: datetime.datetime, days: int) -> Credential:
    """A client certificate; ``name`` (a DNS name, a mail address or free text) is its common name and its SAN.

    Raises:
        ValueError: the name is empty or longer than 64 characters.
    """
    if not name:
        raise ValueError("a client certificate needs a name")
    not_before, not_after = validity(now, days, ca)
    subject = distinguished_name(name, organization_of(ca.certificate))
    return issue(subject, key, client_extensions([name]), issuer=ca, not_before=not_before, not_after=not_after)


def validity(
    now: datetime.datetime, days: int, issuer: Credential | None = None
) -> tuple[datetime.datetime, datetime.datetime]:
    """First and last moment of a certificate made now; never past the end of its issuer's validity."""
    not_after = now + datetime.timedelta(days=days)
    if issuer:
        not_after = min(not_after, issuer.certificate.not_valid_after_utc)
    return now - BACKDATED, not_after


def authority_key_identifier(issuer: Credential) -> x509.AuthorityKeyIdentifier:
    """The AKI of what this CA signs: its SKI, or what would be its SKI if it has none."""
    try:
        identifier = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:  # a CA that a person made by hand
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _general_name(name: str) -> x509.GeneralName:
    if is_ip_address(name):
        return x509.IPAddress(ipaddress.ip_address(name))
    if _DNS_NAME.fullmatch(name):
        return x509.DNSName(name)
    if _MAIL_ADDRESS.fullmatch(name):
        return x509.RFC822Name(name)
    return x509.DirectoryName(distinguished_name(name))

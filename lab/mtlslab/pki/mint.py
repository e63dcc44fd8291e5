"""Credentials for clients of a CA that is not ours: good and broken ones, in memory, good for a short time only."""

from __future__ import annotations

import dataclasses
import datetime

from cryptography import x509

from mtlslab import pki
from mtlslab.pki.faults import build
from mtlslab.pki.faults.model import changed

USUAL_KEY = "ec-p256"
_OF_A_KEY = (x509.AuthorityKeyIdentifier, x509.SubjectKeyIdentifier)


@dataclasses.dataclass(frozen=True)
class ClientCa:
    """What is known of the CA that a server trusts for its clients.

    Attributes:
        certificate: its certificate; None if it was not given.
        key: the same with the private key; None if that was not given.
    """

    certificate: x509.Certificate | None = None
    key: pki.Credential | None = None

    @property
    def subject(self) -> pki.Name | None:
        """Its name; None if its certificate was not given."""
        return self.certificate.subject if self.certificate else None


class Mint:
    """Makes credentials that live no longer than ``lifetime``.

    Args:
        now: the time (aware UTC).
        lifetime: from now on.
    """

    def __init__(self, *, now: datetime.datetime, lifetime: datetime.timedelta) -> None:
        self._now = now
        self._lifetime = lifetime
        self._leaf_key: pki.PrivateKey | None = None
        self._ca_key_type = USUAL_KEY
        self.unknown_ca = self.ca_named(pki.distinguished_name("nobody"))
        """A CA that nobody trusts."""

    def use(self, key_type: str) -> None:
        """From now on, make keys of this type (as ``pki.new_key`` takes it): the server takes no others.

        One key for all leaves: of some types, making each of them one would take seconds.
        """
        self._leaf_key = pki.new_key(key_type)
        self._ca_key_type = key_type
        self.unknown_ca = self.ca_named(self.unknown_ca.certificate.subject)

    def ca_named(self, subject: pki.Name) -> pki.Credential:
        """A CA of this name, with a key of its own."""
        first, last = self._now - pki.BACKDATED, self._now + self._lifetime
        key = pki.new_key(self._ca_key_type)
        return pki.issue(subject, key, pki.ca_extensions(1), issuer=None, not_before=first, not_after=last)

    def forged_ca(self, certificate: x509.Certificate) -> pki.Credential:
        """A CA with the certificate of another, which is public, and a key of its own."""
        return pki.Credential(certificate, self.unknown_ca.key)

    def client(self, fault: str, ca: pki.Credential, *, imitated: bytes = b"") -> bytes:
        """PEM of a client's chain and private key.

        Args:
            fault: what is wrong or odd about it, a key of ``FAULTS``.
            ca: signs it, or is the one whose client it pretends to be.
            imitated: PEM certificate of the authorised client, which one fault imitates; without it, any client's.

        Raises:
            MachineError: this machine's OpenSSL cannot make it.
        """
        right = _certificate(imitated)
        files = build(
            fault,
            client_ca=ca,
            server=self.unknown_ca,
            now=self._now,
            lifetime=self._lifetime,
            client=right,
            leaf_key=self._leaf_key,
        )
        return (files.certificate or b"") + (files.key or b"")

    def copy(self, pem: bytes, *, self_signed: bool) -> bytes:
        """PEM of chain and key of a client that bears all names of another, with a key of its own.

        Args:
            pem: the other's certificate: its subject, serial number and extensions are copied.
            self_signed: signed by itself; otherwise by a CA with the name of the other's issuer, which is sent along.

        Raises:
            ValueError: there is no readable certificate in it.
        """
        model = pki.load_certificates(pem)[0]
        issuer = None if self_signed else self.ca_named(model.issuer)
        key = self._leaf_key or pki.new_key(USUAL_KEY)
        first, last = self._now - pki.BACKDATED, self._now + self._lifetime
        extensions = [(one.value, one.critical) for one in model.extensions if not isinstance(one.value, _OF_A_KEY)]
        made = pki.issue(model.subject, key, extensions, issuer=issuer, not_before=first, not_after=last)
        made = changed(made, issuer.key if issuer else key, serial_number=model.serial_number)
        chain = (issuer.certificate,) if issuer else ()
        return dataclasses.replace(made, chain=chain).certificate_pem() + made.key_pem()


def _certificate(pem: bytes) -> x509.Certificate | None:
    try:
        return pki.load_certificates(pem)[0]
    except ValueError:
        return None

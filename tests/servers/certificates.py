"""The certificates of the servers and their clients, and those of the oracle's strangers: all of mtlslab's own pki."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from mtlslab import pki

from tests.support.verify_lab import write

AUTHORISED = "alice"
HOSTS = ("localhost", "127.0.0.1", "::1")
_SYSTEM_CAS = Path("/etc/ssl/certs/ca-certificates.crt")
_DAY = datetime.timedelta(days=1)


class Authority:
    """A client CA, its good clients and everybody else.

    Args:
        key_type: of all keys.
    """

    def __init__(self, key_type: str = "ec-p256") -> None:
        self._now = datetime.datetime.now(datetime.UTC)
        self._key_type = key_type
        self.server_ca = pki.issue_ca("afar server CA", self._key(), now=self._now, days=30)
        self.client_ca = pki.issue_ca("afar client CA", self._key(), now=self._now, days=30, path_length=1)
        self.server = pki.issue_server_leaf(self.server_ca, self._key(), HOSTS, now=self._now, days=20)
        self.client = self._good(AUTHORISED)

    def write(self, directory: Path) -> Path:
        """Everything that servers and clients need, as files."""
        for name in ("server_ca", "client_ca", "server", "client"):
            credential = getattr(self, name)
            write(directory / name.replace("_", "-"), credential.certificate_pem(), credential.key_pem())
        self._add(directory, "server.pem", self.server.certificate_pem() + self.server.key_pem())
        self._add(directory, "server-chain.crt", self.server.certificate_pem() + self.server_ca.certificate_pem())
        others = _SYSTEM_CAS.read_bytes() if _SYSTEM_CAS.exists() else self.server_ca.certificate_pem()
        self._add(directory, "web-cas.crt", self.client_ca.certificate_pem() + others)
        strangers = directory / "oracle"
        strangers.mkdir()
        for name, chain in self._oracle().items():
            pem = b"".join(one.certificate_pem() for one in chain)
            self._add(strangers, f"{name}.pem", pem + chain[0].key_pem())
        return directory

    @staticmethod
    def _add(directory: Path, name: str, content: bytes) -> None:
        (directory / name).touch(0o600)
        (directory / name).write_bytes(content)

    def _oracle(self) -> dict[str, tuple[pki.Credential, ...]]:
        """Name -> chain of each client of the oracle, apart from the one without a certificate."""
        other_ca = pki.issue_ca("nobody", self._key(), now=self._now, days=30)
        same_name = pki.issue(
            self.client_ca.certificate.subject,
            self._key(),
            pki.ca_extensions(1),
            issuer=None,
            not_before=self._now - _DAY,
            not_after=self._now + _DAY,
        )
        mallory = pki.distinguished_name("mallory")
        return {
            "authorised": (self.client,),
            "another": (self._good("bob"),),
            "self-signed": (self._issue(mallory, None),),
            "other-ca": (self._issue(mallory, other_ca), other_ca),
            "other-ca-same-name": (self._issue(mallory, same_name), same_name),
            "copied-self-signed": (self._copy(None),),
            "copied-by-other-ca": (self._copy(same_name), same_name),
            "expired": (self._issue(self.client.certificate.subject, self.client_ca, days=(-3, -1)),),
            "not-yet-valid": (self._issue(self.client.certificate.subject, self.client_ca, days=(2, 9)),),
            "server-purpose": (
                self._issue(self.client.certificate.subject, self.client_ca, purpose=ExtendedKeyUsageOID.SERVER_AUTH),
            ),
        }

    def _key(self) -> pki.PrivateKey:
        return pki.new_key(self._key_type)

    def _good(self, name: str) -> pki.Credential:
        return pki.issue_client_leaf(self.client_ca, self._key(), name, now=self._now, days=20)

    def _issue(
        self,
        subject: x509.Name,
        issuer: pki.Credential | None,
        *,
        days: tuple[int, int] = (-1, 9),
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> pki.Credential:
        extensions = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.ExtendedKeyUsage([purpose]), False),
            (pki.alternative_names([AUTHORISED]), False),
        ]
        first, last = (self._now + day * _DAY for day in days)
        return pki.issue(subject, self._key(), extensions, issuer=issuer, not_before=first, not_after=last)

    def _copy(self, issuer: pki.Credential | None) -> pki.Credential:
        """Subject, SAN and serial number of the authorised client, and its issuer's name if there is an issuer."""
        right, key = self.client.certificate, self._key()
        builder = x509.CertificateBuilder(
            issuer_name=right.issuer if issuer else right.subject,
            subject_name=right.subject,
            public_key=key.public_key(),
            serial_number=right.serial_number,
            not_valid_before=right.not_valid_before_utc,
            not_valid_after=right.not_valid_after_utc,
        )
        for extension in right.extensions:
            if not isinstance(extension.value, x509.SubjectKeyIdentifier | x509.AuthorityKeyIdentifier):
                builder = builder.add_extension(extension.value, extension.critical)
        signing = issuer.key if issuer else key
        return pki.Credential(builder.sign(signing, pki.signature_hash(signing)), key)

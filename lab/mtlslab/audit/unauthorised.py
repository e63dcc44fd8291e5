"""The clients that knock at a foreign server: what each one is, and its credential, minted for one audit.

Some are signed with the real client CA's key, and servers accept them. So they lie in files for secrets, and are worth
nothing after an hour.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
from collections.abc import Iterator
from enum import StrEnum

from mtlslab import pki
from mtlslab.errors import MachineError
from mtlslab.pki.faults import FAULTS, Fault, Outcome, Severity
from mtlslab.pki.mint import ClientCa, Mint
from mtlslab.probe.model import KeyFiles
from mtlslab.probe.secret_files import Keep, secret_files

LIFETIME = datetime.timedelta(hours=1)


class Wanted(StrEnum):
    """What a server that is well set up does with a client."""

    REFUSED = "refused"
    SERVED = "served"


@dataclasses.dataclass(frozen=True)
class UnauthorisedClient:
    """A fault, as an audit sees it.

    Attributes:
        name: its id among the faults.
        title: what it is, as in "refuses TITLE".
        why: what is odd about it, and what there is to learn.
        wanted: what should become of it.
        severity: whether anything else makes the server wrong.
        credential: its files; None for a client without a certificate.
        weak: whether a client of ours loads it only if told to.
        missing: what has to be given so that it can be tried; empty if it can.
    """

    name: str
    title: str
    why: str
    wanted: Wanted
    severity: Severity
    credential: KeyFiles | None = None
    weak: bool = False
    missing: str = ""


# Without any secret of the real CA.
NO_CERTIFICATE = "none"
BASIC = (NO_CERTIFICATE, "self-signed", "other-ca", "other-ca-same-name", "forged-authority-key-identifier")
# They bear every name of the authorised client: a server that compares names lets them in.
COPIES = {
    "copy-self-signed": "a self-signed certificate with all names of the authorised client",
    "copy-by-same-name": "a certificate with all names of the authorised client, of an unknown CA named as its issuer",
}
# What cannot be done from outside (publish a list, use the server's key, send what no client loads), and what depends
# on the limits of a server's library rather than on what it checks.
_LEFT_OUT = (
    "revoked",
    "revoked-by-intermediate",
    "server-certificate",
    "mismatched-key",
    "chain-too-long",
    "chain-of-64-kib",
    "ec-secp256k1",
    "ec-brainpool",
    "oversized-certificate",
)
# Where servers differ from nginx and OpenSSL without being wrong: to Go, "any" purpose is a purpose, a client's key
# usage is nobody's business, and a common name is no DNS name; RFC 5280 knows no purpose of a CA.
_MATTER_OF_TASTE = (
    "eku-any",
    "key-usage-without-digital-signature",
    "name-constraints-violated-by-common-name",
    "intermediate-eku-server-auth",
    # Whoever can make these has the client CA's key, or its signature on a CA: he needs no trick.
    "client-ca-certificate",
    "sha1-signature",
    "md5-signature",
    "intermediate-without-key-cert-sign",
    "unknown-critical-extension",
)
_OF_THE_CA = tuple(name for name in FAULTS if name not in BASIC and name not in _LEFT_OUT)
_NEEDS_NAME = "a CA name: the server announces none, and no --client-ca-cert is given"
_CANNOT_BE_MADE = "an OpenSSL of this program's that can make such a certificate"
_NEEDS_CERTIFICATE = "the client CA's certificate: --client-ca-cert"
_TITLES = {
    NO_CERTIFICATE: "a client without a certificate",
    "self-signed": "a self-signed certificate",
    "other-ca": "a certificate of an unknown CA",
    "other-ca-with-root": "a certificate of an unknown CA, its root sent along",
    "other-ca-same-name": "a certificate of an unknown CA that bears the client CA's name",
    "other-ca-same-name-without-aki": "a certificate of an unknown CA with the client CA's name and no key identifier",
    "look-alike": "a certificate of an unknown CA with the authorised client's subject and serial number",
    "forged-authority-key-identifier": "a certificate that forges the client CA's name and key identifier",
}


class Forge:
    """Has the unauthorised' credentials minted, and puts them into files.

    Args:
        keep: makes a file for a secret.
        ca: the client CA.
        now: the time (aware UTC).
    """

    def __init__(self, keep: Keep, ca: ClientCa, *, now: datetime.datetime) -> None:
        self._keep = keep
        self._ca = ca
        self._mint = Mint(now=now, lifetime=LIFETIME)

    def use(self, key_type: str) -> None:
        """From now on, make keys of this type: the server takes no signatures of others."""
        self._mint.use(key_type)
        self.__dict__.pop("authorised_client", None)  # the next one is made anew

    @functools.cached_property
    def authorised_client(self) -> KeyFiles | None:
        """A good client of the real client CA, the same each time; None without its key."""
        return self._client("another-client", self._ca.key) if self._ca.key else None

    def basic(self, announced: tuple[pki.Name, ...]) -> tuple[UnauthorisedClient, ...]:
        """The unauthorised that take no secret.

        Args:
            announced: the CA names that the server announces.
        """
        return tuple(self._basic(name, announced) for name in BASIC)

    def copies(self, authorised_client: KeyFiles | None) -> tuple[UnauthorisedClient, ...]:
        """Clients that bear the authorised client's names; empty without one whose certificate can be read."""
        pem = _certificate_of(authorised_client)
        with contextlib.suppress(ValueError):
            return tuple(self._copy(name, pem) for name in COPIES) if pem else ()
        return ()

    def _copy(self, name: str, pem: bytes) -> UnauthorisedClient:
        file = self._keep(self._mint.copy(pem, self_signed=name == "copy-self-signed"))
        why = "A server that compares names, and does not verify who signed them, serves everybody who can write."
        credential = KeyFiles(file, file)
        return UnauthorisedClient(name, COPIES[name], why, Wanted.REFUSED, Severity.REQUIRED, credential)

    def faults(self, authorised_client: KeyFiles | None = None) -> tuple[UnauthorisedClient, ...]:
        """The other faults, issued by the real client CA; empty without its key.

        Args:
            authorised_client: the client that one of them imitates.
        """
        if self._ca.key is None:
            return ()
        client = _certificate_of(authorised_client)
        return tuple(self._minted(FAULTS[name], self._ca.key, client) for name in _OF_THE_CA)

    def attempts_for(self, authorised_client: KeyFiles | None) -> int:
        """About how many attempts one TLS version takes: everybody twice, the faults once, the authorised in between.

        Args:
            authorised_client: who is imitated and comes again; None if there is nobody.
        """
        strangers = 2 * len(BASIC) + (2 * len(COPIES) + 2 if authorised_client else 0)
        return strangers + (len(_OF_THE_CA) + 1 if self._ca.key else 0)

    def _minted(self, fault: Fault, ca: pki.Credential, client: bytes) -> UnauthorisedClient:
        try:
            return self._unauthorised(fault, self._client(fault.name, ca, client))
        except MachineError:
            return self._unauthorised(fault, None, missing=_CANNOT_BE_MADE)

    def _basic(self, name: str, announced: tuple[pki.Name, ...]) -> UnauthorisedClient:
        fault, missing = FAULTS[name], ""
        certificate = self._ca.certificate
        ca = self._mint.forged_ca(certificate) if certificate else self._mint.unknown_ca
        if name == "other-ca-same-name" and certificate is None:
            subject = next(iter(announced), None)
            ca, missing = (ca, _NEEDS_NAME) if subject is None else (self._mint.ca_named(subject), "")
        if name == "forged-authority-key-identifier" and certificate is None:
            missing = _NEEDS_CERTIFICATE
        if missing or name == NO_CERTIFICATE:
            return self._unauthorised(fault, None, missing=missing)
        return self._unauthorised(fault, self._client(name, ca))

    def _unauthorised(self, fault: Fault, credential: KeyFiles | None, *, missing: str = "") -> UnauthorisedClient:
        by_design = fault.severity is Severity.ADVISORY
        # What nginx serves by design (no EKU, any other client) had better be refused; what is merely rare, served.
        wanted = Wanted.SERVED if fault.outcome is Outcome.SERVED and not by_design else Wanted.REFUSED
        lenient = by_design or wanted is Wanted.SERVED or fault.name in _MATTER_OF_TASTE
        return UnauthorisedClient(
            name=fault.name,
            title=_TITLES.get(fault.name, f"a client of the CA: {fault.title}"),
            why=f"{fault.wrong} {fault.lesson}",
            wanted=wanted,
            severity=Severity.ADVISORY if lenient else Severity.REQUIRED,
            credential=credential,
            weak=fault.weak,
            missing=missing,
        )

    def _client(self, fault: str, ca: pki.Credential, imitated: bytes = b"") -> KeyFiles:
        file = self._keep(self._mint.client(fault, ca, imitated=imitated))
        return KeyFiles(file, file)


def _certificate_of(client: KeyFiles | None) -> bytes:
    try:
        return client.certificate.read_bytes() if client else b""
    except OSError:  # the attempts with it tell so
        return b""


@contextlib.contextmanager
def open_forge(ca: ClientCa, *, now: datetime.datetime) -> Iterator[Forge]:
    """A forge whose files are gone at the end, however it comes.

    Raises:
        OSError: there is no room for temporary files.
    """
    with secret_files() as keep:
        yield Forge(keep, ca, now=now)

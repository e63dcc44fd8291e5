"""Server credentials to try a client against: a good one, and those that a client must refuse. In memory only.

Each is right in everything but what its name says, and valid for a week, so that it can be looked at afterwards.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterator
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlslab import pki
from mtlslab.plan.docstrings import docstring_of

HOST = "localhost"
OTHER_HOST = "elsewhere.test"  # RFC 6761 section 6.2: a name that never exists
_HOSTS = (HOST, "127.0.0.1", "::1")
_DAY = datetime.timedelta(days=1)
_WEEK = 7


@dataclasses.dataclass(frozen=True)
class ServerFiles:
    """What a server is given, and what a client needs.

    Attributes:
        credential: certificate, key, and the certificates to send along.
        anchor: the CA that its clients trust, where it is not the lab's server CA.
    """

    credential: pki.Credential
    anchor: x509.Certificate | None = None

    def anchor_pem(self) -> bytes:
        """PEM of the anchor; empty where it is the lab's own."""
        return self.anchor.public_bytes(serialization.Encoding.PEM) if self.anchor else b""


@dataclasses.dataclass(frozen=True)
class ServerCredential:
    """One kind of server credential: its name, what it is in a few words, and how it is made."""

    name: str
    title: str
    build: Callable[[pki.Credential, datetime.datetime], ServerFiles] = dataclasses.field(repr=False)


def _leaf(
    ca: pki.Credential | None,
    now: datetime.datetime,
    *,
    hosts: tuple[str, ...] = _HOSTS,
    replaced: x509.ExtensionType | None = None,
    without: type[x509.ExtensionType] | None = None,
    begins: datetime.timedelta = -pki.BACKDATED,
    ends: datetime.timedelta = _WEEK * _DAY,
) -> pki.Credential:
    """A good server leaf, but for what is given; self-signed without a CA."""
    key = pki.new_key("ec-p256")
    extensions = [
        (replaced if replaced is not None and type(one) is type(replaced) else one, critical)
        for one, critical in pki.server_extensions(key, hosts)
        if without is None or not isinstance(one, without)
    ]
    subject = pki.distinguished_name(hosts[0], "mtlslab serve")
    return pki.issue(subject, key, extensions, issuer=ca, not_before=now + begins, not_after=now + ends)


def good(ca: pki.Credential, now: datetime.datetime) -> ServerFiles:
    """Nothing is wrong with it."""
    return ServerFiles(_leaf(ca, now))


def other_ca(_ca: pki.Credential, now: datetime.datetime) -> ServerFiles:
    """Signed by a CA that the client does not know."""
    return ServerFiles(_leaf(_new_ca("other CA", now, path_length=0), now))


def self_signed(_ca: pki.Credential, now: datetime.datetime) -> ServerFiles:
    """Signed by nobody but itself."""
    return ServerFiles(_leaf(None, now))


def wrong_host(ca: pki.Credential, now: datetime.datetime) -> ServerFiles:
    """Names another host."""
    return ServerFiles(_leaf(ca, now, hosts=(OTHER_HOST,)))


def expired(ca: pki.Credential, now: datetime.datetime) -> ServerFiles:
    """Its time was over yesterday."""
    return ServerFiles(_leaf(ca, now, begins=-2 * _DAY, ends=-_DAY))


def not_yet_valid(ca: pki.Credential, now: datetime.datetime) -> ServerFiles:
    """Its time begins tomorrow."""
    return ServerFiles(_leaf(ca, now, begins=_DAY))


def client_auth_only(ca: pki.Credential, now: datetime.datetime) -> ServerFiles:
    """Is for clients only (extended key usage clientAuth)."""
    return ServerFiles(_leaf(ca, now, replaced=x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])))


def common_name_only(ca: pki.Credential, now: datetime.datetime) -> ServerFiles:
    """Names the host in its common name, not in a subjectAltName."""
    return ServerFiles(_leaf(ca, now, without=x509.SubjectAlternativeName))


def chain(_ca: pki.Credential, now: datetime.datetime) -> ServerFiles:
    """Of an intermediate CA, which is sent along."""
    # Not under the lab's server CA: its path length of 0 allows no CA below it.
    root = _new_ca("root CA", now, path_length=1)
    key = pki.new_key("ec-p256")
    middle = pki.issue_ca("mtlslab serve intermediate CA", key, now=now, days=_WEEK, path_length=0, issuer=root)
    leaf = dataclasses.replace(_leaf(middle, now), chain=(middle.certificate,))
    return ServerFiles(leaf, root.certificate)


def chain_incomplete(ca: pki.Credential, now: datetime.datetime) -> ServerFiles:
    """Of an intermediate CA, which is not sent along."""
    files = chain(ca, now)
    return dataclasses.replace(files, credential=dataclasses.replace(files.credential, chain=()))


def _new_ca(name: str, now: datetime.datetime, *, path_length: int) -> pki.Credential:
    return pki.issue_ca(f"mtlslab serve {name}", pki.new_key("ec-p256"), now=now, days=_WEEK, path_length=path_length)


def _entries() -> Iterator[ServerCredential]:
    for build in (
        *(good, other_ca, self_signed, wrong_host, expired, not_yet_valid),
        *(client_auth_only, common_name_only, chain, chain_incomplete),
    ):
        yield ServerCredential(build.__name__.replace("_", "-"), docstring_of(build).rstrip("."), build)


SERVER_CREDENTIALS = MappingProxyType({entry.name: entry for entry in _entries()})
"""By name; the good one comes first."""

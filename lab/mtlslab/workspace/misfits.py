"""Judges certificates that people bring: what keeps a lab from working, and what is merely odd. Reads no file."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlslab import pki
from mtlslab.pki.credential import key_id
from mtlslab.pki.purposes import host_names
from mtlslab.pki.reading import reading
from mtlslab.workspace.brought import Brought
from mtlslab.workspace.shape import passes_as_client

_LEAST_RSA = 2048  # bits; OpenSSL's security level 2, the default of Debian and of OpenSSL 3.2
_DEPTH = 1  # intermediates that the lab's ssl_verify_depth allows
_USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


@dataclasses.dataclass(frozen=True)
class Misfit:
    """Something about certificates.

    Attributes:
        text: one sentence without an end; begins with what it is about.
        grave: whether the lab cannot work with it.
    """

    text: str
    grave: bool = False


def misfits(brought: Sequence[Brought], now: datetime.datetime) -> tuple[Misfit, ...]:
    """All that is wrong or odd with what one side or both sides bring, the grave things first.

    Args:
        brought: one or two sides.
        now: the time (aware UTC).
    """
    found = [one for side in brought for one in (*_of_ca(side, now), *_of_leaf(side, now))]
    if len(brought) == 2:
        found += _of_both(*brought)
    return tuple(sorted(dict.fromkeys(found), key=lambda one: not one.grave))


def _of_ca(brought: Brought, now: datetime.datetime) -> Iterator[Misfit]:
    ca, who = brought.ca, f"the {brought.side} CA"
    if not pki.is_ca(ca):
        why = "version 1" if ca.version is x509.Version.v1 else "no CA:TRUE in its basicConstraints"
        yield Misfit(f"{who}: it does not say that it is a CA ({why})", grave=True)
    yield from _dates(who, ca, now)
    yield from _strength(who, ca)
    roots = [one for one in brought.anchors if pki.issued_by(one, one)]
    if ca not in roots and not any(pki.issued_by(ca, one) for one in brought.anchors):
        text = (
            f"{who}: an intermediate alone ({_name(ca)}); OpenSSL, and nginx with it, wants its root in the file, too"
        )
        yield Misfit(f"{text}: {_issuer(ca)}")
    if brought.side == "client" and len(brought.anchors) > 1:
        yield Misfit(f"{who}: the file holds {len(brought.anchors)} CAs, and the clients of each are let in")


def _of_leaf(brought: Brought, now: datetime.datetime) -> Iterator[Misfit]:
    if not brought.chain:
        return
    leaf, who = brought.chain[0], f"the {brought.side}'s certificate"
    yield from _dates(who, leaf, now)
    for below in brought.chain[1:]:
        yield from _dates(f"{who}: its intermediate {_name(below)}", below, now)
    yield from _strength(who, leaf)
    yield from _path(who, brought)
    if leaf.subject == brought.ca.subject:
        text = "its subject is that of its CA: OpenSSL may take it for one that signed itself"
        yield Misfit(f"{who}: {text}. A subject of its own helps (openssl req -subj)")
    if leaf.version is not x509.Version.v3:
        yield Misfit(f"{who}: X.509 version 1, without extensions: nothing says what it is for")
    if pki.is_ca(leaf):
        yield Misfit(f"{who}: it is a CA itself: its holder may issue certificates")
    if key_id(leaf) == key_id(brought.ca):
        yield Misfit(f"{who}: it has the key of its CA")
    yield from _purpose(who, brought.side, leaf)


def _path(who: str, brought: Brought) -> Iterator[Misfit]:
    """Whether the signatures lead to an anchor, and over how many intermediates."""
    last = brought.chain[-1]
    if not any(pki.issued_by(one, anchor) for one in brought.chain for anchor in brought.anchors):
        known = "; ".join(_name(one) for one in brought.anchors[:3])
        text = f"{who}: no CA of the file issued it. {_issuer(last)}; the file holds: {known}"
        yield Misfit(f"{text}. If an intermediate is missing, add it to the certificate's file", grave=True)
    elif brought.side == "client" and _intermediates(brought) > _DEPTH:
        count = _intermediates(brought)
        yield Misfit(f"{who}: {count} intermediates; the lab's nginx follows {_DEPTH} (ssl_verify_depth)", grave=True)


def _intermediates(brought: Brought) -> int:
    """How many CAs stand between the leaf and the root, in the chain or among the anchors."""
    known, current, count = [*brought.chain[1:], *brought.anchors], brought.chain[0], 0
    while count < len(known):
        above = next((one for one in known if pki.issued_by(current, one)), None)
        if above is None or pki.issued_by(above, above):
            return count
        current, count = above, count + 1
    return count


def _purpose(who: str, side: str, leaf: x509.Certificate) -> Iterator[Misfit]:
    try:
        usages = list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        yield Misfit(f"{who}: no extended key usage: it is good for servers and clients alike")
    else:
        if _USAGES[side] not in usages and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in usages:
            yield Misfit(f"{who}: its extended key usage does not allow a {side}", grave=True)
    names = host_names(leaf)
    if side == "server" and not names:
        yield Misfit(f"{who}: no name in a subjectAltName, and clients look at nothing else", grave=True)
    elif side == "server" and "localhost" not in names:
        shown = ", ".join(sorted(names)[:5])
        yield Misfit(
            f"{who}: it is not for localhost, where the lab's clients look for it, but for {shown}", grave=True
        )


def _of_both(one: Brought, other: Brought) -> Iterator[Misfit]:
    same = {key_id(item) for item in one.anchors} & {key_id(item) for item in other.anchors}
    servers = one if one.side == "server" else other
    if same:
        text = "both sides have one CA: its certificates of servers differ from those of clients by their purpose only"
        if servers.chain and passes_as_client(servers.chain[0]):
            text += ", and the server's passes as a client's"
        yield Misfit(text)
    elif one.ca.subject == other.ca.subject:
        yield Misfit(f"both CAs have one name, {_name(one.ca)}: error messages will not tell which is meant")
    if one.chain and other.chain and key_id(one.chain[0]) == key_id(other.chain[0]):
        yield Misfit("server and client have one key")


def _dates(who: str, certificate: x509.Certificate, now: datetime.datetime) -> Iterator[Misfit]:
    if certificate.not_valid_after_utc <= now:
        yield Misfit(f"{who}: it expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC", grave=True)
    if certificate.not_valid_before_utc > now:
        yield Misfit(f"{who}: it is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC only", grave=True)


def _strength(who: str, certificate: x509.Certificate) -> Iterator[Misfit]:
    key, made_with = certificate.public_key(), None
    with contextlib.suppress(ValueError), reading("an unknown algorithm"):
        made_with = certificate.signature_hash_algorithm
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA:
        yield Misfit(f"{who}: an RSA key of {key.key_size} bits; OpenSSL wants {_LEAST_RSA}, and may not load it")
    elif isinstance(key, dsa.DSAPublicKey):
        yield Misfit(f"{who}: a DSA key, which TLS 1.3 does not know", grave=True)
    # A root's own signature proves nothing, and nobody looks at it.
    if isinstance(made_with, hashes.SHA1 | hashes.MD5) and not pki.issued_by(certificate, certificate):
        yield Misfit(f"{who}: signed with {made_with.name.upper()}, which OpenSSL refuses by default")


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "one without a name"


def _issuer(certificate: x509.Certificate) -> str:
    return f"its issuer is {certificate.issuer.rfc4514_string() or 'one without a name'}"

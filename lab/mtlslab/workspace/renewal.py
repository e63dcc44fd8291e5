"""Decides which certificate files `up` must write, given the existing ones. Pure: reads and writes no file.

- A leaf stays as long as chain, key, names and validity are right.
- A leaf is issued again, with a message why, when it is missing, damaged, expired or about to expire, or does not match
  the spec. Its private key is kept, unless the key type changed.
- A leaf that the lab did not issue stays, whatever is wrong with it; where one must take the place of a file that
  cannot be read, or whose key is missing, that file is kept as ``NAME.crt.old-DATE``.
- A CA is never replaced, and neither is a leaf of another CA nor an unreadable private key. The user decides about
  them with ``--rotate-certs``.

Files are written in the order of ``PkiUpdate.files``: each key before its certificate, each CA before its leaf. If
writing is interrupted, the next renewal completes it: a key without a certificate gets one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import ipaddress
from collections.abc import Mapping, Sequence

from cryptography import x509

from mtlslab import pki
from mtlslab.errors import SpecError
from mtlslab.pki.bundle import read_bundle
from mtlslab.pki.credential import fingerprint
from mtlslab.plan.paths import (
    CLIENT_CA,
    CLIENT_CA_KEY,
    CLIENT_CERT,
    CLIENT_KEY,
    SERVER_CA,
    SERVER_CA_KEY,
    SERVER_CERT,
    SERVER_KEY,
)
from mtlslab.plan.spec import LabSpec, is_ip_address
from mtlslab.workspace.shape import issuer_among

RENEW_BEFORE = datetime.timedelta(hours=24)
CLIENT_NAME = "client"
IMPORT_HINT = "This lab did not issue all of it. Bring the right files: mtlslab certs import --help"
ROTATE_HINT = "Put the right file there, or issue everything anew: mtlslab up --rotate-certs"


@dataclasses.dataclass(frozen=True)
class PkiUpdate:
    """The files that must be written.

    Attributes:
        files: path in the workspace -> PEM, in the order of writing; only new or changed files.
        messages: what was issued and why, one sentence each, for the user.
        issued: fingerprints of the certificates that the lab issued, these and earlier ones.
    """

    files: Mapping[str, bytes]
    messages: tuple[str, ...] = ()
    issued: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class _Side:
    """One half of the PKI: a CA and its leaf."""

    role: str
    ca: str
    ca_key: str
    leaf: str
    leaf_key: str


@dataclasses.dataclass(frozen=True)
class _Authority:
    """A CA of the workspace, and all that its file holds, in any order.

    Its private key may be absent as long as nothing must be issued.
    """

    certificate: x509.Certificate
    anchors: tuple[x509.Certificate, ...]
    key: pki.PrivateKey | None


@dataclasses.dataclass(frozen=True)
class _Reissue:
    """A leaf must be issued: the reason (empty in a new lab), and whether it gets a new key."""

    reason: str
    new_key: bool = False


_SIDES = (
    _Side("server", SERVER_CA, SERVER_CA_KEY, SERVER_CERT, SERVER_KEY),
    _Side("client", CLIENT_CA, CLIENT_CA_KEY, CLIENT_CERT, CLIENT_KEY),
)
_ROLES = tuple(side.role for side in _SIDES)
PKI_FILES = tuple(path for side in _SIDES for path in (side.ca_key, side.ca, side.leaf_key, side.leaf))


def renew_pki(
    spec: LabSpec,
    existing: Mapping[str, bytes],
    now: datetime.datetime,
    keys: pki.KeyPool | None = None,
    *,
    issued: frozenset[str] | None = None,
) -> PkiUpdate:
    """Bring the certificates of a lab up to date.

    Args:
        spec: settings of the lab.
        existing: path -> content (PEM) of those ``PKI_FILES`` that exist; with none, everything is issued.
        now: current time (aware UTC).
        keys: source of new keys, see :func:`begin_keys`; None generates them when needed.
        issued: fingerprints of what the lab issued, from lab.json; None if it notes none: then subjects decide.

    Raises:
        SpecError: a CA or a private key is damaged or expired, or a leaf is of another CA; the user must decide.
    """
    renewal = _Renewal(spec, existing, now, keys or pki.KeyPool(spec.key_type), issued)
    for side in _SIDES:
        renewal.settle_leaf(side, renewal.settle_ca(side))
    return PkiUpdate(renewal.files, tuple(renewal.messages), frozenset(renewal.noted))


def issued_before(existing: Mapping[str, bytes]) -> frozenset[str]:
    """Fingerprints of those ``PKI_FILES`` that a lab of an earlier version issued, by the names of their issuers."""
    certificates = [one for path in PKI_FILES for one in read_bundle(existing.get(path, b"")).certificates]
    return frozenset(fingerprint(one) for one in certificates if has_name_of_lab(one))


def has_name_of_lab(one: x509.Certificate) -> bool:
    """Whether its issuer has the name of a CA that mtlslab issues for its labs."""
    found = one.issuer.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    organization = str(found[0].value) if found else ""
    return any(one.issuer == pki.lab_ca_name(role, organization) for role in _ROLES)


def begin_keys(spec: LabSpec) -> pki.KeyPool:
    """Start to generate the keys of a new lab in the background; returns at once."""
    return pki.KeyPool(spec.key_type, len(PKI_FILES) // 2)


class _Renewal:
    """The state of one renewal: files to write, messages, and keys that were generated in advance."""

    def __init__(
        self,
        spec: LabSpec,
        existing: Mapping[str, bytes],
        now: datetime.datetime,
        keys: pki.KeyPool,
        issued: frozenset[str] | None,
    ) -> None:
        self.spec = spec
        self.existing = existing
        self.now = now
        self.files: dict[str, bytes] = {}
        self.messages: list[str] = []
        self.issued = issued
        self.noted = set(issued or ())
        pairs = [pair for side in _SIDES for pair in ((side.ca_key, side.ca), (side.leaf_key, side.leaf))]
        self.spare_keys = keys.take(sum(not {*pair} & {*existing} for pair in pairs))

    # --- the CA

    def settle_ca(self, side: _Side) -> _Authority:
        """The existing CA, after it was checked; a new one if there is none."""
        if side.ca not in self.existing:
            return self._issue_ca(side)
        try:
            certificates = pki.load_anchors(self.existing[side.ca])
        except ValueError as error:
            raise SpecError(f"{side.ca} cannot be used.", why=str(error), hint=self._hint(side)) from error
        key = self._existing_key(side.ca_key)
        ca = self._ca_among(side, certificates, key)
        self._refuse_unusable_ca(side, ca)
        return _Authority(ca, tuple(certificates), key)

    def _ca_among(
        self, side: _Side, anchors: Sequence[x509.Certificate], key: pki.PrivateKey | None
    ) -> x509.Certificate:
        """The CA to which the key belongs; without a key the one that issued the leaf, or the first."""
        if key is None:
            with contextlib.suppress(ValueError):  # a damaged leaf is told about later
                return issuer_among(anchors, pki.load_certificates(self.existing.get(side.leaf, b"")))
            return anchors[0]
        try:
            return pki.load_authority(anchors, key).certificate
        except ValueError as error:
            raise SpecError(f"{side.ca_key} is not the private key of {side.ca}.", hint=self._hint(side)) from error

    def _issue_ca(self, side: _Side) -> _Authority:
        if side.leaf in self.existing:
            raise SpecError(
                f"{side.ca} is missing, but {side.leaf} is there.",
                why="no other CA can take the place of the one that issued it",
                hint=self._hint(side),
            )
        key = self._existing_key(side.ca_key)
        if key:
            self.messages.append(f"Issued a new {side.ca}: {side.ca_key} was there without it.")
        key = key or self._new_key(side.ca_key)
        ca = pki.issue_lab_ca(side.role, self.spec, key, now=self.now)
        self.noted.add(fingerprint(ca.certificate))
        self.files[side.ca] = ca.certificate_pem()
        return _Authority(ca.certificate, (ca.certificate,), key)

    def _refuse_unusable_ca(self, side: _Side, ca: x509.Certificate) -> None:
        hint = self._hint(side)
        if self._is_our_ca(side, ca):
            self.noted.add(fingerprint(ca))
        if not pki.is_ca(ca):
            raise SpecError(f"{side.ca} is no CA certificate.", why="it does not say CA:TRUE", hint=hint)
        if ca.not_valid_after_utc <= self.now:
            why = f"it was valid until {_time(ca.not_valid_after_utc)}"
            raise SpecError(f"{side.ca} has expired.", why=why, hint=hint)
        if ca.not_valid_before_utc > self.now:
            why = f"it is valid from {_time(ca.not_valid_before_utc)}, the clock says {_time(self.now)}"
            raise SpecError(f"{side.ca} is not valid yet.", why=why, hint=f"Set the clock. {hint}")
        if ca.not_valid_after_utc - self.now < RENEW_BEFORE:
            self.messages.append(
                f"{side.ca} expires at {_time(ca.not_valid_after_utc)}. "
                + ("Everything anew: mtlslab up --rotate-certs" if self._is_our_ca(side, ca) else hint)
            )

    # --- the leaf

    def settle_leaf(self, side: _Side, ca: _Authority) -> None:
        """Keep a leaf that is right; issue one otherwise."""
        key = self._existing_key(side.leaf_key)
        reissue = self._judge(side, ca, key)
        if reissue is None:
            return
        if ca.key is None:
            raise SpecError(
                f"{side.leaf} must be issued, but {side.ca_key} is missing.", why=reissue.reason, hint=self._hint(side)
            )
        if key is None or reissue.new_key:
            key = self._new_key(side.leaf_key)
        self._keep_brought(side, ca)
        leaf = self._issue_leaf(side, pki.Credential(ca.certificate, ca.key), key)
        self.noted.add(fingerprint(leaf.certificate))
        self.files[side.leaf] = leaf.certificate_pem()
        if reissue.reason:
            self.messages.append(f"Issued a new {side.leaf}: {reissue.reason}.")

    def _keep_brought(self, side: _Side, ca: _Authority) -> None:
        """Keep a copy of what lies in the place of a leaf, unless the lab itself issued it."""
        old = self.existing.get(side.leaf)
        if old is None:
            return
        with contextlib.suppress(ValueError):
            if self._is_ours(side, pki.load_certificates(old)[0], ca.certificate):
                return
        aside = f"{side.leaf}.old-{self.now:%Y%m%d-%H%M%S}"
        self.files[aside] = old
        self.messages.append(f"Kept what was there as {aside}.")

    def _issue_leaf(self, side: _Side, ca: pki.Credential, key: pki.PrivateKey) -> pki.Credential:
        if side.role == "server":
            return pki.issue_server_leaf(ca, key, self.spec.server_names, now=self.now, days=self.spec.days)
        return pki.issue_client_leaf(ca, key, CLIENT_NAME, now=self.now, days=self.spec.days)

    def _judge(self, side: _Side, ca: _Authority, key: pki.PrivateKey | None) -> _Reissue | None:
        if side.leaf not in self.existing:
            return _Reissue("" if side.ca in self.files else "there was none")
        try:
            leaf, *chain = pki.load_certificates(self.existing[side.leaf])
        except ValueError as error:
            return _Reissue(f"the old one was damaged ({error})")
        if not _leads_to(leaf, chain, ca.anchors):
            raise SpecError(f"{side.leaf} was not issued by the CA in {side.ca}.", hint=self._hint(side))
        if key is None or key.public_key() != leaf.public_key():
            return _Reissue(f"{side.leaf_key} {'did not belong to the old one' if key else 'was missing'}")
        reason = self._validity_problem((leaf, *chain), ca.certificate)
        if not self._is_ours(side, leaf, ca.certificate):
            self._tell_of_brought(side, leaf, reason)
            return None
        self.noted.add(fingerprint(leaf))
        return self._judge_ours(side, leaf, key, reason)

    def _judge_ours(self, side: _Side, leaf: x509.Certificate, key: pki.PrivateKey, reason: str) -> _Reissue | None:
        """A leaf that the lab issued must match the spec; ``reason``: what is wrong with its dates."""
        reason = reason or (self._name_problem(leaf, self.spec.server_names) if side.role == "server" else "")
        if pki.key_type_of(key) != self.spec.key_type:
            asked = f"its key was {pki.key_type_of(key)}, now it is {self.spec.key_type} (the CA keeps its own)"
            return _Reissue(reason or asked, new_key=True)
        return _Reissue(reason) if reason else None

    def _is_ours(self, side: _Side, leaf: x509.Certificate, ca: x509.Certificate) -> bool:
        """Whether the lab issued a leaf, for the purpose that it has here: a further client is none of them."""
        common_name = CLIENT_NAME if side.role == "client" else self.spec.server_names[0]
        if leaf.subject != pki.distinguished_name(common_name, pki.organization_of(ca)):
            return False
        return self._is_our_ca(side, ca) if self.issued is None else fingerprint(leaf) in self.issued

    def _is_our_ca(self, side: _Side, ca: x509.Certificate) -> bool:
        if self.issued is not None:
            return fingerprint(ca) in self.issued
        return ca.subject == pki.lab_ca_name(side.role, pki.organization_of(ca))

    def _hint(self, side: _Side) -> str:
        """What to do about a side that cannot be used: what somebody brought is not offered for destruction."""
        contents = (self.existing.get(path, b"") for path in (side.ca, side.leaf))
        there = [one for content in contents for one in read_bundle(content).certificates]
        if self.issued is None:
            ours = all(map(has_name_of_lab, there))
        else:
            ours = all(fingerprint(one) in self.issued for one in there)
        return ROTATE_HINT if ours else IMPORT_HINT

    def _validity_problem(self, certificates: Sequence[x509.Certificate], ca: x509.Certificate) -> str:
        first = min(certificates, key=lambda one: one.not_valid_after_utc)
        end = first.not_valid_after_utc
        if end <= self.now:
            return f"the old one expired at {_time(end)}"
        if max(one.not_valid_before_utc for one in certificates) > self.now:
            return "the old one was not valid yet"
        # A leaf with a validity of one day is not "about to expire" all day. No leaf can be valid longer than its CA.
        margin = min(RENEW_BEFORE, (end - first.not_valid_before_utc) / 3)
        if end - self.now < margin and end < ca.not_valid_after_utc:
            return f"the old one would expire at {_time(end)}"
        return ""

    def _tell_of_brought(self, side: _Side, leaf: x509.Certificate, reason: str) -> None:
        # It need not have every loopback address, but clients need the names of --host.
        if side.role == "server":
            reason = reason or self._name_problem(leaf, ("localhost", *self.spec.hosts))
        if reason:
            reason = reason.replace("the old one", "it", 1)
            self.messages.append(f"{side.leaf} was not issued by this lab and stays, but {reason}. Replace it.")

    def _name_problem(self, leaf: x509.Certificate, wanted: Sequence[str]) -> str:
        missing = [name for name in wanted if not _covers(leaf, name)]
        return f"the old one was not valid for {', '.join(missing)}" if missing else ""

    # --- keys

    def _existing_key(self, path: str) -> pki.PrivateKey | None:
        if path not in self.existing:
            return None
        try:
            return pki.load_key(self.existing[path])
        except ValueError as error:
            side = next(one for one in _SIDES if path in (one.ca_key, one.leaf_key))
            raise SpecError(f"{path} cannot be used.", why=str(error), hint=self._hint(side)) from error

    def _new_key(self, path: str) -> pki.PrivateKey:
        key = self.spare_keys.pop() if self.spare_keys else pki.new_key(self.spec.key_type)
        self.files[path] = pki.key_pem(key)
        return key


def _leads_to(leaf: x509.Certificate, chain: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate]) -> bool:
    """Whether the signatures lead from the leaf through the chain to a trust anchor."""
    current, rest = leaf, list(chain)
    while not any(pki.issued_by(current, anchor) for anchor in anchors):
        parent = next((one for one in rest if pki.issued_by(current, one)), None)
        if parent is None:
            return False
        rest.remove(parent)
        current = parent
    return True


def _covers(leaf: x509.Certificate, name: str) -> bool:
    """Whether a server certificate is valid for a name or an address (RFC 6125 section 6.4)."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    if is_ip_address(name):
        return ipaddress.ip_address(name) in names.get_values_for_type(x509.IPAddress)
    found = {one.lower() for one in names.get_values_for_type(x509.DNSName)}
    return bool(found & {name.lower(), "*." + name.lower().partition(".")[2]})


def _time(moment: datetime.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"

"""The certificates of a lab, and those that its servers can show: roles, purposes, names, dates."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import posixpath
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping

from mtlslab import pki
from mtlslab.errors import LabError
from mtlslab.pki.credential import fingerprint, key_id, pem_of
from mtlslab.pki.faults import Outcome
from mtlslab.pki.purposes import host_names, made_by_lab, other_purposes, signs_certificates
from mtlslab.plan.paths import CLIENT_CA, CLIENT_CA_KEY, CLIENT_CERT, SERVER_CA, SERVER_CERT
from mtlslab.plan.spec import make_spec
from mtlslab.probe.model import Attempt, Observation
from mtlslab.verify.checks.judge import Verdict
from mtlslab.verify.checks.model import Check, Result
from mtlslab.verify.configuration.model import Configuration, Scope
from mtlslab.verify.context import Probe, VerifyContext
from mtlslab.verify.procedures.commands import s_client
from mtlslab.verify.procedures.model import ProcedureResult, failed
from mtlslab.verify.rules.facts import Facts, serves
from mtlslab.workspace.credentials import client_names, files_of
from mtlslab.workspace.directory import Workspace
from mtlslab.workspace.shape import client_ca_of

WARN_BEFORE, FAIL_BEFORE = datetime.timedelta(days=7), datetime.timedelta(days=1)
# With one of these, a TLS 1.2 server must show a certificate of that key type.
_KEY_TYPES = {"RSA": "ECDHE+aRSA:DHE+aRSA:kRSA", "ECDSA": "ECDHE+aECDSA"}
_MOST_NAMES = 6
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class _Leaf:
    """A certificate of a lab: where it is from, what it is for, and the first certificate there.

    Attributes:
        where: a path in the workspace, or how it was shown.
        role: ``server CA``, ``client CA``, ``server`` or ``client``.
        pem: its PEM.
    """

    where: str
    role: str
    pem: bytes

    @property
    def is_ca(self) -> bool:
        return self.role.endswith(" CA")

    @property
    def side(self) -> str:
        return self.role.partition(" ")[0]


@dataclasses.dataclass(frozen=True)
class _Complaint:
    """What is wrong with a certificate; ``grave`` is False for what is worth a warning."""

    what: str
    grave: bool = True


def _verdict(check: Check, complaints: Iterable[_Complaint], good: str) -> Verdict:
    ordered = sorted(complaints, key=lambda one: not one.grave)
    if not ordered:
        return Verdict(Result.PASS, good)
    more = f" And {len(ordered) - _SHOWN} more." if len(ordered) > _SHOWN else ""
    words = " ".join(f"{one.what}." for one in ordered[:_SHOWN]) + more
    return failed(check, words) if ordered[0].grave else Verdict(Result.WARN, words)


def _result(attempt: Attempt, leaves: Iterable[_Leaf], verdict: Verdict) -> ProcedureResult:
    places = [leaf.where for leaf in leaves]
    return ProcedureResult(
        attempt, None, facts={"answer": f"{len(places)} looked at", "looked_at": places}, verdict=verdict
    )


# --- which certificates there are


def _own(context: VerifyContext, facts: Facts | None) -> list[_Leaf]:
    """The certificates of the CAs, of the servers and of the clients; a twin has its lab's where it has none."""
    there = [Workspace(directory) for directory in dict.fromkeys((context.directory, context.issuer))]
    paths = {SERVER_CA: "server CA", CLIENT_CA: "client CA", SERVER_CERT: "server", CLIENT_CERT: "client"}
    if facts:
        paths |= dict.fromkeys(_configured(facts), "server")
    for workspace in there:
        paths = dict.fromkeys(_further_clients(workspace), "client") | paths
    found = []
    for path, role in paths.items():
        content = next(filter(None, (_read(workspace, path) for workspace in there)), None)
        if path == CLIENT_CA and content and _has_anchors(content):
            content = _client_ca(content, there[-1])
        if content and _is_certificate(content):
            found.append(_Leaf(path, role, content))
    return found


def _client_ca(anchors: bytes, lab: Workspace) -> bytes:
    """Of the trust anchors, which may stand in any order, the one that is the client CA."""
    client = _read(lab, CLIENT_CERT) or b""
    chain = pki.load_certificates(client) if _is_certificate(client) else []
    return pem_of(client_ca_of(pki.load_anchors(anchors), chain, _read(lab, CLIENT_CA_KEY)))


def _further_clients(workspace: Workspace) -> Iterator[str]:
    """Certificates that the client CA issued; people keep others there as well."""
    ca = _read(workspace, CLIENT_CA) or b""
    for path in (files_of(name)[0] for name in client_names(workspace)):
        pem = _read(workspace, path) or b""
        if _is_certificate(pem) and _has_anchors(ca):
            issuers = pki.load_anchors(ca)
            if any(pki.issued_by(pki.load_certificates(pem)[0], issuer) for issuer in issuers):
                yield path


def _has_anchors(pem: bytes) -> bool:
    return _can(pki.load_anchors, pem)


def _is_certificate(pem: bytes) -> bool:
    return _can(pki.load_certificates, pem)


def _can(load: Callable[[bytes], object], pem: bytes) -> bool:
    with contextlib.suppress(ValueError):  # whoever uses it says what is wrong with it
        load(pem)
        return True
    return False


def _read(workspace: Workspace, path: str) -> bytes | None:
    with contextlib.suppress(LabError):
        return workspace.read(path)
    return None


def _facts(context: VerifyContext) -> Facts | None:
    known = context.configuration() if context.configuration else None
    return known.facts if known else None


def _serving(configuration: Configuration) -> Iterator[Scope]:
    return (server for server in configuration.servers if serves(configuration, server))


def _configured(facts: Facts) -> Iterator[str]:
    """The certificate files of all servers that serve anything."""
    for configuration in facts.both:
        for server in _serving(configuration):
            for one in server.in_force("ssl_certificate"):
                path = configuration.beside_conf(one.first)
                if "$" not in path and not posixpath.isabs(path) and not path.startswith(".."):
                    yield path


def _shown(context: VerifyContext, attempt: Attempt, facts: Facts | None, probe: Probe) -> Iterator[_Leaf]:
    """What the servers show: for each name that is configured, to clients that know one key type only."""
    for port, configuration in ((context.tls_port, facts and facts.tls), (context.mtls_port, facts and facts.mtls)):
        for name in _names(context, configuration or None):
            for key_type, ciphers in _KEY_TYPES.items():
                what = dataclasses.replace(
                    attempt,
                    port=port,
                    sni=name,
                    insecure=True,
                    cacert=None,
                    tls_version="1.2",
                    ciphers=ciphers,
                    nonce="",
                )
                chain = probe(what).chain
                if chain:
                    where = f"port {port}, {name or 'no name'}, {key_type}"
                    yield _Leaf(where, "server", ssl.DER_cert_to_PEM_cert(chain[0]).encode())


def _listening(probe: Probe, heard: set[int]) -> Probe:
    """The same probe; enters each port where a server said anything into ``heard``."""

    def listening(what: Attempt) -> Observation:
        seen = probe(what)
        if seen.heard:
            heard.add(what.port)
        return seen

    return listening


def _names(context: VerifyContext, configuration: Configuration | None) -> list[str]:
    configured = (
        one.replace("*", "any") if not one.startswith(".") else f"any{one}"
        for server in (_serving(configuration) if configuration else ())
        for directive in server.in_force("server_name")
        for one in directive.args
        if not one.startswith("~") and "$" not in one
    )
    return list(dict.fromkeys((context.host, "", *configured)))[:_MOST_NAMES]


# --- what must hold of them


def one_role(context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> ProcedureResult:
    """No public key stands in the certificates of two roles."""
    leaves = _own(context, _facts(context))
    by_key: dict[str, list[_Leaf]] = {}
    for leaf in leaves:
        by_key.setdefault(key_id(pki.load_certificates(leaf.pem)[0]), []).append(leaf)

    def complaints() -> Iterator[_Complaint]:
        for same in by_key.values():
            roles = {leaf.role for leaf in same}
            places = " and ".join(leaf.where for leaf in same)
            if len(roles) > 1:
                # One CA for both sides is a way to do it: then only purposes keep servers and clients apart.
                yield _Complaint(f"{places} have one key", grave=not all(leaf.is_ca for leaf in same))
            elif roles == {"client"} and len(same) > 1:
                yield _Complaint(f"{places} have one key: two clients", grave=False)

    return _result(attempt, leaves, _verdict(check, complaints(), f"{len(by_key)} keys, each in one role."))


def purposes(context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> ProcedureResult:
    """Leaves of servers and clients issue nothing, and are good for one side only."""
    leaves = [leaf for leaf in _own(context, _facts(context)) if not leaf.is_ca]
    complaints = [one for leaf in leaves for one in _over_broad(leaf, _lab_made(context))]
    return _result(attempt, leaves, _verdict(check, complaints, "Each is good for its own side, and none is a CA."))


def _lab_made(context: VerifyContext) -> Mapping[str, bool]:
    """For each side, whether the lab made its CA."""
    workspace = Workspace(context.directory)
    record = workspace.record()
    issued = record.issued if record else None
    cas = {"server": SERVER_CA, "client": CLIENT_CA}
    found = {side: _read(workspace, path) or b"" for side, path in cas.items()}
    return {
        side: _is_certificate(pem)
        and made_by_lab(ca := pki.load_certificates(pem)[0], side)
        and (issued is None or fingerprint(ca) in issued)
        for side, pem in found.items()
    }


def _over_broad(leaf: _Leaf, lab_made: Mapping[str, bool]) -> Iterator[_Complaint]:
    certificate = pki.load_certificates(leaf.pem)[0]
    signs = signs_certificates(certificate)
    if signs:
        yield _Complaint(f"{leaf.where}: its holder may issue certificates ({signs})")
    more = other_purposes(certificate, leaf.side)
    if more:
        yield _Complaint(
            f"{leaf.where}, of a {leaf.side}: it is good for {' and '.join(more)}, too", lab_made[leaf.side]
        )


def names(context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> ProcedureResult:
    """The servers' certificates name what the lab was asked for, and nothing else."""
    facts = _facts(context)
    if facts is None:
        return ProcedureResult(
            attempt, None, verdict=Verdict(Result.INCONCLUSIVE, "Nobody has read the configuration.")
        )
    leaves = [leaf for leaf in _own(context, facts) if leaf.role == "server"]
    complaints = [one for leaf in leaves for one in _misnamed(leaf, _asked(context, facts), _lab_made(context))]
    return _result(attempt, leaves, _verdict(check, complaints, f"They name {', '.join(facts.spec.server_names)}."))


def _asked(context: VerifyContext, facts: Facts) -> frozenset[str]:
    """The names that the lab was asked for; a twin shows the certificate of its lab, which may listen elsewhere."""
    names = set(facts.spec.server_names)
    record = Workspace(context.issuer).record() if context.lab_directory else None
    if record:
        names |= set(make_spec(record.spec).server_names)
    return frozenset(name.lower() for name in names)


def _misnamed(leaf: _Leaf, asked: frozenset[str], lab_made: Mapping[str, bool]) -> Iterator[_Complaint]:
    named = host_names(pki.load_certificates(leaf.pem)[0])
    if named - asked:
        # Somebody else's CA may know why; in a lab's own, it is how one server plays another.
        more = ", ".join(sorted(named - asked))
        yield _Complaint(f"{leaf.where} also names {more}, which nobody asked for", lab_made["server"])
    if asked - named and lab_made["server"]:  # whoever brings a certificate knows by which names it is called
        yield _Complaint(f"{leaf.where} does not name {', '.join(sorted(asked - named))}", grave=False)


def dates(context: VerifyContext, check: Check, attempt: Attempt, _probe: Probe) -> ProcedureResult:
    """No certificate that the lab needs ends within a day, and none within a week."""
    facts, now = _facts(context), datetime.datetime.now(datetime.UTC)
    needed = [leaf for leaf in _own(context, facts) if leaf.role != "client" or leaf.where == CLIENT_CERT]
    complaints = [one for leaf in needed for one in _ending(leaf, facts, now)]
    return _result(attempt, needed, _verdict(check, complaints, f"None ends within {WARN_BEFORE.days} days."))


def _ending(leaf: _Leaf, facts: Facts | None, now: datetime.datetime) -> Iterator[_Complaint]:
    certificate = pki.load_certificates(leaf.pem)[0]
    end = certificate.not_valid_after_utc
    # Whoever asked for a day is not told all day that it will be over.
    asked = datetime.timedelta(days=facts.spec.days) / 3 if facts else WARN_BEFORE
    when = f"{end:%Y-%m-%d %H:%M} UTC"
    if now < certificate.not_valid_before_utc:
        yield _Complaint(f"{leaf.where} is not valid yet")
    elif end - now < min(WARN_BEFORE, asked):
        words = "ended" if end < now else "ends"
        yield _Complaint(f"{leaf.where} {words} at {when}", end - now < min(FAIL_BEFORE, asked))


def shown(context: VerifyContext, check: Check, attempt: Attempt, probe: Probe) -> ProcedureResult:
    """Every certificate that the servers can show: purposes, names and dates of each."""
    facts, now, lab_made = _facts(context), datetime.datetime.now(datetime.UTC), _lab_made(context)
    heard: set[int] = set()
    leaves = list(_shown(context, attempt, facts, _listening(probe, heard)))
    silent = {context.tls_port, context.mtls_port} - heard
    if silent:
        why = f"Nobody answers on port {' and '.join(map(str, sorted(silent)))}."
        nobody = {"outcome": Outcome.UNREACHABLE.value}
        return ProcedureResult(attempt, None, facts=nobody, verdict=Verdict(Result.INCONCLUSIVE, why))
    if not leaves:
        why = "No server showed a certificate to a client that speaks TLS 1.2 with RSA or ECDSA keys."
        return ProcedureResult(
            attempt, None, verdict=Verdict(Result.PASS, f"{why} Those that are configured are judged.")
        )
    complaints: dict[str, _Complaint] = {}
    for leaf in leaves:
        misnamed = _misnamed(leaf, _asked(context, facts), lab_made) if facts else ()
        for one in (*_over_broad(leaf, lab_made), *misnamed, *_ending(leaf, facts, now)):
            complaints.setdefault(one.what.removeprefix(leaf.where), one)
    different = len({leaf.pem for leaf in leaves})
    good = f"{different} different in {len(leaves)} handshakes, each of them right."
    return _result(attempt, leaves, _verdict(check, complaints.values(), good))


# --- printed commands


def dates_command(_context: VerifyContext, _attempt: Attempt) -> list[str]:
    """What openssl says about the end of the server's certificate: whether a day is left."""
    return ["openssl", "x509", "-in", f"./{SERVER_CERT}", "-noout", "-enddate", "-checkend", "86400"]


def names_command(_context: VerifyContext, _attempt: Attempt) -> list[str]:
    """Its names."""
    return ["openssl", "x509", "-in", f"./{SERVER_CERT}", "-noout", "-ext", "subjectAltName"]


def purposes_command(_context: VerifyContext, _attempt: Attempt) -> list[str]:
    """What the client's certificate may be used for."""
    extensions = "basicConstraints,keyUsage,extendedKeyUsage"
    return ["openssl", "x509", "-in", f"./{CLIENT_CERT}", "-noout", "-ext", extensions]


def keys_command(_context: VerifyContext, _attempt: Attempt) -> list[str]:
    """The fingerprints of all keys; those that are there twice are printed."""
    each = 'openssl x509 -in "$file" -noout -pubkey | openssl sha256'
    return ["sh", "-c", f"for file in certs/*.crt; do {each}; done | sort | uniq -d"]


def shown_command(context: VerifyContext, attempt: Attempt) -> list[str]:
    """The certificate that a client gets that knows RSA keys only."""
    what = dataclasses.replace(attempt, tls_version="1.2")
    return s_client(what, context.directory, "-cipher", "aRSA")

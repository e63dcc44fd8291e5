"""Rules on whom the mTLS service lets in: who is asked, whom it trusts, who was taken back."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mtlslab.errors import LabError
from mtlslab.pki.credential import issued_by, key_id, load_anchors
from mtlslab.plan.paths import CLIENT_CA, CRL
from mtlslab.verify.configuration.model import Directive, Scope
from mtlslab.verify.rules.facts import Facts, served
from mtlslab.verify.rules.model import Objection, Rule, grave, mild
from mtlslab.workspace.credentials import load_client_ca_certificate
from mtlslab.workspace.shape import are_brought

_SSL = "nginx, ngx_http_ssl_module"
_PEM = re.compile(rb"^(?:\xef\xbb\xbf)?-----BEGIN ([A-Z0-9 ]+)-----\s*$", re.MULTILINE)
_CERTIFICATE = (b"CERTIFICATE", b"X509 CERTIFICATE")
# What gets past nginx's own check in each mode, in the words of $ssl_client_verify.
_STRANGERS = {
    "off": ("NONE",),
    "optional": ("NONE",),
    "optional_no_ca": ("NONE", "FAILED:self-signed certificate"),
}
_CLOCKS = 2  # seconds: when a process started is known to a second, and files have the time of another clock
_USUAL_DEPTH, _DEEPEST = 1, 3


def _asks_every_client(facts: Facts) -> Iterator[Objection]:
    for server in facts.open_servers:
        mode = server.value("ssl_verify_client", "off")
        if mode == "on":
            continue
        setting = server.in_force("ssl_verify_client")
        place = setting[-1].place if setting else server.place
        for stranger in _STRANGERS.get(mode, ("NONE",)):
            hole = next(served(facts.mtls, server, stranger), None)
            if hole:
                yield Objection(_hole(mode, stranger, *hole[:1], hole[1].choices), place)
                break
        else:
            yield Objection(
                f"ssl_verify_client {mode}, and a rule of its own that refuses all but SUCCESS", place, False
            )


def _hole(mode: str, stranger: str, block: Scope, choices: tuple[Directive, ...]) -> str:
    who = "a client without a certificate" if stranger == "NONE" else "a client with a certificate of any CA"
    where = " ".join(("location", *block.directive.args)) if block.kind == "location" else "the server"
    exempt = f", depending on: {', '.join(f'{one} ({one.place})' for one in choices[:2])}" if choices else ""
    return f"ssl_verify_client {mode} lets {who} in: {where} ({block.place}){exempt}"


def _trusted(facts: Facts, directive: Directive) -> Iterator[Objection]:
    """What is wrong with a file of trusted CAs."""
    path = facts.mtls.beside_conf(directive.first)
    content = facts.read(path)
    if content is None:
        yield grave(directive, f"{directive}: {path} is no file of the lab, so nobody can tell whom it trusts")
        return
    labels = [found[1] for found in _PEM.finditer(content)]
    odd = sorted({label.decode() for label in labels} - {label.decode() for label in _CERTIFICATE})
    try:
        certificates = load_anchors(content)
        own = load_client_ca_certificate(facts.workspace)
        brought = _brought(facts)
    except (ValueError, LabError) as error:
        yield grave(directive, f"{directive}: {path} holds {error}")
        return
    if odd or len(labels) != len(certificates):
        yield grave(directive, f"{directive}: {path} holds {', '.join(odd) or 'something'} beside certificates")
    for certificate in certificates:
        subject = certificate.subject.rfc4514_string()
        if key_id(certificate) == key_id(own):
            continue
        if key_id(certificate) in brought:
            yield mild(directive, f"{directive}: {path} trusts {subject}, too, which came with the client CA")
        elif issued_by(certificate, own):
            yield mild(directive, f"{directive}: {path} names {subject}, too, which the client CA issued")
        else:
            yield grave(directive, f"{directive}: {path} trusts {subject}, which is not the client CA")


def _brought(facts: Facts) -> frozenset[str]:
    """The keys of all CAs in the file of client CAs, where the user brought it; mtlslab writes one CA."""
    anchors = load_anchors(facts.client_ca)
    return frozenset(map(key_id, anchors)) if are_brought(facts.workspace, anchors) else frozenset()


def _trusts(name: str, facts: Facts) -> Iterator[Objection]:
    seen = set()
    for server in facts.open_servers:
        for directive in server.in_force(name)[-1:]:
            if directive.place not in seen:
                seen.add(directive.place)
                yield from _trusted(facts, directive)


def _announced(facts: Facts) -> Iterator[Objection]:
    yield from _trusts("ssl_client_certificate", facts)
    for server in facts.open_servers:
        both = (*server.in_force("ssl_client_certificate"), *server.in_force("ssl_trusted_certificate"))
        if not both:
            yield Objection("no ssl_client_certificate: the server knows no client CA", server.place)


def _silent(facts: Facts) -> Iterator[Objection]:
    yield from _trusts("ssl_trusted_certificate", facts)


def _agree(facts: Facts) -> Iterator[Objection]:
    def authentication(server: Scope) -> dict[str, object]:
        conf = facts.mtls.beside_conf
        files = ("ssl_client_certificate", "ssl_trusted_certificate", "ssl_crl")
        named = {name: conf(server.value(name)) if server.value(name) else "" for name in files}
        content = {name: facts.read(path) or path for name, path in named.items()}
        return {"ssl_verify_client": server.value("ssl_verify_client", "off"), **content}

    for server in facts.open_servers[1:]:
        first, other = authentication(facts.open_servers[0]), authentication(server)
        differing = [name for name in first if first[name] != other[name]]
        if differing:
            what = f"this server and the one at {facts.open_servers[0].place} differ in {', '.join(differing)}"
            yield Objection(what, server.place)


def _depth(facts: Facts) -> Iterator[Objection]:
    for server in facts.open_servers:
        for directive in server.in_force("ssl_verify_depth")[-1:]:
            depth = int(directive.first) if directive.first.isdigit() else _USUAL_DEPTH
            if depth < _USUAL_DEPTH or depth > _DEEPEST:
                yield grave(directive)
            elif depth > _USUAL_DEPTH:
                yield mild(directive)


def _list_is_used(facts: Facts) -> Iterator[Objection]:
    if facts.revocation_list is None:
        return
    for server in facts.open_servers:
        if not server.in_force("ssl_crl"):
            yield Objection(f"{CRL} is there, and this server does not look at it", server.place)


def _list_is_ours(facts: Facts) -> Iterator[Objection]:
    for server in facts.open_servers:
        for directive in server.in_force("ssl_crl")[-1:]:
            path = facts.mtls.beside_conf(directive.first)
            content = facts.read(path)
            if path != CRL and (content is None or content != facts.revocation_list):
                yield grave(directive, f"{directive}: {path} is not {CRL}, which mtlslab certs revoke keeps")


def _list_is_read(facts: Facts) -> Iterator[Objection]:
    told = set()
    for server in facts.open_servers:
        for directive in server.in_force("ssl_crl")[-1:]:
            path = facts.mtls.beside_conf(directive.first)
            written = facts.written_at(path)
            if facts.read_at is None or written is None or directive.place in told:
                continue
            told.add(directive.place)
            if written > facts.read_at + _CLOCKS:
                late = f"{written - facts.read_at:.0f} seconds after nginx has read it"
                yield grave(directive, f"{path} was written {late}: those who were revoked since are served")


RULES = (
    Rule(
        id="config-asks-every-client",
        title="every server and location that serves insists on a client certificate",
        why="One server block for another name, or one location that is exempt, is a door beside the door. With "
        "optional, everything depends on the configuration's own rule: a condition on method, protocol, path, header "
        "or address in it is something that the client chooses.",
        hint="ssl_verify_client on; in the server (or http) block, and nothing that takes it back.",
        directive="ssl_verify_client, if, map, return",
        source=f"{_SSL}, ssl_verify_client; RFC 8446 section 4.3.2",
        sabotage="In nginx-mtls/nginx.conf: ssl_verify_client optional;",
        objections=_asks_every_client,
    ),
    Rule(
        id="config-trusts-the-client-ca-only",
        title="the client CA is the only one that the mTLS service announces and trusts",
        why="Each certificate in the file is a CA whose clients come in. Two CAs of one name look like one to a "
        "client: only their keys differ. Whoever replaced a CA and left the old one in the bundle trusts both.",
        hint=f"ssl_client_certificate ../{CLIENT_CA}; and nothing else in that file.",
        directive="ssl_client_certificate",
        source=f"{_SSL}, ssl_client_certificate; RFC 5280 section 6.1.1",
        sabotage=f"Append certs/server-ca.crt to a copy of {CLIENT_CA}, and name that one.",
        objections=_announced,
    ),
    Rule(
        id="config-trusts-nobody-silently",
        title="the mTLS service trusts no CA that it does not announce",
        why="ssl_trusted_certificate is known for stapling, and its CAs are trusted for clients, too. They are not "
        "sent to the client, so nothing on the wire tells of them.",
        hint=f"Leave ssl_trusted_certificate away, or name ../{CLIENT_CA} in it.",
        directive="ssl_trusted_certificate",
        source=f"{_SSL}, ssl_trusted_certificate",
        sabotage="ssl_trusted_certificate with a copy of certs/server-ca.crt beside nginx.conf.",
        objections=_silent,
    ),
    Rule(
        id="config-servers-agree",
        title="all servers of the mTLS service ask for the same certificates",
        why="Which server block answers is the client's choice: by the name in SNI and Host, or by giving none. The "
        "weakest of them decides, and a session of one may be resumed at another.",
        hint="Put ssl_verify_client, ssl_client_certificate and ssl_crl into the http block, once.",
        directive="ssl_verify_client, ssl_client_certificate, ssl_trusted_certificate, ssl_crl",
        source="nginx, Configuring HTTPS servers, Name-based HTTPS servers; RFC 6066 section 3",
        sabotage="A second server block on the same port without ssl_verify_client.",
        objections=_agree,
    ),
    Rule(
        id="config-chain-depth",
        title="one intermediate CA is allowed in a client's chain, and no more",
        why="The depth bounds who may issue: every CA in the chain can make clients. nginx counts intermediates, and "
        "its default is 1.",
        hint="Write ssl_verify_depth 1; there.",
        directive="ssl_verify_depth",
        source=f"{_SSL}, ssl_verify_depth; RFC 5280 section 4.2.1.9",
        sabotage="ssl_verify_depth 9;",
        objections=_depth,
    ),
    Rule(
        id="config-checks-the-revocation-list",
        title="a revocation list that is there is looked at",
        why="A certificate is revoked when the server knows, not when the CA has signed a list. A list on the disk "
        "that no ssl_crl names takes nobody back.",
        hint="mtlslab up writes ssl_crl into nginx.conf and starts the service with it.",
        directive="ssl_crl",
        source=f"{_SSL}, ssl_crl; RFC 5280 section 6.3",
        sabotage="mtlslab certs issue alice; mtlslab certs revoke alice; and no mtlslab up.",
        objections=_list_is_used,
    ),
    Rule(
        id="config-reads-the-labs-list",
        title="the revocation list that nginx reads is the one of the lab",
        why="An older list of the same CA is well signed and still in its time: only its number tells. Revoking into "
        "one file while the server reads another takes nobody back.",
        hint=f"Write ssl_crl ../{CRL}; there.",
        directive="ssl_crl",
        source=f"{_SSL}, ssl_crl; RFC 5280 section 5.2.3",
        sabotage="ssl_crl with an older copy of the list beside nginx.conf.",
        objections=_list_is_ours,
    ),
    Rule(
        id="config-revocation-list-was-read",
        title="nginx has read the revocation list since it was written",
        why="nginx reads the list when it starts and when it is told to (reload), never by itself. Until then a client "
        "that was revoked is served as before.",
        hint="Have nginx read it: mtlslab reload.",
        directive="ssl_crl",
        source=f"{_SSL}, ssl_crl; nginx, Controlling nginx, Changing Configuration",
        sabotage="mtlslab certs revoke NAME; and no mtlslab reload.",
        objections=_list_is_read,
    ),
)

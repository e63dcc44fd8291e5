"""Labs on certificates that a user brings: CAs as other people's tools make them."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from mtlslab import pki

from tests.support.cli import Run, mtlslab

NOW = datetime.datetime.now(datetime.UTC)
SIGNS_ONLY = (pki.key_usage("key_cert_sign", "crl_sign"), True)
PORTS = ("--tls-port", "0", "--mtls-port", "0")


def authority(
    name: str, *extensions: tuple[x509.ExtensionType, bool], issuer: pki.Credential | None = None, days: int = 30
) -> pki.Credential:
    """A CA with these extensions beside the key identifiers, of a name that mtlslab gives to none of its own."""
    first = NOW - datetime.timedelta(days=60)
    last = NOW + datetime.timedelta(days=days)
    subject, key = pki.distinguished_name(name), pki.new_key("ec-p256")
    return pki.issue(subject, key, list(extensions), issuer=issuer, not_before=first, not_after=last)


def usual(name: str, path_length: int | None = None, **more: Any) -> pki.Credential:
    """A CA as most are: basicConstraints and key usage."""
    return authority(name, (x509.BasicConstraints(ca=True, path_length=path_length), True), SIGNS_ONLY, **more)


def without_key_usage(name: str) -> pki.Credential:
    """A CA as ``openssl req -x509`` makes it."""
    return authority(name, (x509.BasicConstraints(ca=True, path_length=None), True))


def leaf_of(ca: pki.Credential, role: str, *usages: x509.ObjectIdentifier) -> pki.Credential:
    """A leaf for localhost, or for a client; without usages it has no extended key usage."""
    names = ["localhost", "127.0.0.1"] if role == "server" else ["alice"]
    key = pki.new_key("ec-p256")
    usual_ones = pki.server_extensions(key, names) if role == "server" else pki.client_extensions(names)
    extensions = [one for one in usual_ones if not isinstance(one[0], x509.ExtendedKeyUsage)]
    if usages:
        extensions.append((x509.ExtendedKeyUsage(usages), False))
    first, last = pki.validity(NOW, 20, ca)
    subject = pki.distinguished_name(names[0])
    return pki.issue(subject, key, extensions, issuer=ca, not_before=first, not_after=last)


def bring(
    directory: Path,
    server_ca: pki.Credential,
    client_ca: pki.Credential,
    *,
    anchors: tuple[pki.Credential, ...] = (),
    usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.SERVER_AUTH,),
) -> None:
    """Put certificates of these CAs in the place of a lab's own; ``anchors`` is what the file of client CAs holds."""
    certs = directory / "certs"
    server = leaf_of(server_ca, "server", *usages)
    client = leaf_of(client_ca, "client", ExtendedKeyUsageOID.CLIENT_AUTH)
    for name, one in (("server-ca", server_ca), ("client-ca", client_ca), ("server", server), ("client", client)):
        (certs / f"{name}.crt").write_bytes(one.certificate_pem())
        (certs / f"{name}.key").write_bytes(one.key_pem())
    if anchors:
        (certs / "client-ca.crt").write_bytes(b"".join(one.certificate_pem() for one in anchors))


def rendered(place: Path) -> Path:
    """A lab that does not run yet."""
    name = f"t-brought-{os.getpid()}-{place.name[-8:]}".replace("_", "-")
    done = mtlslab("render", "--name", name, "--dir", place / "lab", *PORTS, "--key-type", "ec-p256", cwd=place)
    assert done.code == 0, done.err
    return place / "lab"


@contextlib.contextmanager
def served(directory: Path, *options: str) -> Iterator[Run]:
    """The lab runs for the length of the block; gives what ``up`` said."""
    done = mtlslab("up", "--runtime", "embedded", *options, cwd=directory)
    try:
        yield done
    finally:
        mtlslab("down", cwd=directory)


def verified(directory: Path, *options: str, **environment: str) -> tuple[Run, dict[str, Any]]:
    """What ``verify`` says, and its findings by id."""
    done = mtlslab("verify", "-o", "json", *options, cwd=directory, **environment)
    report = json.loads(done.out)
    return done, {one["id"]: one for one in report["checks"]}

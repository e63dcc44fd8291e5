"""What the certificates of a lab allow, whoever issued them: users bring CAs of every shape.

What must be refused follows from the CAs at hand: a CA without key usage may log in as a client, and where one CA
stands behind both sides, its server certificates may, too. Nothing here judges whether that is wise.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlslab import pki
from mtlslab.errors import LabError
from mtlslab.pki.credential import fingerprint, issued_by, key_id
from mtlslab.plan.paths import CLIENT_CA, CLIENT_CA_KEY, CLIENT_CERT, SERVER_CA, SERVER_CERT
from mtlslab.workspace.directory import Workspace


@dataclasses.dataclass(frozen=True)
class Shape:
    """What follows from the certificates of a lab. The defaults hold for those that mtlslab issues.

    Attributes:
        ca_is_client: the client CA's own certificate passes as a client's, because nothing says what its key is for.
        same_ca: clients of the server CA, and servers, are trusted by whoever trusts the file of client CAs.
        server_is_client: the server's certificate passes as a client's by its usages; its issuer is another matter.
        allows_cas: the client CA may have further CAs below it.
        brought: somebody else than mtlslab issued the client CA.
    """

    ca_is_client: bool = False
    same_ca: bool = False
    server_is_client: bool = False
    allows_cas: bool = True
    brought: bool = False


def shape_of(workspace: Workspace) -> Shape:
    """Read it off the files of a lab; where they are missing or damaged, the usual one: other checks tell of that."""
    try:
        anchors, server = _anchors(workspace, CLIENT_CA), _certificates(workspace, SERVER_CERT)
        path = [*server[1:], *_anchors(workspace, SERVER_CA)]
        client = _certificates(workspace, CLIENT_CERT)
        key = workspace.read(CLIENT_CA_KEY)
    except (LabError, OSError, ValueError):
        return Shape()
    ca = client_ca_of(anchors, client, key)
    brought = are_brought(workspace, anchors)
    # In a file of mtlslab's own there is nothing beside the CA that could be meant.
    trusted = {key_id(one) for one in (anchors if brought else [ca])}
    return Shape(
        ca_is_client=passes_as_client(ca),
        same_ca=any(key_id(one) in trusted for one in path),
        server_is_client=passes_as_client(server[0]),
        allows_cas=_allows_cas(ca, anchors),
        brought=brought,
    )


def client_ca_of(
    anchors: Sequence[x509.Certificate], client: Sequence[x509.Certificate], key_pem: bytes | None
) -> x509.Certificate:
    """The client CA among the trust anchors, which may stand in any order.

    Args:
        anchors: of the file of client CAs; at least one.
        client: the certificate of the lab's client and what is sent along.
        key_pem: the client CA's private key, None when it is not there.

    Returns:
        The anchor to which that key belongs; without a key the one that issued the client; else the first.
    """
    if key_pem is not None:
        with contextlib.suppress(ValueError):
            return pki.load_authority(anchors, pki.load_key(key_pem)).certificate
    return issuer_among(anchors, client)


def issuer_among(anchors: Sequence[x509.Certificate], chain: Sequence[x509.Certificate]) -> x509.Certificate:
    """The trust anchor that issued a certificate of a chain; the first anchor if none did."""
    return next((one for one in anchors if any(issued_by(below, one) for below in chain)), anchors[0])


def are_brought(workspace: Workspace, anchors: Sequence[x509.Certificate]) -> bool:
    """Whether the lab issued none of these client CAs, by its notes; in labs of earlier versions by their subjects.

    Raises:
        LabError: lab.json cannot be read.
    """
    record = workspace.record()
    if record is not None and record.issued is not None:
        return not any(fingerprint(one) in record.issued for one in anchors)
    return all(one.subject != pki.lab_ca_name("client", pki.organization_of(one)) for one in anchors)


def passes_as_client(certificate: x509.Certificate) -> bool:
    """Whether OpenSSL takes a certificate for a client's, by what its extensions say (X509_PURPOSE_SSL_CLIENT).

    What is not said is allowed. keyAgreement counts as digitalSignature does.
    """
    extensions = certificate.extensions
    with contextlib.suppress(x509.ExtensionNotFound):
        extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.CLIENT_AUTH not in extended:
            return False
    with contextlib.suppress(x509.ExtensionNotFound):
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        return usage.digital_signature or usage.key_agreement
    return True


def _allows_cas(ca: x509.Certificate, anchors: Sequence[x509.Certificate]) -> bool:
    """Whether its path length leaves room for a CA below it, and it is no CA below another one itself.

    A client CA with its own root beside it takes up the one intermediate CA that the lab's ``ssl_verify_depth`` allows.
    """
    with contextlib.suppress(x509.ExtensionNotFound):
        if ca.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0:
            return False
    return ca.issuer == ca.subject or not any(issued_by(ca, one) for one in anchors)


def _anchors(workspace: Workspace, path: str) -> list[x509.Certificate]:
    return pki.load_anchors(workspace.read(path) or b"")


def _certificates(workspace: Workspace, path: str) -> list[x509.Certificate]:
    return pki.load_certificates(workspace.read(path) or b"")

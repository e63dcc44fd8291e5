"""Exports a client credential as a PKCS #12 file (RFC 7292), which browsers, Java and key chains import."""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import KeySerializationEncryption, PrivateFormat, pkcs12

from mtlslab.errors import SpecError
from mtlslab.plan.paths import CLIENT_CA
from mtlslab.workspace.credentials import DIRECTORY, files_of, load, load_anchors, require_client
from mtlslab.workspace.directory import Workspace

_MAX_PASSWORD = 512  # bytes; more than any import dialogue accepts


def new_password() -> str:
    """A random password of 120 bits: hexadecimal digits, which need no quoting."""
    return secrets.token_hex(15)


def export_p12(workspace: Workspace, name: str, password: str, *, legacy: bool = False) -> str:
    """Write ``certs/NAME.p12`` (mode 0600) with certificate, private key and client CA; returns its path.

    Args:
        workspace: of the lab; the caller holds its lock.
        name: of a client credential: ``client`` or a further client.
        password: encrypts the file; 1 to 512 bytes on one line.
        legacy: use triple DES and SHA-1, for old programs, instead of AES-256 and SHA-256.

    Raises:
        SpecError: there is no such credential, its files are damaged, or the password cannot be used.
    """
    _check_password(password)
    require_client(workspace, name)
    credential = load(workspace, *files_of(name))
    chain = [*credential.chain, *load_anchors(workspace, CLIENT_CA)]
    content = pkcs12.serialize_key_and_certificates(
        friendly_name(workspace, name).encode(),
        credential.key,
        credential.certificate,
        chain,
        _encryption(password, legacy=legacy),
    )
    path = f"{DIRECTORY}/{name}.p12"
    workspace.write_key(path, content)
    return path


def friendly_name(workspace: Workspace, name: str) -> str:
    """Name of a credential in a key store. It contains the lab's name, to tell the credentials of two labs apart."""
    return f"{workspace.require().spec.get('name', '')} {name}".strip()


def _encryption(password: str, *, legacy: bool) -> KeySerializationEncryption:
    builder = PrivateFormat.PKCS12.encryption_builder()
    if legacy:
        # RFC 7292 appendix C: older key chains of macOS and Windows accept only these schemes, which came before AES.
        builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        builder = builder.hmac_hash(hashes.SHA1())  # noqa: S303 - required by such programs
    else:
        builder = builder.key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC).hmac_hash(hashes.SHA256())
    return builder.build(password.encode())


def _check_password(password: str) -> None:
    if not password:
        raise SpecError(
            "The password is empty.", why="the file holds a private key", hint="mtlslab certs export --help"
        )
    if len(password.encode()) > _MAX_PASSWORD or not password.isprintable():
        raise SpecError(
            "The password cannot be used.",
            why=f"it must be one line of at most {_MAX_PASSWORD} bytes without control characters",
            hint="mtlslab certs export --help",
        )

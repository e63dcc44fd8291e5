"""What a server announces in its CertificateRequest: the names of its CAs, the signatures that it takes."""

from __future__ import annotations

import contextlib
import functools
import itertools
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography import x509

from mtlslab.pki.names import read_name
from mtlslab.probe.reader import Reader, read_extensions

_CERTIFICATE_AUTHORITIES = 47  # RFC 8446 section 4.2.4
_HEADER = 4  # type and length of a handshake message
_MAX_NAMES = 1000
_SIGNATURE_ALGORITHMS = 13  # RFC 8446 section 4.2.3
_DEBIANS_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"  # where OpenSSL itself has a directory only
# Key type, as pki.new_key takes it -> the signature schemes that such a key can make; the cheapest key first.
_SCHEMES = {
    "ec-p256": {0x0403},
    "ed25519": {0x0807},
    "ec-p384": {0x0503},
    "rsa-2048": {0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601},
}


def announced_names(request: bytes, *, tls13: bool) -> tuple[x509.Name, ...]:
    """The distinguished names in a CertificateRequest (RFC 8446 section 4.3.2, RFC 5246 section 7.4.4).

    What cannot be read is left out: it is the server's, and may be anything.

    Args:
        request: the handshake message with its header; empty for none.
        tls13: whether it is of TLS 1.3.
    """
    names: list[x509.Name] = []
    with contextlib.suppress(ValueError):  # cut off: what stands before that counts
        found = itertools.islice(names_in(request[_HEADER:], tls13=tls13), _MAX_NAMES)
        names.extend(name for name in found if name is not None)
    return tuple(names)


def usable_key_type(request: bytes, *, tls13: bool) -> str:
    """The type of key, as ``pki.new_key`` takes it, whose signature a server takes; empty where it lists none of ours.

    Args:
        request: the CertificateRequest with its header; empty for none.
        tls13: whether it is of TLS 1.3.
    """
    with contextlib.suppress(ValueError):
        listed = _numbers(_block_of_schemes(Reader(request[_HEADER:]), tls13=tls13))
        return next((kind for kind, schemes in _SCHEMES.items() if schemes & listed), "")
    return ""


def known_to_the_system(names: Iterable[x509.Name]) -> tuple[x509.Name, ...]:
    """Those of the names that a CA bears which this machine trusts for servers."""
    names = tuple(names)
    known = _names_of_the_system() if names else frozenset()
    return tuple(name for name in names if name in known)


@functools.cache
def _names_of_the_system() -> frozenset[x509.Name]:
    for file in (ssl.get_default_verify_paths().cafile, _DEBIANS_BUNDLE):
        with contextlib.suppress(OSError, ValueError):
            if file:
                return frozenset(one.subject for one in x509.load_pem_x509_certificates(Path(file).read_bytes()))
    return frozenset()


def names_in(body: bytes, *, tls13: bool) -> Iterator[x509.Name | None]:
    """The same from the message without its header, one after the other; None stands for what is no name.

    Raises:
        ValueError: the message is cut off.
    """
    block = Reader(_block_of_names(Reader(body), tls13=tls13))
    while block:
        yield read_name(block.vector(2))


def _block_of_schemes(body: Reader, *, tls13: bool) -> bytes:
    body.vector(1)  # request context, or in TLS 1.2 the certificate types
    if not tls13:
        return body.vector(2)
    extension = read_extensions(body).get(_SIGNATURE_ALGORITHMS)
    return Reader(extension).vector(2) if extension else b""


def _numbers(data: bytes) -> set[int]:
    return {int.from_bytes(data[place : place + 2]) for place in range(0, len(data), 2)}


def _block_of_names(body: Reader, *, tls13: bool) -> bytes:
    body.vector(1)  # request context, or in TLS 1.2 the certificate types
    if tls13:
        extension = read_extensions(body).get(_CERTIFICATE_AUTHORITIES)
        return Reader(extension).vector(2) if extension else b""
    body.vector(2)  # signature schemes
    return body.vector(2)

"""The names of the CAs that a server announces, out of its CertificateRequest."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

from cryptography import x509

from mtlslab.pki.names import read_name
from mtlslab.probe.reader import Reader, read_extensions

_CERTIFICATE_AUTHORITIES = 47  # RFC 8446 section 4.2.4
_HEADER = 4  # type and length of a handshake message
_MAX_NAMES = 1000


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


def names_in(body: bytes, *, tls13: bool) -> Iterator[x509.Name | None]:
    """The same from the message without its header, one after the other; None stands for what is no name.

    Raises:
        ValueError: the message is cut off.
    """
    block = Reader(_block_of_names(Reader(body), tls13=tls13))
    while block:
        yield read_name(block.vector(2))


def _block_of_names(body: Reader, *, tls13: bool) -> bytes:
    body.vector(1)  # request context, or in TLS 1.2 the certificate types
    if tls13:
        extension = read_extensions(body).get(_CERTIFICATE_AUTHORITIES)
        return Reader(extension).vector(2) if extension else b""
    body.vector(2)  # signature schemes
    return body.vector(2)

"""The names of the CAs that a server announces, out of its CertificateRequest."""

from __future__ import annotations

from cryptography import x509

_CERTIFICATE_AUTHORITIES = 47  # RFC 8446 section 4.2.4
_HEADER = 4  # type and length of a handshake message
_MAX_NAMES = 1000

# AlgorithmIdentifier of Ed25519 (RFC 8410 section 3), in DER.
_ED25519 = bytes.fromhex("300506032b6570")


def announced_names(request: bytes, *, tls13: bool) -> tuple[x509.Name, ...]:
    """The distinguished names in a CertificateRequest (RFC 8446 section 4.3.2, RFC 5246 section 7.4.4).

    Names that cannot be read are left out: they are the server's, and may be anything.

    Args:
        request: the handshake message with its header; empty for none.
        tls13: whether it is of TLS 1.3.
    """
    body = request[_HEADER:]
    try:
        block = _block_of_tls13(body) if tls13 else _block_of_tls12(body)
    except ValueError:
        return ()
    names: list[x509.Name] = []
    while block and len(names) < _MAX_NAMES:
        try:
            der, block = _vector(block, 2)
        except ValueError:
            break
        name = _read_name(der)
        if name is not None:
            names.append(name)
    return tuple(names)


def _block_of_tls13(body: bytes) -> bytes:
    _context, rest = _vector(body, 1)
    extensions, _ = _vector(rest, 2)
    while extensions:
        kind = extensions[:2]
        extension, extensions = _vector(extensions[2:], 2)
        if int.from_bytes(kind) == _CERTIFICATE_AUTHORITIES:
            return _vector(extension, 2)[0]
    return b""


def _block_of_tls12(body: bytes) -> bytes:
    _types, rest = _vector(body, 1)
    _signature_schemes, rest = _vector(rest, 2)
    return _vector(rest, 2)[0]


def _vector(data: bytes, width: int) -> tuple[bytes, bytes]:
    """What a length of ``width`` bytes announces, and what follows it."""
    end = width + int.from_bytes(data[:width])
    if len(data) < max(width, end):
        raise ValueError("cut off")
    return data[width:end], data[end:]


def _read_name(der: bytes) -> x509.Name | None:
    # pyca/cryptography reads a name only inside of something larger: here, a request for a certificate. Its key and
    # its signature are zeros, at which nobody looks.
    key = _sequence(_ED25519, _bits(32))
    info = _sequence(b"\x02\x01\x00", der, key, b"\xa0\x00")
    try:
        return x509.load_der_x509_csr(_sequence(info, _ED25519, _bits(64))).subject
    except (ValueError, TypeError):
        return None


def _bits(count: int) -> bytes:
    """A BIT STRING of ``count`` bytes of zeros."""
    return bytes([0x03, count + 1]) + bytes(count + 1)


def _sequence(*elements: bytes) -> bytes:
    content = b"".join(elements)
    length = len(content)
    if length < 0x80:  # the short form of X.690 section 8.1.3.4
        return bytes([0x30, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([0x30, 0x80 | len(octets)]) + octets + content

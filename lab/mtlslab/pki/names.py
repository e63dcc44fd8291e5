"""Distinguished names in DER, as TLS carries them outside of certificates."""

from __future__ import annotations

from cryptography import x509

from mtlslab.pki.reading import reading

Name = x509.Name
"""A distinguished name."""

_INTEGER_0, _NO_ATTRIBUTES = b"\x02\x01\x00", b"\xa0\x00"
_BIT_STRING, _SEQUENCE = 0x03, 0x30
_ED25519 = bytes.fromhex("300506032b6570")  # AlgorithmIdentifier of Ed25519 (RFC 8410 section 3), in DER


def read_name(der: bytes) -> x509.Name | None:
    """The distinguished name in ``der``; None if it is none. An empty name is one, though it counts as false."""
    # pyca/cryptography reads a name only inside of something larger: here, a request for a certificate (RFC 2986
    # section 4). Its key and its signature are zeros, at which nobody looks.
    key = der_element(_SEQUENCE, _ED25519 + _zero_bits(32))
    info = der_element(_SEQUENCE, _INTEGER_0 + der + key + _NO_ATTRIBUTES)
    request = der_element(_SEQUENCE, info + _ED25519 + _zero_bits(64))
    try:
        with reading("no name"):
            return x509.load_der_x509_csr(request).subject
    except ValueError:
        return None


def der_element(tag: int, content: bytes) -> bytes:
    """A DER element: tag, length, content (X.690 section 8.1)."""
    length = len(content)
    if length < 0x80:  # the short form of section 8.1.3.4
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def _zero_bits(count: int) -> bytes:
    """A BIT STRING of ``count`` bytes of zeros."""
    return der_element(_BIT_STRING, bytes(1 + count))

"""TLS records in clear, and the alerts in them."""

from __future__ import annotations

# RFC 8446 section 6 and, for the names that only TLS 1.2 knows, RFC 5246 section 7.2.
_ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    111: "certificate_unobtainable",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
# RFC 8446 section 5.1, ContentType
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
HEADER = 5  # bytes before the content of a record
MAX_RECORD = (1 << 14) + 2048  # RFC 5246 section 6.2.3; TLS 1.3 allows less
TLS_1_0, TLS_1_1, TLS_1_2 = (3, 1), (3, 2), (3, 3)


def alert_name(code: int) -> str:
    """An alert by its name in the RFC, or by its number."""
    return _ALERTS.get(code, f"alert_{code}")


def record(content: int, data: bytes, version: tuple[int, int] = TLS_1_0) -> bytes:
    """A record; the first one of a client says TLS 1.0 whatever it speaks (RFC 8446 section 5.1)."""
    return bytes((content, *version)) + len(data).to_bytes(2) + data


def is_tls(data: bytes) -> bool:
    """Whether ``data`` may be the beginning of a record: a content type, and the major version 3."""
    return CHANGE_CIPHER_SPEC <= data[0] <= APPLICATION_DATA and data[1:2] in (b"\x03", b"")


def alert_in(data: bytes) -> str:
    """The name of the alert in the record at the beginning of ``data``; empty without one."""
    is_alert = data[:2] == bytes((ALERT, 3)) and data[3:HEADER] == b"\x00\x02" and len(data) >= HEADER + 2
    return alert_name(data[HEADER + 1]) if is_alert else ""

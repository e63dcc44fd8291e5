"""How one asks servers that speak no HTTP/1.1."""

from __future__ import annotations

from tests.servers.model import MARKER, Wire

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def http2(path: str = "/", marker: bytes = MARKER.encode()) -> Wire:
    """HTTP/2: preface, SETTINGS and one GET; the names are in HPACK's static table (RFC 7541 appendix A)."""
    block = b"\x82\x87" + b"\x04" + bytes([len(path)]) + path.encode() + b"\x01\x09localhost"
    request = _PREFACE + _frame(4, 0, 0, b"") + _frame(1, 5, 1, block)
    return Wire(request, marker, alpn=("h2",))

"""Opens and seals TLS records with the secrets of a key log: the AEAD cipher suites of TLS 1.2 and TLS 1.3."""

from __future__ import annotations

import dataclasses
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from mtlslab.probe.model import KeyLog, Sender
from mtlslab.probe.records import TLS_1_2, record

# What a TLS 1.2 client may offer so that its records can be opened: AEAD only, in OpenSSL's cipher list format.
AEAD_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:RSA+AESGCM"

_TAG = 16
_GCM_EXPLICIT_NONCE = 8  # RFC 5288 section 3
_IV = 12
_LABELS_TLS13 = {
    (Sender.CLIENT, False): "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    (Sender.SERVER, False): "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    (Sender.CLIENT, True): "CLIENT_TRAFFIC_SECRET_0",
    (Sender.SERVER, True): "SERVER_TRAFFIC_SECRET_0",
}


@dataclasses.dataclass(frozen=True)
class Suite:
    """A cipher suite: IANA's name, key length in bytes, and the hash of its key derivation."""

    name: str
    key: int
    digest: str

    @property
    def is_gcm(self) -> bool:
        """AES-GCM; otherwise ChaCha20-Poly1305."""
        return "GCM" in self.name


def _suites() -> dict[int, Suite]:
    gcm_128, gcm_256, chacha = "AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"
    names = {  # https://www.iana.org/assignments/tls-parameters
        0x1301: f"TLS_{gcm_128}",
        0x1302: f"TLS_{gcm_256}",
        0x1303: f"TLS_{chacha}",
        0x009C: f"TLS_RSA_WITH_{gcm_128}",
        0x009D: f"TLS_RSA_WITH_{gcm_256}",
        0x009E: f"TLS_DHE_RSA_WITH_{gcm_128}",
        0x009F: f"TLS_DHE_RSA_WITH_{gcm_256}",
        0xC02B: f"TLS_ECDHE_ECDSA_WITH_{gcm_128}",
        0xC02C: f"TLS_ECDHE_ECDSA_WITH_{gcm_256}",
        0xC02F: f"TLS_ECDHE_RSA_WITH_{gcm_128}",
        0xC030: f"TLS_ECDHE_RSA_WITH_{gcm_256}",
        0xCCA8: f"TLS_ECDHE_RSA_WITH_{chacha}",
        0xCCA9: f"TLS_ECDHE_ECDSA_WITH_{chacha}",
        0xCCAA: f"TLS_DHE_RSA_WITH_{chacha}",
    }
    return {
        code: Suite(name, 16 if gcm_128 in name else 32, "sha384" if name.endswith("SHA384") else "sha256")
        for code, name in names.items()
    }


SUITES = _suites()


def suite_name(code: int) -> str:
    """A cipher suite's name at IANA, or its number."""
    return SUITES[code].name if code in SUITES else f"0x{code:04X}"


def read_key_log(text: str) -> dict[str, bytes]:
    """The secrets of a key log with one connection (RFC 9850): lines of label, client random and secret in hex."""
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {words[0]: bytes.fromhex(words[2]) for words in lines if len(words) == 3}


class Protection:
    """The keys of one direction. Records are opened or sealed in the order in which they are sent."""

    def __init__(self, suite: Suite, key: bytes, iv: bytes, *, tls13: bool, number: int = 0) -> None:
        self.tls13 = tls13
        self._gcm = suite.is_gcm
        self._cipher = _cipher(suite, key)
        self._iv = iv
        self._number = number

    def open(self, header: bytes, body: bytes) -> tuple[int, bytes]:
        """Content type and plaintext of a record.

        Raises:
            ValueError: it cannot be opened with these keys.
        """
        number, self._number = self._number, self._number + 1
        try:
            return self._open_tls13(number, header, body) if self.tls13 else self._open_tls12(number, header, body)
        except InvalidTag:
            raise ValueError("the record cannot be opened") from None

    def seal(self, content: int, data: bytes) -> bytes:
        """A record of TLS 1.2 with this content."""
        number, self._number = self._number, self._number + 1
        known = number.to_bytes(8) + bytes((content, *TLS_1_2)) + len(data).to_bytes(2)
        explicit = os.urandom(_GCM_EXPLICIT_NONCE) if self._gcm else b""
        nonce = self._iv + explicit if self._gcm else self._nonce(number)
        return record(content, explicit + self._cipher.encrypt(nonce, data, known), TLS_1_2)

    def _open_tls13(self, number: int, header: bytes, body: bytes) -> tuple[int, bytes]:
        # RFC 8446 section 5.2: the real content type is the last byte that is not padding.
        inner = self._cipher.decrypt(self._nonce(number), body, header).rstrip(b"\0")
        if not inner:
            raise ValueError("a record without a content type")
        return inner[-1], inner[:-1]

    def _open_tls12(self, number: int, header: bytes, body: bytes) -> tuple[int, bytes]:
        # RFC 5246 section 6.2.3.3, RFC 5288 and RFC 7905 on the nonce.
        nonce = self._nonce(number)
        if self._gcm:
            nonce, body = self._iv + body[:_GCM_EXPLICIT_NONCE], body[_GCM_EXPLICIT_NONCE:]
        length = len(body) - _TAG
        if length < 0:
            raise ValueError("a record that is too short")
        known = number.to_bytes(8) + header[:3] + length.to_bytes(2)
        return header[0], self._cipher.decrypt(nonce, body, known)

    def _nonce(self, number: int) -> bytes:
        padded = number.to_bytes(_IV)
        return bytes(a ^ b for a, b in zip(self._iv, padded, strict=False))


def tls13_protection(suite: Suite, secrets: KeyLog, sender: Sender, *, application: bool) -> Protection | None:
    """The keys of one direction, before or after its Finished (RFC 8446 section 7.3); None without the secret."""
    secret = secrets.get(_LABELS_TLS13[sender, application])
    if secret is None:
        return None
    key = _expand_label(secret, b"key", suite.key, suite.digest)
    return Protection(suite, key, _expand_label(secret, b"iv", _IV, suite.digest), tls13=True)


def tls12_protection(
    suite: Suite, secrets: KeyLog, sender: Sender, randoms: bytes, *, number: int = 0
) -> Protection | None:
    """The keys of one direction after its ChangeCipherSpec (RFC 5246 section 6.3); None without the master secret.

    Args:
        suite: the negotiated suite.
        secrets: the key log.
        sender: whose records are to be opened.
        randoms: the server's random, then the client's.
        number: how many records have passed before.
    """
    master = secrets.get("CLIENT_RANDOM")
    if master is None:
        return None
    iv_length = 4 if suite.is_gcm else _IV
    block = _p_hash(master, b"key expansion" + randoms, 2 * (suite.key + iv_length), suite.digest)
    keys, ivs = block[: 2 * suite.key], block[2 * suite.key :]
    which = 0 if sender is Sender.CLIENT else 1
    key = keys[which * suite.key :][: suite.key]
    return Protection(suite, key, ivs[which * iv_length :][:iv_length], tls13=False, number=number)


def _cipher(suite: Suite, key: bytes) -> AESGCM | ChaCha20Poly1305:
    return AESGCM(key) if suite.is_gcm else ChaCha20Poly1305(key)


def _expand_label(secret: bytes, label: bytes, length: int, digest: str) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 section 7.1)."""
    full = b"tls13 " + label
    info = length.to_bytes(2) + bytes([len(full)]) + full + b"\0"
    algorithm = hashes.SHA384() if digest == "sha384" else hashes.SHA256()
    return HKDFExpand(algorithm, length, info).derive(secret)


def _p_hash(secret: bytes, seed: bytes, length: int, digest: str) -> bytes:
    """The PRF of TLS 1.2 (RFC 5246 section 5); ``seed`` begins with the label."""
    block, out = seed, b""
    while len(out) < length:
        block = hmac.digest(secret, block, digest)
        out += hmac.digest(secret, block + seed, digest)
    return out[:length]

"""From the bytes of both directions to messages: records, decryption, reassembly. Garbage becomes a message too."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator

from mtlslab.handshake import messages
from mtlslab.handshake.model import ALERT, APPLICATION_DATA, ENCRYPTED_RECORD, NOT_TLS, Message
from mtlslab.probe import hello, records
from mtlslab.probe.keys import SUITES, Protection, Suite, suite_name, tls12_protection, tls13_protection
from mtlslab.probe.model import Chunk, KeyLog, Sender

_KINDS = {
    records.CHANGE_CIPHER_SPEC: "ChangeCipherSpec",
    records.ALERT: ALERT,
    records.APPLICATION_DATA: APPLICATION_DATA,
}
_CLIENT_HELLO, _SERVER_HELLO, _FINISHED = 1, 2, 20  # RFC 8446 section 4


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Messages in order, and what was negotiated (empty before it was)."""

    messages: tuple[Message, ...]
    tls_version: str
    cipher: str


def decode(chunks: Iterable[Chunk], secrets: KeyLog) -> Decoded:
    """Open everything that the secrets open. Never raises on what a peer sent."""
    decoder = _Decoder(secrets)
    for sender, data in chunks:
        decoder.feed(sender, data)
    decoder.finish()
    version = decoder.version
    return Decoded(
        messages=tuple(_message(entry, version) for entry in decoder.entries),
        tls_version=version,
        cipher=suite_name(decoder.suite_code) if version else "",
    )


@dataclasses.dataclass
class _Entry:
    """A message whose bytes are complete, but not yet explained."""

    sender: Sender
    kind: str
    data: bytearray
    encrypted: bool


@dataclasses.dataclass
class _Direction:
    """What is known of one side's stream."""

    raw: bytearray = dataclasses.field(default_factory=bytearray)
    handshake: bytearray = dataclasses.field(default_factory=bytearray)
    protection: Protection | None = None
    lost: bool = False  # it is not TLS: there are no records to look for


class _Decoder:
    """Follows one connection."""

    def __init__(self, secrets: KeyLog) -> None:
        self.entries: list[_Entry] = []
        self.version = ""
        self.suite_code = 0
        self._secrets = secrets
        self._directions = {sender: _Direction() for sender in Sender}
        self._randoms = dict.fromkeys(Sender, b"")

    def feed(self, sender: Sender, data: bytes) -> None:
        """Take the next bytes of one side."""
        direction = self._directions[sender]
        direction.raw += data
        for header, body in _records(direction):
            self._record(sender, header, body)

    def finish(self) -> None:
        """Tell what is left over."""
        for sender, direction in self._directions.items():
            if direction.raw:
                self._add(sender, NOT_TLS if direction.lost else "incomplete record", bytes(direction.raw), False)
            if direction.handshake:
                self._add(sender, "incomplete message", bytes(direction.handshake), False)

    @property
    def _suite(self) -> Suite | None:
        return SUITES.get(self.suite_code)

    def _record(self, sender: Sender, header: bytes, body: bytes) -> None:
        opened = self._open(sender, header, body)
        if opened is None:
            self._add(sender, ENCRYPTED_RECORD, body, True)
            return
        content, data, encrypted = opened
        if content == records.HANDSHAKE:
            self._handshake(sender, data, encrypted)
        elif content in _KINDS:
            self._add(sender, _KINDS[content], data, encrypted)
        if content == records.CHANGE_CIPHER_SPEC and self.version == "1.2":
            self._protect_tls12(sender)

    def _open(self, sender: Sender, header: bytes, body: bytes) -> tuple[int, bytes, bool] | None:
        """Content type, plaintext, and whether it was encrypted; None if it cannot be opened."""
        protection = self._directions[sender].protection
        # In TLS 1.3 encrypted records look like application data, and nothing else is encrypted (RFC 8446 section 5.2).
        if header[0] != records.APPLICATION_DATA and (protection is None or protection.tls13):
            return header[0], body, False
        if protection is None:
            return None
        try:
            content, data = protection.open(header, body)
        except ValueError:
            return None
        return content, data, True

    def _handshake(self, sender: Sender, data: bytes, encrypted: bool) -> None:
        buffer = self._directions[sender].handshake
        buffer += data
        while len(buffer) >= 4 and len(buffer) >= (end := 4 + int.from_bytes(buffer[1:4])):
            message = bytes(buffer[:end])
            del buffer[:end]
            self._add(sender, "", message, encrypted)
            with contextlib.suppress(ValueError):  # what cannot be read changes no keys
                self._follow(sender, message)

    def _follow(self, sender: Sender, message: bytes) -> None:
        """Change keys where the protocol does."""
        kind, body = message[0], message[4:]
        if kind in (_CLIENT_HELLO, _SERVER_HELLO):
            self._randoms[sender] = body[2:34]
        if kind == _SERVER_HELLO and sender is Sender.SERVER and not messages.is_retry(body):
            self.version, self.suite_code = hello.negotiated(body)
            if self.version == "1.3":
                self._protect_tls13(Sender.CLIENT, application=False)
                self._protect_tls13(Sender.SERVER, application=False)
        if kind == _FINISHED and self.version == "1.3":
            self._protect_tls13(sender, application=True)

    def _protect_tls13(self, sender: Sender, *, application: bool) -> None:
        if self._suite:
            self._directions[sender].protection = tls13_protection(
                self._suite, self._secrets, sender, application=application
            )

    def _protect_tls12(self, sender: Sender) -> None:
        randoms = self._randoms[Sender.SERVER] + self._randoms[Sender.CLIENT]
        protection = tls12_protection(self._suite, self._secrets, sender, randoms) if self._suite else None
        self._directions[sender].protection = protection

    def _add(self, sender: Sender, kind: str, data: bytes, encrypted: bool) -> None:
        last = self.entries[-1] if self.entries else None
        # A request or a response may take several records; it is one message of HTTP all the same.
        if last and kind == APPLICATION_DATA and (last.kind, last.sender) == (kind, sender):
            last.data += data
        else:
            self.entries.append(_Entry(sender, kind, bytearray(data), encrypted))


def _records(direction: _Direction) -> Iterator[tuple[bytes, bytes]]:
    """The complete records of a stream; what is not TLS stays where it is."""
    raw = direction.raw
    while raw and not direction.lost:
        if not records.is_tls(bytes(raw[:2])):
            direction.lost = True
        length = int.from_bytes(raw[3 : records.HEADER]) if len(raw) >= records.HEADER else 0
        if direction.lost or len(raw) < records.HEADER + length:
            return
        header, body = bytes(raw[: records.HEADER]), bytes(raw[records.HEADER : records.HEADER + length])
        del raw[: records.HEADER + length]
        yield header, body


def _message(entry: _Entry, version: str) -> Message:
    data = bytes(entry.data)
    name, details = (entry.kind, {}) if entry.kind else messages.describe(data, version)
    if entry.kind == ALERT:
        details = messages.describe_alert(data)
    elif entry.kind == APPLICATION_DATA:
        details = messages.describe_http(data)
    elif entry.kind == NOT_TLS:
        details = {"text": messages.first_line(data)}
    return Message(entry.sender, name, len(data), entry.encrypted, details)

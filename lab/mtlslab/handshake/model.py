"""What was recorded, as values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mtlslab.probe.model import Sender

ALERT = "Alert"
APPLICATION_DATA = "ApplicationData"
ENCRYPTED_RECORD = "encrypted record"
NOT_TLS = "not TLS"

_NO_ANSWER = "no answer"
_GOODBYES = ("close_notify", "user_canceled")  # RFC 8446 section 6.1: they end a connection and refuse nothing


@dataclasses.dataclass(frozen=True)
class Message:
    """One message of a handshake, an alert, an HTTP request or response.

    Attributes:
        sender: who sent it.
        name: its name in RFC 8446 or RFC 5246, such as ``ClientHello``; ``Alert``, ``ApplicationData`` for HTTP,
            ``encrypted record`` for one that could not be opened, ``not TLS`` for other bytes.
        size: bytes of the message itself, without the record around it.
        encrypted: whether it was encrypted on the wire, unreadable for anybody in between.
        details: what there is to learn from it, by name, in the order of the message.
    """

    sender: Sender
    name: str
    size: int
    encrypted: bool
    details: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def direction(self) -> str:
        """``client -> server`` or ``server -> client``."""
        return f"{self.sender} -> {self.sender.other}"

    @property
    def label(self) -> str:
        """The name, for an alert with level and description, for HTTP with its first line."""
        if self.name == ALERT:
            return f"Alert ({self.details.get('level', '?')}, {self.details.get('description', '?')})"
        return self.details.get("http", self.name) if self.name == APPLICATION_DATA else self.name

    @property
    def status(self) -> int | None:
        """The HTTP status of a response; None for everything else."""
        code = self.details.get("status", "")
        return int(code) if code.isascii() and code.isdigit() else None

    @property
    def decides(self) -> bool:
        """Whether it tells how the attempt ended: an HTTP response, or an alert that is not a mere goodbye."""
        if self.name == ALERT:
            return self.details.get("description", "") not in _GOODBYES
        return self.status is not None or self.name == NOT_TLS

    def to_mapping(self) -> dict[str, Any]:
        """The message as JSON-ready values."""
        return {
            "direction": self.direction,
            "name": self.name,
            "size": self.size,
            "encrypted": self.encrypted,
            "details": dict(self.details),
        }


@dataclasses.dataclass(frozen=True)
class Transcript:
    """One attempt, message by message.

    Attributes:
        url: what was asked for.
        tls_version: the negotiated version, ``"1.2"`` or ``"1.3"``; empty before there is one.
        cipher: the negotiated cipher suite, IANA's name; empty before there is one.
        messages: what both sides sent, in the order in which it passed the client.
        error: why the attempt broke off, in the words of the library or the system; empty after an HTTP answer.
    """

    url: str
    tls_version: str = ""
    cipher: str = ""
    messages: tuple[Message, ...] = ()
    error: str = ""

    @property
    def decisive(self) -> Message | None:
        """The message that tells how it ended; None when nobody said."""
        return next((message for message in self.messages if message.decides), None)

    @property
    def ending(self) -> str:
        """How it ended, in a few words."""
        message = self.decisive
        if message is None:
            if self.error.startswith(_NO_ANSWER):  # a time-out, in the probe's words
                return self.error
            return f"{_NO_ANSWER}: {self.error}" if self.error else _NO_ANSWER
        if message.name == NOT_TLS:
            return "the port does not speak TLS"
        if message.name == ALERT:
            who = "refused" if message.sender is Sender.SERVER else "the client refuses the server"
            return f"{who} with the TLS alert {message.details['description']}"
        served = message.status is not None and 200 <= message.status < 300
        return f"{'served' if served else 'refused'} with HTTP {message.status}"

    def to_mapping(self) -> dict[str, Any]:
        """The transcript as JSON-ready values."""
        return {
            "url": self.url,
            "tls_version": self.tls_version,
            "cipher": self.cipher,
            "ending": self.ending,
            "error": self.error,
            "messages": [message.to_mapping() for message in self.messages],
        }

"""The real handshake, made visible: one TLS and HTTP attempt with every message of both sides, opened and explained.

Public API of the standard library only: ``SSLContext.wrap_bio`` lets the probe carry the bytes and keep them, and
``SSLContext.keylog_filename`` tells the secrets that open the records afterwards.
"""

from mtlslab.handshake.model import Message, Transcript
from mtlslab.handshake.record import record_handshake
from mtlslab.probe.model import Sender

__all__ = ["Message", "Sender", "Transcript", "record_handshake"]

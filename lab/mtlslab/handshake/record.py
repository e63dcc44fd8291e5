"""Makes one attempt and tells every byte of it."""

from __future__ import annotations

import dataclasses

from mtlslab.handshake.decode import decode
from mtlslab.handshake.model import Transcript
from mtlslab.probe.attempt import attempt
from mtlslab.probe.keys import AEAD_CIPHERS
from mtlslab.probe.model import Attempt, Recording


def record_handshake(what: Attempt) -> Transcript:
    """Try it once, and tell every message that passed. Failures are part of the story, not exceptions.

    TLS 1.2 is offered with AEAD cipher suites only: those are the ones whose records can be opened afterwards.
    """
    seen = attempt(dataclasses.replace(what, record=True, ciphers=AEAD_CIPHERS))
    recording = seen.recording or Recording()
    decoded = decode(recording.chunks, recording.secrets)
    answered = any(message.status is not None for message in decoded.messages)
    return Transcript(
        url=what.url,
        tls_version=decoded.tls_version,
        cipher=decoded.cipher,
        messages=decoded.messages,
        error="" if answered else seen.error,
    )

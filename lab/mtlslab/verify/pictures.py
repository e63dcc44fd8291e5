"""The three handshakes that a report shows: the authorised client, a client without a certificate, and a thief."""

from __future__ import annotations

import dataclasses

from mtlslab.handshake.model import Transcript
from mtlslab.handshake.record import record_handshake
from mtlslab.plan.paths import SERVER_CA
from mtlslab.probe.model import Attempt
from mtlslab.verify.checks.model import CLIENT
from mtlslab.verify.context import VerifyContext, credential_files
from mtlslab.verify.runner import Issue

THIEF = "stolen-certificate"  # of the faults: nginx refuses a bad chain by HTTP, but this one by a TLS alert


@dataclasses.dataclass(frozen=True)
class Example:
    """An attempt worth looking at.

    Attributes:
        id: short name in kebab case.
        title: who tries.
        lesson: what there is to see, for a student.
        attempt: the attempt.
    """

    id: str
    title: str
    lesson: str
    attempt: Attempt


@dataclasses.dataclass(frozen=True)
class Picture:
    """An example and what really happened."""

    id: str
    title: str
    lesson: str
    transcript: Transcript


def examples(context: VerifyContext) -> tuple[Example, ...]:
    """Three attempts at the mTLS server of a lab; the last needs the credential ``THIEF`` in its workspace."""
    return (
        Example(
            "authorised-client",
            "A client with a certificate of the client CA",
            "In mutual TLS the server asks (CertificateRequest), and the client answers with its certificate and "
            "proves with a signature (CertificateVerify) that it holds the private key. Only then does the page come.",
            _attempt(context, CLIENT),
        ),
        Example(
            "no-certificate",
            "A client without a certificate",
            "A client that has none answers the CertificateRequest with an empty Certificate message. With "
            "ssl_verify_client on, nginx finishes the handshake all the same and refuses with an HTTP answer: TLS "
            "succeeds, mutual TLS does not.",
            _attempt(context, None),
        ),
        Example(
            "stolen-certificate",
            "A client with somebody else's certificate, without its key",
            "The certificate is good, the signature (CertificateVerify) is not: whoever made it does not hold the "
            "private key. A server that asks for a certificate finds that out within TLS itself, and breaks off with "
            "an alert.",
            _attempt(context, THIEF),
        ),
    )


def record_examples(context: VerifyContext, issue: Issue | None = None) -> tuple[Picture, ...]:
    """Record the three, one after the other.

    Args:
        context: the lab.
        issue: is called first, with the names of the faulty credentials that are needed.

    Raises:
        LabError: whatever ``issue`` raises.
    """
    if issue:
        issue((THIEF,))
    return tuple(_picture(example) for example in examples(context))


def _picture(example: Example) -> Picture:
    return Picture(example.id, example.title, example.lesson, record_handshake(example.attempt))


def _attempt(context: VerifyContext, credential: str | None) -> Attempt:
    return Attempt(
        port=context.mtls_port,
        host=context.host,
        address=context.address,
        path=context.path,
        cacert=context.directory / SERVER_CA,
        credential=credential_files(context.directory, credential) if credential else None,
        timeout=context.timeout,
    )

"""How an attempt can end, and how much it matters: the words that faults, checks, an audit and every report share."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How an attempt ended, seen from the client.

    ``OTHER_STATUS`` is an answer of the lab's nginx that is neither its page nor one of its refusals. A foreign
    server's pages are not known: its answer is ``ANSWERED`` until a comparison makes it ``SERVED`` or
    ``REFUSED_BY_STATUS``.
    """

    SERVED = "served"
    REFUSED_NO_CERTIFICATE = "refused-no-certificate"  # nginx's page for its code 496
    REFUSED_CERTIFICATE = "refused-certificate"  # nginx's page for its code 495
    REFUSED_BY_ALERT = "refused-by-alert"
    REFUSED_BY_STATUS = "refused-by-status"
    CLIENT_REFUSES_SERVER = "client-refuses-server"
    OTHER_STATUS = "other-status"
    ANSWERED = "answered"
    CLOSED = "closed"
    NO_ANSWER = "no-answer"
    NO_SENSE = "no-sense"  # what came breaks the protocol
    NOT_TLS = "not-tls"
    LOCAL = "local"  # never leaves the client
    UNREACHABLE = "unreachable"


class Severity(StrEnum):
    """Whether another outcome than the expected one makes a server wrong, or is a lesson to show."""

    REQUIRED = "required"
    ADVISORY = "advisory"

"""The audit of a server that is not ours: whether it really does mutual TLS."""

from lab.audit.inputs import make_request
from lab.audit.report import CLIENT_AUTH_WORDS, AuditFinding, AuditReport, ClientAuth, Offer, ServerFacts
from lab.audit.run import AuditRequest, audit
from lab.audit.strangers import ClientCa
from lab.audit.target import Target, parse_target

__all__ = [
    "CLIENT_AUTH_WORDS",
    "AuditFinding",
    "AuditReport",
    "AuditRequest",
    "ClientAuth",
    "ClientCa",
    "Offer",
    "ServerFacts",
    "Target",
    "audit",
    "make_request",
    "parse_target",
]

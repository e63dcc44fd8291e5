"""The audit of a server that is not ours: whether it really does mutual TLS."""

from mtlslab.audit.inputs import make_request
from mtlslab.audit.many import AuditReports, audit_all
from mtlslab.audit.opening import KeyRing
from mtlslab.audit.report import CLIENT_AUTH_WORDS, AuditFinding, AuditReport, ClientAuth, Offer, ServerFacts
from mtlslab.audit.request import AuditRequest
from mtlslab.audit.run import audit
from mtlslab.audit.target import AuditTarget, parse_target
from mtlslab.audit.targets import requests_for, targets_in
from mtlslab.audit.watch import Count, Watch
from mtlslab.pki.mint import ClientCa

__all__ = [
    "CLIENT_AUTH_WORDS",
    "AuditFinding",
    "AuditReport",
    "AuditReports",
    "AuditRequest",
    "AuditTarget",
    "ClientAuth",
    "ClientCa",
    "Count",
    "KeyRing",
    "Offer",
    "ServerFacts",
    "Watch",
    "audit",
    "audit_all",
    "make_request",
    "parse_target",
    "requests_for",
    "targets_in",
]

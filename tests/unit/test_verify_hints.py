"""Hints are chosen by what the server said, one table for `verify` and `audit`."""

from __future__ import annotations

import pytest
from mtlslab.probe.model import Observation, Phase, Side
from mtlslab.verify.checks.hints import hint_for, words_of


def answered(status: int, verify: str = "", body: str = "") -> Observation:
    headers = {"x-ssl-client-verify": verify} if verify else {}
    return Observation(phase=Phase.DONE, status=status, headers=headers, body=body, heard=True)


def alerted(alert: str, sender: Side = Side.PEER) -> Observation:
    return Observation(phase=Phase.HANDSHAKE, side=Side.PEER, alert=alert, alert_from=sender, heard=True)


def distrusted(words: str) -> Observation:
    return Observation(phase=Phase.HANDSHAKE, side=Side.LOCAL, verify_code=1, verify_error=words, heard=True)


@pytest.mark.parametrize(
    ("seen", "logged", "hint"),
    [
        (answered(404, "SUCCESS"), "", "there is no such page"),
        (answered(403, "SUCCESS"), "", "The certificate is good"),
        (answered(403), "", "May this client see the page?"),
        (answered(403), "SUCCESS", "The certificate is good"),
        (answered(401), "", "a name and a password"),
        (answered(495), "", "found fault with the client's certificate"),
        (answered(496), "", "got no certificate"),
        (answered(400, body="No required SSL certificate was sent"), "", "got no certificate"),
        (answered(400, body="The SSL certificate error"), "", "does not tell why"),
        (answered(400, body="The SSL certificate error"), "FAILED:certificate revoked", "was revoked"),
        (answered(400, "FAILED:certificate revoked"), "", "was revoked"),
        (answered(400, "FAILED:certificate has expired"), "", "has expired: renew it"),
        (answered(400, "FAILED:CRL has expired"), "", "The list that ssl_crl names is out of its time"),
        (answered(400, "FAILED:unable to get certificate CRL"), "", "a list of every CA"),
        (answered(400, "FAILED:unable to verify the first certificate"), "", "does not trust the CA"),
        (answered(400, "FAILED:certificate chain too long"), "", "ssl_verify_depth"),
        (answered(400, "FAILED:unsuitable certificate purpose"), "", "clientAuth"),
        (answered(200 + 102, "SUCCESS"), "", "sends the client elsewhere"),
        (answered(503, "SUCCESS"), "", "limit for requests"),
        (answered(418, "SUCCESS"), "", "not by the certificate"),
        (alerted("unknown_ca"), "", "does not trust the CA"),
        (alerted("certificate_revoked"), "", "was revoked"),
        (alerted("certificate_required"), "", "got no certificate"),
        (alerted("protocol_version"), "", "ssl_protocols"),
        (alerted("unrecognized_name"), "", "server_name"),
        (alerted("user_canceled"), "", "ended the handshake with an alert"),
        (distrusted("certificate has expired"), "", "the server's certificate that has expired"),
        (distrusted("Hostname mismatch, certificate is not valid for 'x'"), "", "names other hosts"),
        (distrusted("unable to get local issuer certificate"), "", "the client that does not trust the server"),
    ],
)
def test_the_hint_follows_what_was_said(seen: Observation, logged: str, hint: str) -> None:
    assert hint in hint_for(seen, logged)
    assert "mtlslab" not in hint_for(seen, logged), "no lab is there"
    assert "{" not in hint_for(seen, logged, service="nginx-mtls")


def test_who_has_said_nothing_gets_no_hint() -> None:
    assert hint_for(Observation(phase=Phase.CONNECT, error="refused")) == ""
    assert words_of(alerted("unknown_ca", Side.LOCAL)) == "", "our own alert is not the server's word"

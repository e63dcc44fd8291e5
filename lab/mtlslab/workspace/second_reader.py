"""Reads with ``openssl x509`` a certificate that pyca/cryptography refuses; nginx reads what OpenSSL reads."""

from __future__ import annotations

import subprocess

from mtlslab.plan.visible import visible
from mtlslab.runtime.programs import find_program

_ASKED = ("-subject", "-issuer", "-serial", "-dates", "-fingerprint", "-nameopt", "RFC2253")
_SECONDS = 10


def read_with_openssl(der: bytes) -> tuple[str, ...]:
    """What openssl says about a certificate, in harmless lines; none where it cannot read it, or is not there.

    Args:
        der: the certificate.
    """
    program = find_program("openssl")
    if program is None or not der:
        return ()
    command = [program, "x509", "-inform", "DER", "-noout", *_ASKED]
    try:
        done = subprocess.run(command, input=der, capture_output=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(visible(line) for line in done.stdout.decode("utf-8", "backslashreplace").splitlines())

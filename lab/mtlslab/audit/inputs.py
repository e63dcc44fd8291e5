"""What the user named, checked before anything is sent: the URL, the files, the time."""

from __future__ import annotations

import math
import ssl
from pathlib import Path

from mtlslab.audit.opening import KeyRing, authorised_client, client_ca, trust
from mtlslab.audit.request import AuditRequest
from mtlslab.audit.target import parse_target, without_password
from mtlslab.errors import SpecError
from mtlslab.pki import unlock
from mtlslab.pki.formats import CERTIFICATE, format_of
from mtlslab.probe.context import ContextKey, client_context
from mtlslab.probe.model import DEFAULT_TIMEOUT, MAX_TIMEOUT, KeyFiles
from mtlslab.probe.policy import require_client


def make_request(
    url: str,
    *,
    path: str | None = None,
    cacert: Path | None = None,
    insecure: bool = False,
    cert: Path | None = None,
    key: Path | None = None,
    client_ca_cert: Path | None = None,
    client_ca_key: Path | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    strict: bool = False,
    expect: str = "",
    connect_to: str = "",
    sni: str | None = None,
    ring: KeyRing | None = None,
) -> AuditRequest:
    """The audit that the user asked for.

    Args:
        url: ``https://HOST[:PORT][/PATH]``.
        path: the page, unless the URL names it.
        cacert: PEM file with the trust anchors for the server; None for those of the system.
        insecure: accept any server certificate.
        cert: file with the authorised client's chain; may hold the key as well.
        key: file with its private key.
        client_ca_cert: file with the certificate of the CA that the server trusts for its clients.
        client_ca_key: file with that CA's private key.
        timeout: seconds for each attempt.
        strict: whether warnings count as failures.
        expect: text that the protected page contains.
        connect_to: ``HOST[:PORT]`` to connect to instead of the URL's.
        sni: name in SNI instead of the URL's host; empty for none.
        ring: opens files that are not plain PEM; without it, the authorised client's must be.

    Raises:
        SpecError: something of it cannot be used.
    """
    target = parse_target(url, path)
    if cacert is not None and insecure:
        raise SpecError("--cacert and --insecure contradict each other.", hint="Leave --insecure away.")
    if not (math.isfinite(timeout) and 0 < timeout <= MAX_TIMEOUT):
        why = f"it must be more than 0 and at most {MAX_TIMEOUT:g} seconds"
        raise SpecError(f"--timeout {timeout:g} cannot be used.", why=why)
    host, port = _place(connect_to)
    anchors = trust(cacert, ring) if cacert is not None else None
    if anchors is not None:
        _check_anchors(cacert, anchors)
    client = authorised_client(cert, key, ring)
    if client is not None:
        _check_pair(cert, key, client)
    return AuditRequest(
        target=target,
        cacert=anchors,
        cacert_name=str(cacert) if cacert is not None else "",
        insecure=insecure,
        credential=client,
        client_ca=client_ca(client_ca_cert, client_ca_key, ring),
        timeout=timeout,
        strict=strict,
        expect=expect,
        connect_host=host,
        connect_port=port,
        sni=sni,
    )


def _place(connect_to: str) -> tuple[str, int]:
    """Host and port of ``--connect-to``; the port is 0 where it is the URL's."""
    if not connect_to:
        return "", 0
    try:
        parts = parse_target(f"https://{connect_to}")
    except SpecError as error:
        hint = "Example: --connect-to 127.0.0.1:8889"
        raise SpecError(
            f"--connect-to {without_password(connect_to)!r} cannot be used.", why=error.why, hint=hint
        ) from error
    # 443 may be the default of a URL, or what was asked for.
    asked = connect_to.endswith(f":{parts.port}")
    return parts.host, parts.port if asked else 0


def _check_anchors(file: Path | None, anchors: Path) -> None:
    try:
        client_context(ContextKey(anchors, False, True, None, None, None))
    except (OSError, ValueError) as error:
        require_client()
        content = anchors.read_bytes()
        kind = format_of(content)
        why = _words(error) if kind is CERTIFICATE else f"it is {kind.words}"
        hint = "It must hold at least one certificate, in PEM or DER."
        raise SpecError(f"--cacert {file} cannot be used.", why=why, hint=hint) from error


def _check_pair(cert: Path | None, key: Path | None, client: KeyFiles) -> None:
    """Check that OpenSSL loads certificate and key; where it does not, name the file that is to blame."""
    try:
        client_context(ContextKey(None, True, False, client.certificate, client.key, None))
    except (OSError, ValueError) as error:
        require_client()
        contents = [file.read_bytes() for file in (client.certificate, client.key)]
        problem = unlock.key_problem(*contents)
        option = f"--key {key}" if problem and key else f"--cert {cert}"
        hint = "" if key else "It must hold a certificate and its private key; --key names a key in another file."
        raise SpecError(f"{option} cannot be used.", why=problem or _words(error), hint=hint) from error


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

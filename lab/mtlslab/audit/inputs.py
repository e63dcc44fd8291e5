"""What the user named, checked before anything is sent: the URL, the files, the time."""

from __future__ import annotations

import math
import ssl
from pathlib import Path

from mtlslab import pki
from mtlslab.audit.request import AuditRequest
from mtlslab.audit.target import parse_target
from mtlslab.errors import SpecError
from mtlslab.pki.mint import ClientCa
from mtlslab.probe.context import ContextKey, client_context
from mtlslab.probe.model import DEFAULT_TIMEOUT, KeyFiles

MAX_TIMEOUT = 300.0  # seconds


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
) -> AuditRequest:
    """The audit that the user asked for.

    Args:
        url: ``https://HOST[:PORT][/PATH]``.
        path: the page, unless the URL names it.
        cacert: PEM file with the trust anchors for the server; None for those of the system.
        insecure: accept any server certificate.
        cert: PEM file with the authorised client's chain; may hold the key as well.
        key: PEM file with its private key.
        client_ca_cert: PEM file with the certificate of the CA that the server trusts for its clients.
        client_ca_key: PEM file with that CA's private key.
        timeout: seconds for each attempt.
        strict: whether warnings count as failures.
        expect: text that the protected page contains.
        connect_to: ``HOST[:PORT]`` to connect to instead of the URL's.
        sni: name in SNI instead of the URL's host; empty for none.

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
    if cacert is not None:
        _check_loads("--cacert", cacert, ContextKey(cacert, False, True, None, None, None))
    return AuditRequest(
        target=target,
        cacert=cacert,
        insecure=insecure,
        credential=_authorised_client(cert, key),
        client_ca=_client_ca(client_ca_cert, client_ca_key),
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
        raise SpecError(f"--connect-to {connect_to!r} cannot be used.", why=error.why, hint=hint) from error
    # 443 may be the default of a URL, or what was asked for.
    asked = connect_to.endswith(f":{parts.port}")
    return parts.host, parts.port if asked else 0


def _authorised_client(cert: Path | None, key: Path | None) -> KeyFiles | None:
    if cert is None:
        if key is not None:
            raise SpecError("--key needs the certificate, too.", hint="Add --cert FILE")
        return None
    credential = KeyFiles(cert, key or cert)
    _require_file("--key", credential.key)
    _check_loads("--cert", cert, ContextKey(None, True, False, credential.certificate, credential.key, None))
    return credential


def _client_ca(certificate: Path | None, key: Path | None) -> ClientCa:
    if certificate is None:
        if key is not None:
            raise SpecError("--client-ca-key needs the CA's certificate, too.", hint="Add --client-ca-cert FILE")
        return ClientCa()
    pem = _read("--client-ca-cert", certificate)
    key_pem = _read("--client-ca-key", key) if key else None
    try:
        anchors = pki.load_anchors(pem)
        credential = pki.load_authority(anchors, pki.load_key(key_pem)) if key_pem is not None else None
        first = credential.certificate if credential else anchors[0]
    except ValueError as error:
        files = f"{certificate} and {key}" if key else str(certificate)
        raise SpecError(f"{files} cannot be used as the client CA.", why=str(error)) from error
    if not pki.is_ca(first):
        why = "its basicConstraints do not say CA:TRUE"
        raise SpecError(f"{certificate} is no certificate of a CA.", why=why, hint="A client's belongs to --cert")
    return ClientCa(first, credential)


def _check_loads(option: str, file: Path, key: ContextKey) -> None:
    _require_file(option, file)
    try:
        client_context(key)
    except (OSError, ValueError) as error:
        raise SpecError(f"{option} {file} cannot be used.", why=_words(error), hint=_hint(option)) from error


def _hint(option: str) -> str:
    if option == "--cacert":
        return "It must hold at least one certificate in PEM."
    return "It must hold a certificate in PEM; --key its private key in PEM, without a password."


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _require_file(option: str, file: Path) -> None:
    # A FIFO or a device would make us wait, or never end.
    if not file.is_file():
        why = "it is no regular file" if file.exists() else "no such file"
        raise SpecError(f"{option} {file} cannot be read.", why=why)


def _read(option: str, file: Path) -> bytes:
    _require_file(option, file)
    try:
        return file.read_bytes()
    except OSError as error:
        raise SpecError(f"{option} {file} cannot be read.", why=error.strerror or "") from error

"""The printed commands of procedures: curl, and ``openssl s_client`` for what curl has no option for."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from mtlslab.pki.bundle import read_bundle
from mtlslab.plan.shell import shell_line
from mtlslab.probe.curl import curl_command, file_word
from mtlslab.probe.model import Attempt


def bare_curl(attempt: Attempt, workspace: Path) -> list[str]:
    """A curl command without a word on trust, credential and version: the connection does not come that far."""
    return curl_command(dataclasses.replace(attempt, cacert=None, credential=None, tls_version=None), workspace)


def s_client(attempt: Attempt, workspace: Path, *options: str) -> list[str]:
    """``openssl s_client`` for the same connection; it does not check the server, and that is not the question here."""
    # Where curl needs no --connect-to, the name leads there by itself.
    direct = "--connect-to" not in curl_command(attempt, workspace)
    address = f"[{attempt.address}]" if ":" in attempt.address else attempt.address
    where = [attempt.authority] if direct else [f"{address}:{attempt.port}", "-servername", attempt.host]
    return ["openssl", "s_client", "-connect", *where, *_version(attempt), *_credential(attempt, workspace), *options]


def piped(text: str, command: list[str]) -> str:
    """A shell script that feeds ``text`` (with printf's escapes) to a command."""
    # In double quotes, because the whole script is going to stand in single ones.
    escaped = re.sub(r'([$`"])', r"\\\1", text)
    return f'printf "{escaped}" | {shell_line(command)}'


def _version(attempt: Attempt) -> list[str]:
    return {"1.2": ["-tls1_2"], "1.3": ["-tls1_3"]}.get(attempt.tls_version or "", [])


def _credential(attempt: Attempt, workspace: Path) -> list[str]:
    if attempt.credential is None:
        return []
    certificate, key = attempt.credential.certificate, attempt.credential.key
    file = file_word(certificate, workspace)
    # Of the file after -cert, s_client sends the first certificate alone.
    chain = ["-cert_chain", file] if _brings_chain(certificate) else []
    return ["-cert", file, *chain, "-key", file_word(key, workspace)]


def _brings_chain(certificate: Path) -> bool:
    try:
        return read_bundle(certificate.read_bytes()).count > 1
    except OSError:
        return False  # of a credential that is not there any more, the command is told all the same

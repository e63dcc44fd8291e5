"""What other tools say on one question of three answers: the server asks nobody, asks, or insists."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

from tests.servers.model import Cell, Place, Truth

_SCANNERS = Path(__file__).parents[2] / "build/scanners/bin"  # .ci/scanners
_SECONDS = 120


class Three(StrEnum):
    """The answers that sslyze and testssl.sh know."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"
    NOT_REQUIRED = "not required"
    """All that testssl.sh 3.0 says of who does not insist."""
    OPEN = "could not tell"


def three_of(truth: Truth) -> Three:
    """What would be right. A server that takes any certificate lets strangers in: it enforces nothing."""
    return {
        Truth.NONE: Three.NONE,
        Truth.REQUIRED: Three.REQUIRED,
        Truth.HOLES: Three.REQUIRED,
        Truth.OPEN: Three.OPEN,
    }.get(truth, Three.OPTIONAL)


def _run(command: Sequence[str], stdin: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=_SECONDS, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout + done.stderr


def naive(cell: Cell, place: Place) -> Three:
    """The rule of thumb: openssl s_client without a certificate, GET; a status below 400 is "served"."""
    request = f"GET {cell.path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    host = f"{cell.host}:{place.port}"
    said = _run(["timeout", "5", "openssl", "s_client", "-connect", host, "-quiet", "-ign_eof", "-trace"], request)
    if "BEGIN" not in said and "ServerHello" not in said:
        return Three.OPEN
    status = re.search(r"HTTP/1\.[01] (\d{3})", said)
    if status is None or int(status[1]) >= 400:
        return Three.REQUIRED
    return Three.OPTIONAL if "CertificateRequest" in said else Three.NONE


def sslyze(cell: Cell, place: Place) -> Three:
    """Its field client_auth_requirement."""
    output = place.directory / "sslyze.json"
    _run(
        [
            str(_SCANNERS / "sslyze"),
            f"--json_out={output}",
            "--mozilla_config=disable",
            "--tlsv1_2",
            f"{cell.host}:{place.port}",
        ]
    )
    try:
        result = json.loads(output.read_text())["server_scan_results"][0]["connectivity_result"]
    except (OSError, ValueError, KeyError, IndexError):
        return Three.OPEN
    words = {"DISABLED": Three.NONE, "OPTIONAL": Three.OPTIONAL, "REQUIRED": Three.REQUIRED}
    return words.get((result or {}).get("client_auth_requirement", ""), Three.OPEN)


def testssl(cell: Cell, place: Place) -> Three:
    """What testssl.sh says of a service before it begins with its checks; the shortest of those."""
    said = _run(["testssl", "-q", "--color", "0", "--warnings", "off", "--tls-fallback", f"{cell.host}:{place.port}"])
    if "certificate-based authentication" in said:
        return Three.REQUIRED
    knows = "Service detected" in said and "Couldn't determine" not in said
    return Three.NOT_REQUIRED if knows else Three.OPEN


SLOW = ("testssl.sh",)
EVERY = 8
"""Slow tools are asked about every eighth cell."""
TOOLS: dict[str, Callable[[Cell, Place], Three]] = {"the naive rule": naive, "sslyze": sslyze, "testssl.sh": testssl}

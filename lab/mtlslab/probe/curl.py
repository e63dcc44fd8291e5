"""The curl command that does what a probe did, in the tutorial's style, to be typed inside the workspace."""

from __future__ import annotations

import re
from pathlib import Path

from mtlslab.plan.addresses import LOCALHOST, leads_to, proxy_in_the_way
from mtlslab.plan.paths import WEAK_CLIENT
from mtlslab.plan.shell import path_word
from mtlslab.probe.model import Attempt

_VERSION_OPTIONS = {"1.2": ("--tlsv1.2", "--tls-max", "1.2"), "1.3": ("--tlsv1.3",)}


def curl_command(attempt: Attempt, workspace: Path) -> list[str]:
    """The command as arguments; files below ``workspace`` are written as paths relative to it.

    curl ends with status 0 on a refusal, too: nginx refuses with an HTTP answer. The page tells, or ``--fail``. It has
    no options for a name in SNI of its own, for a session, and for a ClientHello made by hand.
    """
    return [
        *_environment(attempt),
        "curl",
        attempt.url,
        *_trust(attempt, workspace),
        *_credential(attempt, workspace),
        *_VERSION_OPTIONS.get(attempt.tls_version or "", ()),
        *_request(attempt),
        *_no_proxy(attempt),
        *_address(attempt),
    ]


def _environment(attempt: Attempt) -> list[str]:
    # curl's --ciphers would come too late: it loads the certificate first.
    return ["env", f"OPENSSL_CONF=./{WEAK_CLIENT}"] if attempt.weak else []


def _trust(attempt: Attempt, workspace: Path) -> list[str]:
    if attempt.insecure:
        return ["--insecure"]
    return ["--cacert", file_word(attempt.cacert, workspace)] if attempt.cacert else []


def _credential(attempt: Attempt, workspace: Path) -> list[str]:
    if attempt.credential is None:
        return []
    if attempt.credential.curl is not None:
        return [*attempt.credential.curl]
    certificate, key = attempt.credential.certificate, attempt.credential.key
    return ["--cert", certificate_word(file_word(certificate, workspace)), "--key", file_word(key, workspace)]


def certificate_word(file: str) -> str:
    """The value of ``--cert``: what follows a colon would be a password to curl."""
    return re.sub(r"[\\:]", r"\\\g<0>", file)


def _request(attempt: Attempt) -> list[str]:
    method = {"GET": [], "HEAD": ["--head"]}.get(attempt.method, ["--request", attempt.method])
    path = ["--path-as-is"] if "/." in attempt.path or "//" in attempt.path else []
    globs = ["--globoff"] if set(attempt.path) & set("[]{}") else []
    host = () if attempt.host_header is None else (("Host", attempt.host_header),)
    # Without a value curl would leave a field away; a semicolon in place of the colon sends it empty.
    given = (f"{name}: {value}" if value else f"{name};" for name, value in (*host, *attempt.headers))
    fields = [word for field in given for word in ("--header", field)]
    return [*method, *path, *globs, *_version(attempt), *fields]


def _version(attempt: Attempt) -> list[str]:
    if attempt.http_version == "2":
        return ["--http2-prior-knowledge"] if attempt.plain else []  # over TLS, curl offers it by itself
    return [f"--http{attempt.http_version}"] if attempt.as_curl or attempt.http_version == "1.0" else []


def _address(attempt: Attempt) -> list[str]:
    """Where from and where to connect, unless the host name leads there by itself."""
    source = ["--interface", attempt.source] if attempt.source else []
    address = attempt.address
    if not attempt.connect_port and _leads_there(attempt.host, address):
        return source
    address = address or attempt.host
    bracketed = f"[{address}]" if ":" in address else address
    port = attempt.connect_port or attempt.port
    return [*source, "--connect-to", f"{attempt.authority}:{bracketed}:{port}"]


def _leads_there(host: str, address: str) -> bool:
    return address in ("", host) or (host == LOCALHOST and leads_to(address))


def _no_proxy(attempt: Attempt) -> list[str]:
    """The attempt goes straight to the server; so must curl, whatever the environment says."""
    return ["--noproxy", "*"] if proxy_in_the_way(attempt.host) else []


def file_word(file: Path, workspace: Path) -> str:
    """A file as an argument for a program that runs inside the workspace."""
    path, top = file.as_posix(), f"{workspace.as_posix().rstrip('/')}/"
    return f"./{path.removeprefix(top)}" if path.startswith(top) else path_word(file)

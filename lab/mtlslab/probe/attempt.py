"""One TLS + HTTP attempt as a client, told as facts. A probe never judges: see ``mtlslab.verify.checks`` for verdicts.

Two facts keep a verdict honest. The *phase* says how far the attempt came, the *side* whose doing the end was: a
connection that was never made and a certificate that never left this machine are no refusal by the server.
"""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from mtlslab.probe.connection import Connection, ContextKey, Deadline, client_context, connect

DEFAULT_TIMEOUT = 5.0
DEFAULT_PATH = "/hello-world.txt"
MAX_BODY = 2048  # bytes of the answer that are kept; an error page is a tenth of it
_MAX_ERROR = 300
_MAX_HEADER = 4096  # characters of one header; a subject is a tenth of it

# No room for backtracking: the page may be made to waste our time.
_TITLE = re.compile(r"<title>([^<]*)", re.IGNORECASE)
_HEADERS = re.compile(r"server|content-type|location|x-ssl-client-.*", re.IGNORECASE)


class Phase(StrEnum):
    """Where an attempt ended; ``DONE`` is an HTTP answer, whatever its status."""

    LOAD = "load"
    CONNECT = "connect"
    HANDSHAKE = "handshake"
    SEND = "send"
    READ = "read"
    DONE = "done"


class Side(StrEnum):
    """Whose doing the end was: ours, the server's, or nobody's that we can name (time-out, closed port)."""

    LOCAL = "local"
    PEER = "peer"
    NONE = "none"


@dataclasses.dataclass(frozen=True)
class Credential:
    """PEM files of a client certificate (chain, leaf first) and its private key."""

    certificate: Path
    key: Path


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What to try.

    Attributes:
        port: TCP port.
        host: name in the URL, in SNI (unless it is an IP address) and in the host name check.
        address: where to connect; empty means ``host``.
        path: path of the URL, beginning with a slash.
        tls_version: the only TLS version offered, a key of ``VERSIONS``; None offers what OpenSSL offers.
        cacert: PEM file with the trust anchors for the server certificate; None trusts no CA at all.
        system_trust: trust the CAs that the system trusts, too.
        insecure: accept any server certificate, as ``curl --insecure`` does.
        check_hostname: compare the server certificate with ``host``.
        credential: the client's certificate and key; None for a client without.
        weak: load also a credential that OpenSSL finds too weak, at its security level 0.
        timeout: seconds for everything together, from connecting to the end of the answer.
        nonce: sent as query parameter ``probe``, so that the server's log line can be found; empty sends none.
    """

    port: int
    host: str = "localhost"
    address: str = ""
    path: str = DEFAULT_PATH
    tls_version: str | None = None
    cacert: Path | None = None
    insecure: bool = False
    check_hostname: bool = True
    credential: Credential | None = None
    weak: bool = False
    system_trust: bool = False
    timeout: float = DEFAULT_TIMEOUT
    nonce: str = ""

    @property
    def authority(self) -> str:
        """Host and port as they stand in the URL; an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without the nonce."""
        return f"https://{self.authority}{self.path}"


@dataclasses.dataclass(frozen=True)
class Observation:
    """What happened. Empty strings and None mean "not seen".

    Attributes:
        phase: where the attempt ended.
        side: whose doing that was; ``NONE`` after an HTTP answer.
        error: the library's or the system's words, one line.
        alert: the TLS alert by its name in RFC 8446 section 6, such as ``unknown_ca``.
        alert_from: the side that sent the alert: ``LOCAL`` or ``PEER``.
        closed: whether the server ended the connection without an answer.
        verify_code: OpenSSL's X509_V_ERR number for the server certificate that was not trusted.
        verify_error: the same in words.
        preface: first bytes from the server if they are not TLS records, as text.
        heard: whether the server sent anything at all.
        tls_version: negotiated version, ``"1.2"`` or ``"1.3"``.
        cipher: negotiated cipher suite, OpenSSL's name.
        agreed: whether the server agreed to a TLS version that was offered, even if the handshake failed after that.
        certificate_requested: whether the server asked for a client certificate; None when it cannot be told.
        certificate_request: the CertificateRequest itself, a handshake message with its header; empty without one.
        presented: how the client answered it: with a certificate (True), with an empty one (False), not at all (None).
        sent_fingerprint: SHA-1 (lower case hex) of the DER of the certificate that the client had, as nginx shows it.
        status: HTTP status.
        title: title of the HTML page, as nginx's error pages have one.
        body: first ``MAX_BODY`` bytes of the answer as text.
        headers: the answer's headers of interest, names in lower case.
        duration: seconds from the first step to the last.
    """

    phase: Phase
    side: Side = Side.NONE
    error: str = ""
    alert: str = ""
    alert_from: Side | None = None
    closed: bool = False
    verify_code: int | None = None
    verify_error: str = ""
    preface: str = ""
    heard: bool = False
    tls_version: str = ""
    cipher: str = ""
    agreed: bool = False
    certificate_requested: bool | None = None
    certificate_request: bytes = dataclasses.field(default=b"", repr=False)
    presented: bool | None = None
    sent_fingerprint: str = ""
    status: int | None = None
    title: str = ""
    body: str = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    duration: float = 0.0

    @property
    def answered(self) -> bool:
        """Whether a TLS handshake and an HTTP answer came about, whatever the status."""
        return self.status is not None


def attempt(what: Attempt) -> Observation:
    """Try it once, and tell what happened. Network and TLS failures are facts, not exceptions."""
    begin = time.perf_counter()
    facts = _Run(what).facts()
    return Observation(**facts, duration=time.perf_counter() - begin)


class _Run:
    """One attempt under way: remembers the phase, so that a failure is told with its place."""

    def __init__(self, what: Attempt) -> None:
        self.what = what
        self.phase = Phase.LOAD
        self.deadline = Deadline(what.timeout)
        self.connection: Connection | None = None
        self.sent_fingerprint = ""

    def facts(self) -> dict[str, Any]:
        """The fields of the observation."""
        try:
            end = self._go()
        except (OSError, ValueError, http.client.HTTPException) as error:
            end = self._failure(error)
        return {"phase": self.phase, "sent_fingerprint": self.sent_fingerprint, **self._seen(), **end}

    def _go(self) -> dict[str, Any]:
        context = self._load()
        self.phase = Phase.CONNECT
        with connect(self.what.address or self.what.host, self.what.port, self.deadline) as sock:
            self.phase = Phase.HANDSHAKE
            self.connection = Connection(sock, context, self.what.host, self.deadline)
            self.connection.handshake()
            self.connection.await_verdict()
            self.phase = Phase.SEND
            broken = self.connection.send(request_bytes(self.what))
            self.phase = Phase.READ
            answer = _read_answer(self.connection, broken)
        self.phase = Phase.DONE
        return answer

    def _load(self) -> ssl.SSLContext:
        what, credential = self.what, self.what.credential
        key = ContextKey(
            trust=None if what.insecure else what.cacert,
            insecure=what.insecure,
            check_hostname=what.check_hostname,
            certificate=credential.certificate if credential else None,
            key=credential.key if credential else None,
            version=what.tls_version,
            weak=what.weak,
            system_trust=what.system_trust,
        )
        context = client_context(key)
        if credential:
            self.sent_fingerprint = _fingerprint(credential.certificate)
        return context

    def _seen(self) -> dict[str, Any]:
        if self.connection is None:
            return {}
        tls, tape = self.connection.tls, self.connection.tape
        finished = self.phase in (Phase.SEND, Phase.READ, Phase.DONE)
        cipher = tls.cipher()
        alert = tape.alert()
        return {
            "heard": bool(self.connection.preface),
            "tls_version": self._negotiated(tls.version() or "", cipher is not None),
            "cipher": cipher[0] if cipher else "",
            "agreed": tape.agreed,
            # False only once the server's whole flight has been seen.
            "certificate_requested": tape.certificate_requested or (False if finished else None),
            "certificate_request": tape.certificate_request,
            "presented": tape.presented,
            "alert": alert[0] if alert else "",
            "alert_from": _ALERT_SIDES[alert[1]] if alert else None,
        }

    def _negotiated(self, version: str, agreed: bool) -> str:
        # OpenSSL forgets the version of a handshake that broke; where only one was offered, an agreed suite tells it.
        return version.removeprefix("TLSv") or ((self.what.tls_version or "") if agreed else "")

    def _failure(self, error: Exception) -> dict[str, Any]:
        facts: dict[str, Any] = {"side": self._side(error), "error": self._words(error)}
        if isinstance(error, ssl.SSLCertVerificationError):
            facts |= {"verify_code": error.verify_code, "verify_error": error.verify_message}
        if self.connection is not None:
            facts["closed"] = isinstance(error, _CLOSED)
            facts["preface"] = _not_tls(self.connection.preface)
        return facts

    def _side(self, error: Exception) -> Side:
        if self.phase is Phase.LOAD:
            return Side.LOCAL
        if self.phase is Phase.CONNECT or isinstance(error, TimeoutError):
            return Side.NONE
        if isinstance(error, _CLOSED) or self._refused_by_alert():
            return Side.PEER
        # Unreachable networks are nobody's doing; whatever else OpenSSL or the HTTP parser refuse is refused here.
        return Side.LOCAL if isinstance(error, (ssl.SSLError, ValueError, http.client.HTTPException)) else Side.NONE

    def _words(self, error: Exception) -> str:
        return f"no answer within {self.what.timeout:g} s" if isinstance(error, TimeoutError) else words_of(error)

    def _refused_by_alert(self) -> bool:
        alert = self.connection.tape.alert() if self.connection else None
        return alert is not None and alert[1] == "received"


_ALERT_SIDES = {"received": Side.PEER, "sent": Side.LOCAL}
# One class: which of them shows depends on who wins a race inside the server's kernel.
_CLOSED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


def request_bytes(what: Attempt) -> bytes:
    """The HTTP request for the page, with the nonce if there is one, as every attempt sends it."""
    nonce = f"{'&' if '?' in what.path else '?'}probe={quote(what.nonce, safe='')}" if what.nonce else ""
    lines = (
        f"GET {what.path}{nonce} HTTP/1.1",
        f"Host: {what.authority}",
        "User-Agent: mtlslab",
        "Accept: */*",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class _Readable:
    """What http.client wants to see of a socket in order to read an answer from it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def makefile(self, _mode: str) -> Any:
        return io.BufferedReader(self._connection)


def _read_answer(connection: Connection, broken: ConnectionError | None) -> dict[str, Any]:
    response = http.client.HTTPResponse(cast("socket.socket", _Readable(connection)), method="GET")
    try:
        response.begin()
    except ConnectionError as error:
        raise (broken or error) from None
    body = _read_body(response).decode("utf-8", "replace")
    title = _TITLE.search(body)
    return {
        "status": response.status,
        "headers": dict(_headers_of_interest(response)),
        "body": body,
        "title": title[1].strip() if title else "",
    }


def _read_body(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(MAX_BODY)
    except http.client.IncompleteRead as error:
        return error.partial
    except (OSError, ValueError, http.client.HTTPException):
        return b""  # the status line is the answer; a body that breaks off or never ends takes nothing from it


def _headers_of_interest(response: http.client.HTTPResponse) -> Iterator[tuple[str, str]]:
    for name, value in response.getheaders():
        if _HEADERS.fullmatch(name):
            yield name.lower(), value[:_MAX_HEADER]


def _fingerprint(certificate: Path) -> str:
    pem = certificate.read_text(errors="replace")
    begin, end = pem.find(ssl.PEM_HEADER), pem.find(ssl.PEM_FOOTER)
    if begin < 0 or end < begin:
        return ""
    der = ssl.PEM_cert_to_DER_cert(pem[begin : end + len(ssl.PEM_FOOTER)])
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


def _not_tls(preface: bytes) -> str:
    # RFC 8446 section 5.1: a record begins with its content type, 20 to 23, and the major version 3.
    if not preface or (20 <= preface[0] <= 23 and preface[1:2] in (b"\x03", b"")):
        return ""
    return preface.decode("latin-1")


def words_of(error: Exception) -> str:
    """What the library or the system says about a failed attempt, on one line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = error.verify_message
    elif isinstance(error, ssl.SSLError) and error.reason:
        text = error.reason.replace("_", " ").lower()
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())[:_MAX_ERROR]

"""The words of the probe: what an attempt is, and what was observed. Values only, cheap to import."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtlslab.probe.context import Session

DEFAULT_TIMEOUT = 5.0
MAX_TIMEOUT = 300.0  # seconds
OUT_OF_TIME = "no answer within"  # how the error of an attempt begins whose time was up
ALPN_HTTP_1, ALPN_HTTP_2 = "http/1.1", "h2"
DEFAULT_PATH = "/hello-world.txt"
MAX_BODY = 2048  # bytes of the answer that are kept; an error page is a tenth of it


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


class Sender(StrEnum):
    """Who sent a message."""

    CLIENT = "client"
    SERVER = "server"

    @property
    def other(self) -> Sender:
        """Who received it."""
        return Sender.SERVER if self is Sender.CLIENT else Sender.CLIENT


Chunk = tuple[Sender, bytes]
"""Who sent it, and bytes as they passed through the socket."""

KeyLog = Mapping[str, bytes]
"""Label -> secret, of one connection (RFC 9850)."""


@dataclasses.dataclass(frozen=True)
class KeyFiles:
    """Paths of a client certificate (PEM, chain with the leaf first) and of its private key (PEM).

    Attributes:
        certificate: the certificate.
        key: the private key.
        curl: the options that name to curl the files from which these were made; empty if it cannot read them, None
            where these are the files themselves.
    """

    certificate: Path
    key: Path
    curl: tuple[str, ...] | None = dataclasses.field(default=None, kw_only=True)


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
        strict_names: read the server's names from its subjectAltName alone, never from its common name.
        credential: the client's certificate and key; None for a client without.
        weak: load also a credential that OpenSSL finds too weak, at its security level 0.
        timeout: seconds for everything together, from connecting to the end of the answer.
        nonce: sent as query parameter ``probe``, so that the server's log line can be found; empty sends none.
        source: address of this machine to connect from; empty leaves the choice to the system.
        sni: name in SNI if it is not ``host``; empty sends none.
        ciphers: cipher suites up to TLS 1.2, in OpenSSL's list format; empty offers what OpenSSL offers.
        alpn: application protocols to offer, the dearest first (RFC 7301); empty offers none.
        session: session to resume, out of an earlier observation of an attempt with the same trust and credential.
        keep_session: hand out the session, to be resumed later.
        method: of the HTTP request.
        http_version: ``"1.0"``, ``"1.1"`` or ``"2"``. The last offers both HTTP/2 and 1.1, as curl does, and speaks
            what the server chooses; in clear it is HTTP/2 without asking (RFC 9113 section 3.3).
        host_header: the Host header if it is not host and port of the URL.
        headers: further header fields; one that the probe sends by itself is replaced.
        as_curl: send no header field but those of curl, and offer the application protocols that it offers.
        plain: send the request in clear, without TLS.
        hello: a ClientHello message made by hand; only the first record of the answer is read.
        renegotiate: instead of a request, start a second handshake in the connection (TLS 1.2 with an AEAD suite).
        record: keep the bytes of both directions and the secrets that open them.
        post_handshake: offer to show the certificate after the handshake, too (RFC 8446 section 4.6.2), as curl does.
        find: text to look for in the whole body; empty looks for none.
        connect_port: TCP port to connect to if it is not the URL's; 0 for the URL's.
        idle: seconds to say nothing after the handshake, to see whether the server hangs up; 0 says on at once.
    """

    port: int
    host: str = "localhost"
    address: str = ""
    path: str = DEFAULT_PATH
    tls_version: str | None = None
    cacert: Path | None = None
    insecure: bool = False
    check_hostname: bool = True
    credential: KeyFiles | None = None
    weak: bool = False
    system_trust: bool = False
    timeout: float = DEFAULT_TIMEOUT
    nonce: str = ""
    strict_names: bool = False
    source: str = ""
    sni: str | None = None
    ciphers: str = ""
    alpn: tuple[str, ...] = ()
    session: Session | None = dataclasses.field(default=None, repr=False)
    keep_session: bool = False
    method: str = "GET"
    http_version: str = "1.1"
    host_header: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    as_curl: bool = False
    plain: bool = False
    hello: bytes = dataclasses.field(default=b"", repr=False)
    renegotiate: bool = False
    record: bool = False
    post_handshake: bool = False
    find: str = ""
    connect_port: int = 0
    idle: float = 0.0

    @property
    def authority(self) -> str:
        """Host and port as they stand in the URL; an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without the nonce."""
        return f"{'http' if self.plain else 'https'}://{self.authority}{self.path}"

    @property
    def server_name(self) -> str:
        """The name that SNI shall carry; empty for none."""
        return self.host if self.sni is None else self.sni

    @property
    def protocols(self) -> tuple[str, ...]:
        """The application protocols that are offered, the dearest first."""
        if self.alpn:
            return self.alpn
        if self.http_version == "2":
            return ALPN_HTTP_2, ALPN_HTTP_1
        return (ALPN_HTTP_1,) if self.as_curl and self.http_version == "1.1" else ()


@dataclasses.dataclass(frozen=True)
class Recording:
    """A connection byte by byte. The secrets stay in memory.

    Attributes:
        chunks: what both sides sent, in the order in which it passed the client.
        secrets: what opens the records; empty where no handshake came that far.
    """

    chunks: tuple[Chunk, ...] = dataclasses.field(default=(), repr=False)
    secrets: KeyLog = dataclasses.field(default_factory=dict, repr=False)


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
        preface: where TLS was asked for, the first bytes from the server if they are not TLS records, as text.
        heard: whether the server sent anything at all.
        tls_version: negotiated version, such as ``"1.3"``.
        cipher: negotiated cipher suite, OpenSSL's name; IANA's where the ClientHello was made by hand.
        agreed: whether the server agreed to a TLS version that was offered, even if the handshake failed after that.
        certificate_requested: whether the server asked for a client certificate; None when it cannot be told, as in a
            resumed handshake, where no server asks (RFC 8446 section 2.2).
        certificate_request: the CertificateRequest itself, a handshake message with its header; empty without one.
        presented: how the client answered it: with a certificate (True), with an empty one (False), not at all (None).
        sent_fingerprint: SHA-1 (lower case hex) of the DER of the certificate that the client had, as nginx shows it.
        status: HTTP status.
        title: title of the HTML page, as nginx's error pages have one.
        body: first ``MAX_BODY`` bytes of the answer as text.
        headers: the answer's headers of interest, names in lower case.
        duration: seconds from the first step to the last.
        body_size: bytes of the whole body; None if it was not read to its end.
        body_sha256: SHA-256 (lower case hex) of the whole body; empty if it was not read to its end.
        alpn: the application protocol that the server chose, empty for none; None before the handshake was finished.
        resumed: whether a session was resumed; None before the handshake was finished.
        session: to be resumed by a later attempt; None where the server gave none, or the attempt keeps none.
        chain: DER of the certificates that the server sent, leaf first; none in a resumed handshake.
        renegotiated: whether the server took part in a second handshake; None when it cannot be told.
        recording: bytes and secrets, if the attempt asked for them.
        local_port: TCP port of this machine that the attempt came from; 0 without a connection.
        finished: whether the handshake is, as far as the client can tell.
        admitted: whether the server has gone on after the client's last words of the handshake: its Finished up to
            TLS 1.2; a session ticket, or data, in TLS 1.3. A server that verifies in the handshake has done so then.
        found: whether the body holds the text that was looked for; None if none was.
        hung_up: whether the server ended the connection after the handshake, before it was asked for anything; None
            if the client did not wait for that.
        spoke: whether the server has sent application data.
        spoke_first: whether it did so before it was asked for anything.
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
    body_size: int | None = None
    body_sha256: str = ""
    alpn: str | None = None
    resumed: bool | None = None
    session: Session | None = dataclasses.field(default=None, repr=False)
    chain: tuple[bytes, ...] = dataclasses.field(default=(), repr=False)
    renegotiated: bool | None = None
    recording: Recording | None = dataclasses.field(default=None, repr=False)
    local_port: int = 0
    finished: bool = False
    admitted: bool = False
    found: bool | None = None
    hung_up: bool | None = None
    spoke: bool = False
    spoke_first: bool = False

    @property
    def answered(self) -> bool:
        """Whether a TLS handshake (unless the attempt was plain) and an HTTP answer came about, whatever the status."""
        return self.status is not None

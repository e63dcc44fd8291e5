"""The log for people: one short line a request, without the program's own, or only what was refused."""

from __future__ import annotations

import json

from mtlslab.output.requests import short_lines, wanted
from mtlslab.runtime.base import LogLine

TOKEN = "0123456789abcdef"  # noqa: S105 - no secret of anybody


def entry(service: str, seconds: float, status: str = "200", **more: str) -> LogLine:
    values = {
        "token": TOKEN,
        "time": f"2026-11-25T00:37:{int(seconds):02}+00:00",
        "msec": f"{1795567020 + seconds:.3f}",
        "service": service,
        "probe": "",
        "status": status,
        "request": "GET /hello-world.txt HTTP/1.1",
        "client_verify": "NONE",
        "client_subject": "",
    }
    return LogLine(service, json.dumps({**values, **more}, separators=(",", ":")))


def own(words: str) -> LogLine:
    return LogLine("nginx-mtls", f"2026/11/25 00:37:20 [info] 7#7: *3 {words}")


def told(*lines: LogLine) -> list[str]:
    return [line.partition(" ")[2] for line in short_lines(lines, TOKEN)]


def test_a_request_is_a_short_line() -> None:
    failed = "FAILED:certificate has expired"
    assert told(
        entry("nginx-mtls", 16, "400"),
        entry("nginx-mtls", 16, client_verify="SUCCESS", client_subject="CN=client,O=lab"),
        entry("nginx-mtls", 16, "400", client_verify=failed, client_subject="CN=old"),
        entry("nginx-mtls", 16, "404", client_verify="SUCCESS", client_subject="CN=a", request="HEAD /x HTTP/2.0"),
        entry("nginx-tls", 16),
        entry("nginx-tls", 16, "404", request="GET /x HTTP/1.1"),
    ) == [
        "mTLS 400 NONE no certificate",
        "mTLS 200 SUCCESS CN=client,O=lab",
        "mTLS 400 FAILED certificate has expired (CN=old)",
        "mTLS 404 SUCCESS CN=a HEAD /x HTTP/2.0",
        "TLS 200",
        "TLS 404 - GET /x HTTP/1.1",
    ]


def test_a_handshake_that_failed_has_no_status_and_nginx_own_chatter_is_left_out() -> None:
    alert = "(SSL: error:0A000412:SSL routines::sslv3 alert bad certificate:SSL alert number 42)"
    assert told(
        own(f"SSL_do_handshake() failed {alert} while SSL handshaking, client: 127.0.0.1, server: 127.0.0.1:8889"),
        own("client sent no required SSL certificate while reading client request headers, client: 127.0.0.1"),
        LogLine("nginx-mtls", '2026/11/25 00:37:20 [error] 7#7: *4 open() "/x" failed (2: No such file), client: ::1'),
        LogLine("nginx-mtls", "something else"),
    ) == ["mTLS --- handshake failed: sslv3 alert bad certificate", 'mTLS error: open() "/x" failed (2: No such file)']


def test_a_line_that_only_looks_like_a_request_is_none() -> None:
    forged = entry("nginx-mtls", 16).text.replace(TOKEN, "f" * 16)
    assert told(LogLine("nginx-mtls", forged)) == []


def test_mine_are_those_that_no_probe_of_the_program_comes_with() -> None:
    """A knock that must look like anybody's has no mark; it comes in the middle of those that have one."""
    probes = [entry("nginx-mtls", second, probe="cafe") for second in (20, 21)]
    knock = entry("nginx-tls", 20.5, "400", request="GET /../certs/server.key HTTP/1.1")
    late = entry("nginx-mtls", 22.2, "400", request="GET /late HTTP/1.1")
    before, after = entry("nginx-mtls", 10), entry("nginx-mtls", 40, "400")
    # One service is told after the other.
    lines = [knock, before, *probes, late, after]
    assert list(wanted(lines, TOKEN, mine=True, refused=False)) == [before, after]
    assert list(wanted(lines, TOKEN, mine=True, refused=True)) == [after]
    assert list(wanted([*probes, late, after], TOKEN, mine=True, refused=False, follow=True)) == [after]


def test_refused_are_those_with_an_error_and_those_that_failed_in_the_handshake() -> None:
    failed = own("SSL_do_handshake() failed (SSL: x) while SSL handshaking, client: ::1")
    lines = [entry("nginx-mtls", 10), entry("nginx-mtls", 11, "400"), failed, own("signal process started")]
    assert list(wanted(lines, TOKEN, mine=False, refused=True)) == lines[1:3]

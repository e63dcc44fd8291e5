"""Checks of every door: unauthorised clients knock at all that the configuration and the open sockets name."""

from __future__ import annotations

import dataclasses
import functools

from mtlslab.pki.faults import Outcome
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.verify.checks.entries_doors import DOORS
from mtlslab.verify.checks.model import Entry, Expectation
from mtlslab.verify.doors.model import UNAUTHORISED, Group

_NOBODY = Expectation(
    Outcome.REFUSED_NO_CERTIFICATE,
    also=(Outcome.REFUSED_CERTIFICATE, Outcome.REFUSED_BY_ALERT, Outcome.OTHER_STATUS, Outcome.CLOSED),
)
_WHO = (
    "The clients have no certificate, a self-signed one, one of another CA of the same name, an expired one, and the "
    "server's own."
)


@functools.cache
def entries(*, crl: bool) -> tuple[Entry, ...]:
    """One entry for each group of doors.

    Args:
        crl: whether a revoked client must be refused.
    """
    clients = (*UNAUTHORISED, *(("revoked",) if crl else ()))
    return (*(dataclasses.replace(entry, shows=clients) for entry in _MTLS_SERVICE), _TLS_SERVICE)


def _entry(group: Group, *, title: str, why: str, hint: str, directive: str, rfc: str, sabotage: str) -> Entry:
    return Entry(
        id=f"door-{group.value}",
        title=title,
        category=DOORS,
        service=MTLS_SERVICE,
        expect=_NOBODY,
        why=f"{why} {_WHO}",
        hint=hint,
        directive=directive,
        rfc=rfc,
        sabotage=sabotage,
        procedure=f"door-{group.value}",
        versions=(),
        depends="mtls-serves-client-certificate.tls13",
        regardless=True,
    )


_MTLS_SERVICE = (
    _entry(
        Group.NAMES,
        title="the mTLS server lets no unauthorised client in, whatever name it is called by",
        why="nginx chooses the server block by the name in SNI, and the request by the Host header. Each "
        "name, one sample of each wildcard and expression, an unknown one and none at all are asked for, "
        "with the same Host and another.",
        hint="Every server block of the port needs ssl_verify_client on and the same client CA, or "
        "ssl_reject_handshake on.",
        directive="server_name, ssl_verify_client",
        rfc="RFC 6066 section 3, RFC 9110 section 7.2",
        sabotage="Add a server block with server_name intranet.test and without ssl_verify_client.",
    ),
    _entry(
        Group.LISTENERS,
        title="the mTLS server lets no unauthorised client in at any address or port, with TLS or without",
        why="A lock is worth nothing beside an open window: every listen of the configuration, and every "
        "socket on which nginx really listens, is tried over TLS and in clear.",
        hint="Only include listen.conf; belongs into a server block of this service, and mtlslab up binds to "
        "one address.",
        directive="listen, ssl_verify_client",
        rfc="RFC 9110 section 4.2.2",
        sabotage="Add a server block with listen 127.0.0.1:8080; and root nginx-mtls;.",
    ),
    _entry(
        Group.LOCATIONS,
        title="the mTLS server lets no unauthorised client in at any path, however it is written",
        why="Where access is decided location by location, one of them is easily forgotten. Each location is "
        "asked for the page below it and for other files, and the page in other spellings: encoded, "
        "doubled, with a query.",
        hint="ssl_verify_client on decides for the whole server; a rule of one's own must stand in the server block.",
        directive="location, ssl_verify_client, if",
        rfc="RFC 3986 section 6.2",
        sabotage="ssl_verify_client optional; with a rule in location = /hello-world.txt alone, and location /pub/ "
        "beside it.",
    ),
    _entry(
        Group.PROTOCOLS,
        title="the mTLS server lets no unauthorised client in over any version of HTTP or TLS",
        why="A rule may look at the protocol, and a client chooses it: HTTP/1.0, HTTP/1.1, HTTP/2 where it is "
        "on, TLS 1.2 and 1.3.",
        hint="Refuse by $ssl_client_verify alone, whatever $server_protocol says; or let ssl_verify_client on do it.",
        directive="http2, ssl_protocols, if",
        rfc="RFC 9113 section 3.2",
        sabotage="ssl_verify_client optional; with a rule that exempts $server_protocol = HTTP/2.0.",
    ),
    _entry(
        Group.METHODS,
        title="the mTLS server lets no unauthorised client in by any method",
        why="HEAD tells that a page is there, and how long; OPTIONS, POST and the methods of WebDAV are "
        "exempt in many rules, for the sake of browsers (CORS).",
        hint="Refuse by $ssl_client_verify alone, whatever $request_method says.",
        directive="if, limit_except, ssl_verify_client",
        rfc="RFC 9110 section 9",
        sabotage="ssl_verify_client optional; with a rule that exempts $request_method = HEAD.",
    ),
    _entry(
        Group.HEADERS,
        title="the mTLS server lets no unauthorised client in for what else a request says",
        why="Whatever if, map and geo look at in the configuration is sent: header fields, cookies, "
        "arguments, the address on this machine; with them, the header fields with which proxies vouch "
        "for clients.",
        hint="A client writes its request itself: nothing in it may stand for the verification of a certificate.",
        directive="map, geo, if, ssl_verify_client",
        rfc="RFC 9440 section 3",
        sabotage="ssl_verify_client optional; with a rule that exempts $http_x_internal = yes.",
    ),
)

_TLS_SERVICE = Entry(
    id=f"door-{Group.TLS_SERVICE.value}",
    title="the TLS server gives nothing away but its own page",
    category=DOORS,
    service=TLS_SERVICE,
    expect=Expectation(Outcome.SERVED),
    why="Everybody is let in there. So neither the page of the mTLS server nor a key, a configuration or any other "
    "file of the workspace may be had from it: each location is asked, and paths that climb out of a directory are "
    "tried.",
    hint="root nginx-tls; in one location for one page; an alias ends with a slash if its location does (CWE-22).",
    rfc="RFC 3986 section 5.2.4",
    directive="root, alias, location",
    sabotage="root nginx-mtls; in nginx-tls/nginx.conf, then mtlslab reload.",
    procedure=f"door-{Group.TLS_SERVICE.value}",
    versions=(),
    depends="tls-serves-with-ca.tls13",
    regardless=True,
)

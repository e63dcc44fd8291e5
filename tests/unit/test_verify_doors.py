"""From patterns to samples, from conditions to requests, from a configuration to a list of doors."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE
from mtlslab.runtime.base import OpenSocket
from mtlslab.verify.configuration.parse import parse
from mtlslab.verify.doors.hints import hinted
from mtlslab.verify.doors.listing import UNKNOWN_NAME, Ground, list_doors
from mtlslab.verify.doors.locations import paths_of
from mtlslab.verify.doors.model import Door, Group
from mtlslab.verify.doors.samples import matching, names_for

BASE = Door(MTLS_SERVICE, "127.0.0.1", 8889)
TLS = Door(TLS_SERVICE, "127.0.0.1", 8888)


def configured(http: str, service: str = MTLS_SERVICE, *, contained: bool = False) -> Ground:
    """The ground with one configuration."""
    text = f"events {{}} http {{ {http} }}"
    configuration = parse(service, {f"{service}/nginx.conf": text}, contained=contained)
    return Ground(TLS, BASE, (configuration,))


@pytest.mark.parametrize(
    ("server_name", "names"),
    [
        ("a.test", ("a.test",)),
        ("*.a.test", ("door.a.test",)),
        (".a.test", ("a.test", "door.a.test")),
        ("mail.*", ("mail.test",)),
        ("_", ()),
        ("", ()),
        ("~^w[0-9]+\\.a\\.test$", ("w0.a.test",)),
        ("~(", ()),
    ],
)
def test_every_kind_of_server_name_has_a_sample(server_name: str, names: tuple[str, ...]) -> None:
    assert names_for(server_name) == names


@pytest.mark.parametrize(
    "pattern", [r"^/(a|b)/[^/]+\.txt$", r"x{3,5}", r"(?<n>\d)[^a-z]\s?", "^HEAD:.*$", r"\.(?i:TXT)$"]
)
def test_samples_of_an_expression_fit_it(pattern: str) -> None:
    samples = matching(pattern)
    assert samples
    assert all(re.search(pattern.replace("(?<n>", "(?P<n>"), one) for one in samples)


@pytest.mark.parametrize(
    ("http", "door"),
    [
        ("server { if ($request_method = PURGE) { return 200; } }", {"method": "PURGE"}),
        ("server { if ($server_protocol = HTTP/1.0) { return 200; } }", {"protocol": "1.0"}),
        ("server { if ($http_x_zone ~ ^blue) { return 200; } }", {"headers": (("X-Zone", "blue"),)}),
        ("server { if ($cookie_s = open) { return 200; } }", {"headers": (("Cookie", "s=open"),)}),
        ("server { if ($arg_debug) { return 200; } }", {"path": "/hello-world.txt?debug=1"}),
        ("server { if ($host = a.test) { return 200; } }", {"host": "a.test"}),
        ("server { if ($ssl_protocol = TLSv1.2) { return 200; } }", {"tls_version": "1.2"}),
        ('map "$http_x_zone:$ssl_client_verify" $r { "blue:NONE" 0; }', {"headers": (("X-Zone", "blue"),)}),
        ('server { set $w "$request_method:$ssl_client_verify"; if ($w = "PUT:NONE") { } }', {"method": "PUT"}),
        ("geo $inside { 127.0.7.0/24 1; }", {"source": "127.0.7.2"}),
    ],
)
def test_what_a_condition_looks_at_is_sent(http: str, door: Mapping[str, object]) -> None:
    (configuration,) = configured(http).configurations
    found = list(hinted(configuration, BASE))
    assert any(all(getattr(one, name) == value for name, value in door.items()) for one in found)


def test_a_value_that_would_break_a_line_is_no_door() -> None:
    (configuration,) = configured('server { if ($http_x ~ "^\\n$") { return 200; } }').configurations
    assert not any("\n" in value for one in hinted(configuration, BASE) for _, value in one.headers)


def test_each_location_is_asked_for_the_page_below_it_and_aliases_for_what_is_beside_them() -> None:
    ground = configured("server { location /pub/ { alias nginx-mtls/; } location /files { alias shared/; } }")
    (configuration,) = ground.configurations
    paths = list(paths_of(configuration, configuration.servers[0]))
    assert {"/pub/hello-world.txt", "/pub/nginx.conf", "/files../certs/server.key"} <= set(paths)


def test_names_listens_and_sockets_become_doors() -> None:
    ground = configured("server { listen 127.0.0.2:81; listen [::1]:8889 ssl; server_name a.test; }")
    ground = Ground(TLS, BASE, ground.configurations, (OpenSocket(MTLS_SERVICE, "0.0.0.0", 8080),))  # noqa: S104
    doors = [knock.door for knock in list_doors(ground, 1000).knocks]
    assert {"a.test", UNKNOWN_NAME, "", "localhost"} <= {door.sni for door in doors}
    places = {(door.address, door.port) for door in doors}
    assert {("127.0.0.2", 81), ("::1", 8889), ("127.0.0.1", 8080)} <= places
    assert list_doors(ground, 1000).strangers == ("0.0.0.0:8080 (nginx-mtls)",)


def test_what_a_container_listens_on_inside_is_no_door_of_this_machine() -> None:
    ground = configured("server { listen 81; }", contained=True)
    assert {knock.door.port for knock in list_doors(ground, 1000).knocks} == {8888, 8889}


def test_a_short_list_has_something_of_every_group_and_says_what_is_missing() -> None:
    ground = Ground(TLS, BASE, crl=True)
    everything, some = list_doors(ground, 1000), list_doors(ground, 14)
    assert {knock.group for knock in some.knocks} == set(Group)
    assert len(some.knocks) == 14
    assert sum(some.left_out.values()) == len(everything.knocks) - 14
    assert "revoked" in {knock.client for knock in everything.knocks}

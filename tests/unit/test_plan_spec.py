"""The spec accepts what makes a lab and reports everything that does not, at once."""

from __future__ import annotations

import pytest
from mtlslab.errors import ExitCode, SpecError
from mtlslab.plan.spec import LabSpec, make_spec


def test_the_defaults_are_those_of_the_tutorial() -> None:
    spec = make_spec()
    assert (spec.tls_port, spec.mtls_port, spec.key_type, spec.ca_days) == (8888, 8889, "rsa-2048", 1000)
    assert spec.listen == "127.0.0.1"
    assert spec.client_auth == "required"


def test_a_later_layer_wins_and_none_means_not_set() -> None:
    spec = make_spec({"days": 10, "tls_port": 1}, {"days": 20, "tls_port": None})
    assert (spec.days, spec.tls_port) == (20, 1)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        make_spec({"name": "../x", "listen": "here", "days": 0, "key_type": "dsa", "tls_port": 70000})
    assert len(caught.value.problems) == 5
    assert caught.value.exit_code == ExitCode.USAGE
    assert caught.value.hint


def test_an_unknown_key_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(SpecError, match="cannot be made") as caught:
        make_spec({"colour": "red"})
    assert "colour" in caught.value.why
    assert "mtls_port" in caught.value.hint


@pytest.mark.parametrize(
    "setting",
    [
        {"name": ""},
        {"name": "Upper"},
        {"name": "a" * 41},
        {"name": "a\n"},
        {"name": 5},
        {"listen": "127.0.0.1\n"},
        {"listen": "fe80::1%eth0"},
        {"listen": None, "tls_port": "8888"},
        {"tls_port": -1},
        {"tls_port": True},
        {"tls_port": 9, "mtls_port": 9},
        {"hosts": "localhost"},
        {"hosts": ["a b"]},
        {"hosts": ["a;b"]},
        {"hosts": ["-a"]},
        {"hosts": ["a."]},
        {"hosts": [""]},
        {"hosts": ["x" * 64]},
        {"hosts": [".".join(["abc"] * 80)]},
        {"hosts": [7]},
        {"days": 1.5},
        {"days": 36501},
        {"ca_days": "10"},
        {"crl": "yes"},
        {"client_auth": "on"},
        {"image": "--privileged"},
        {"image": "nginx\n"},
        {"image": ""},
    ],
)
def test_values_that_make_no_lab_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(SpecError):
        make_spec(setting)


@pytest.mark.parametrize("host", ["lab.test", "*.lab.test", "192.0.2.7", "2001:db8::1", "xn--bcher-kva.example", "a"])
def test_names_and_addresses_are_accepted_as_hosts(host: str) -> None:
    assert make_spec({"hosts": [host]}).hosts == (host,)


def test_the_server_names_hold_localhost_the_loopback_addresses_and_the_listen_address_once_each() -> None:
    spec = make_spec({"hosts": ["lab.test", "localhost"], "listen": "192.0.2.1"})
    assert spec.server_names == ("localhost", "127.0.0.1", "::1", "192.0.2.1", "lab.test")
    assert "0.0.0.0" not in make_spec({"listen": "0.0.0.0"}).server_names  # noqa: S104  a value under test


def test_a_spec_survives_the_way_through_lab_json() -> None:
    spec = make_spec({"hosts": ["lab.test"], "crl": True})
    assert make_spec(spec.to_mapping()) == spec
    assert isinstance(spec, LabSpec)

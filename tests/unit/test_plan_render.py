"""The rendered files: valid, minimal, and the same in both places."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path

import pytest
import yaml
from mtlslab.plan.render import render, render_compose
from mtlslab.plan.services import MTLS_SERVICE, TLS_SERVICE, LabPlan, make_plan
from mtlslab.plan.spec import make_spec

from tests.support.golden import as_it_was_looked_at

TOKEN = "0123456789abcdef" * 2


def plan_and_files(**settings: object) -> tuple[LabPlan, dict[str, str]]:
    spec = make_spec({"log_token": TOKEN}, settings)
    plan = make_plan(spec, Path("/somewhere"), image=spec.image, user="1000:1000")
    return plan, render(plan, spec)


@pytest.mark.parametrize("service", [TLS_SERVICE, MTLS_SERVICE])
def test_nginx_conf_is_as_it_was_looked_at(service: str) -> None:
    _, files = plan_and_files()
    assert as_it_was_looked_at(f"{service}.conf", files[f"{service}/nginx.conf"])


def test_the_compose_file_is_as_it_was_looked_at() -> None:
    plan, _ = plan_and_files()
    assert as_it_was_looked_at("docker-compose.yml", render_compose(plan))


def test_mutual_tls_only_adds_lines_to_ordinary_tls() -> None:
    _, files = plan_and_files()
    ordinary = files[f"{TLS_SERVICE}/nginx.conf"].replace("nginx-tls", "SERVICE").replace("tls-hello", "hello")
    mutual = files[f"{MTLS_SERVICE}/nginx.conf"].replace("nginx-mtls", "SERVICE").replace("mtls-hello", "hello")
    changes = [line for line in difflib.ndiff(ordinary.splitlines()[1:], mutual.splitlines()[1:]) if line[0] in "+-"]
    assert [line for line in changes if line.startswith("-")] == []
    directives = [line[1:].split()[0] for line in changes if line[1:].strip() and "#" not in line]
    assert directives == ["ssl_client_certificate", "ssl_verify_client", "ssl_verify_depth", *["add_header"] * 4]


@pytest.mark.parametrize(("client_auth", "word"), [("none", "off"), ("optional", "optional"), ("required", "on")])
def test_client_auth_becomes_nginxs_word(client_auth: str, word: str) -> None:
    _, files = plan_and_files(client_auth=client_auth)
    assert f"ssl_verify_client {word};" in files[f"{MTLS_SERVICE}/nginx.conf"]


def test_a_revocation_list_is_configured_only_when_asked_for() -> None:
    plan, files = plan_and_files(crl=True)
    assert "ssl_crl ../crl/client-ca.crl;" in files[f"{MTLS_SERVICE}/nginx.conf"]
    assert "crl" in [mount.source for mount in plan.service(MTLS_SERVICE).mounts]
    assert "ssl_crl" not in plan_and_files()[1][f"{MTLS_SERVICE}/nginx.conf"]


@pytest.mark.parametrize(("listen", "written"), [("127.0.0.1", "127.0.0.1:8889"), ("::1", "[::1]:8889")])
def test_a_process_listens_on_the_listen_address_and_a_container_on_all(listen: str, written: str) -> None:
    _, files = plan_and_files(listen=listen)
    assert f"listen {written} ssl;" in files[f"{MTLS_SERVICE}/listen.conf"]
    assert "listen 8889 ssl;" in files[f"{MTLS_SERVICE}/listen.container.conf"]


def test_no_container_sees_a_ca_key_or_the_clients_key() -> None:
    plan, _ = plan_and_files(crl=True)
    seen = {mount.source for service in plan.services for mount in service.mounts}
    assert {path for path in seen if path.endswith(".key")} == {"certs/server.key"}
    assert "certs" not in seen
    assert "." not in seen


def test_the_compose_file_holds_what_hardens_a_container() -> None:
    plan, _ = plan_and_files(listen="127.0.0.1")
    document = yaml.safe_load(render_compose(plan))
    for service in document["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "1000:1000"
        assert all(volume["read_only"] for volume in service["volumes"])
        assert [port["host_ip"] for port in service["ports"]] == ["127.0.0.1"]
        assert service["healthcheck"]["test"][:2] == ["CMD", "nginx"]


@pytest.mark.parametrize(
    "hostile", ["x\n    privileged: true", "{a: b}", "*anchor", "#", '"', "'", "yes", "é\u2028", ""]
)
def test_no_value_can_become_compose_syntax(hostile: str) -> None:
    """Whatever the spec lets through one day: a value is read as itself, and stands where it stood."""
    plan, _ = plan_and_files()
    usual = yaml.safe_load(render_compose(plan))
    document = yaml.safe_load(render_compose(dataclasses.replace(plan, lab=hostile, image=hostile, user=hostile)))
    assert document["name"] == hostile
    assert document["services"].keys() == usual["services"].keys()
    for name, service in document["services"].items():
        assert service.keys() == usual["services"][name].keys()
        assert (service["image"], service["user"]) == (hostile, hostile)


def test_compose_interpolates_nothing_in_a_value() -> None:
    """A doubled "$" stands for one."""
    plan, _ = plan_and_files()
    document = yaml.safe_load(render_compose(dataclasses.replace(plan, image="${HOME}$x")))
    assert {service["image"] for service in document["services"].values()} == {"$${HOME}$$x"}

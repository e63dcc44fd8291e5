"""The config.json of the Docker client, as other programs leave it behind: it must break nothing."""

from __future__ import annotations

import base64
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from mtlslab.runtime.engine.client_config import BareClient, credentials_for

from tests.support.cli import mtlslab

ODD: tuple[Any, ...] = (
    {"credsStore": "a-helper-that-is-gone"},
    {"credHelpers": {"docker.io": "a-helper-that-is-gone"}},
    {"credsStore": 5},
    {"credHelpers": ["docker.io"]},
    {"auths": {"https://index.docker.io/v1/": {"auth": "!!!"}}},
    {"auths": {"docker.io": None}},
    {"auths": []},
    {"auths": "x"},
    {"proxies": {"default": "http://proxy.test"}},
    {"proxies": []},
    {"HttpHeaders": []},
    [],
    None,
    "text",
)


@pytest.fixture
def client_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


@pytest.mark.parametrize("content", ODD, ids=json.dumps)
def test_odd_credentials_are_none(content: Any, client_config: Path) -> None:
    client_config.write_text(json.dumps(content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert credentials_for("nginx:1.30", lambda _: None) == {}


def test_a_helper_that_is_gone_is_told(client_config: Path) -> None:
    client_config.write_text(json.dumps({"credsStore": "a-helper-that-is-gone"}))
    said: list[str] = []
    credentials_for("nginx:1.30", said.append)
    assert "docker-credential-a-helper-that-is-gone" in said[0]


def test_good_credentials_are_read(client_config: Path) -> None:
    secret = base64.b64encode(b"me:pass").decode()
    client_config.write_text(json.dumps({"auths": {"registry.test:5000": {"auth": secret}}}))
    found = credentials_for("registry.test:5000/nginx", lambda _: None)
    assert (found["username"], found["password"]) == ("me", "pass")
    assert credentials_for("other.test/nginx", lambda _: None) == {}


@pytest.mark.engine
@pytest.mark.parametrize("content", ODD, ids=json.dumps)
def test_a_client_is_made_whatever_the_file_says(content: Any, client_config: Path, engine: Any) -> None:
    client_config.write_text(json.dumps(content))
    with BareClient(version="auto", timeout=30) as client:
        headers: dict[str, str] = {}
        client._set_auth_headers(headers)
        assert headers == {}
        assert client.version()["ApiVersion"]


@pytest.mark.engine
@pytest.mark.parametrize("content", ODD[:4], ids=json.dumps)
def test_doctor_finds_the_engine(content: Any, client_config: Path, engine: Any, tmp_path: Path) -> None:
    client_config.write_text(json.dumps(content))
    run = mtlslab("doctor", cwd=tmp_path, DOCKER_CONFIG=str(tmp_path))
    assert "Warning" not in run.err
    assert "docker runtime    Docker Engine" in run.out
